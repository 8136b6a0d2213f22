// `node messages_sdk.mjs BASE_URL MODEL`: what the SDK makes of each prompt on stdin, by its helper or without, as JSON.
import Anthropic from "@anthropic-ai/sdk";
import { readFileSync } from "node:fs";

const [baseURL, model] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey: "none", maxRetries: 0 });
const asking = (content) => ({ model, max_tokens: 9, messages: [{ role: "user", content }] });

async function helper(content) {
  const final = await client.messages.stream(asking(content)).finalMessage();
  const said = final.content.map((block) => block.text ?? (block.input ? JSON.stringify(block.input) : ""));
  return said.filter((text) => text).join(" ");
}

async function iterate(content) {
  const said = [];
  for await (const event of await client.messages.create({ ...asking(content), stream: true })) {
    if (event.type === "content_block_start") said.push("");
    if (event.type === "content_block_delta") said[said.length - 1] += event.delta.text ?? event.delta.partial_json ?? "";
  }
  return said.filter((text) => text).join(" ");
}

async function one([content, how]) {
  try {
    const text = await (how === "helper" ? helper(content) : iterate(content));
    return { text: text.replace('{"path":"a.py"}', '{"path": "a.py"}') };
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
