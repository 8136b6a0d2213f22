// What an SDK makes of each prompt on stdin, by its helper or without, as JSON: 16 at once, in the order of the prompts.
import { readFileSync } from "node:fs";

export async function all(ways) {
  const one = async ([prompt, how]) => {
    try {
      return { text: await ways[how](prompt) };
    } catch (error) {
      return { thrown: error.constructor.name, message: error.message };
    }
  };
  const asks = JSON.parse(readFileSync(0, "utf8"));
  const found = new Array(asks.length);
  let next = 0;
  const worker = async () => {
    while (next < asks.length) {
      const index = next++;
      found[index] = await one(asks[index]);
    }
  };
  console.error = () => {};
  await Promise.all(Array.from({ length: 16 }, worker));
  process.stdout.write(JSON.stringify(found));
}
