// `node responses_sdk.mjs BASE_URL MODEL`: what the SDK makes of each prompt on stdin, by its helper or without, as JSON.
import OpenAI from "openai";
import { readFileSync } from "node:fs";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

async function helper(input) {
  const final = await client.responses.stream({ model, input }).finalResponse();
  return final.output_text;
}

async function iterate(input) {
  let text = "";
  for await (const event of await client.responses.create({ model, input, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return text;
}

async function one([input, how]) {
  try {
    return { text: await (how === "helper" ? helper(input) : iterate(input)) };
  } catch (error) {
    return { thrown: error.constructor.name, message: error.message };
  }
}

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
