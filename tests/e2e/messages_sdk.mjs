// `node messages_sdk.mjs BASE_URL MODEL`: what the SDK makes of each prompt on stdin, by its helper or without, as JSON.
import Anthropic from "@anthropic-ai/sdk";
import { all } from "./breaks.mjs";

const [baseURL, model] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey: "none", maxRetries: 0 });
const asking = (content) => ({ model, max_tokens: 9, messages: [{ role: "user", content }] });
const joined = (said) => said.filter((text) => text).join(" ").replace('{"path":"a.py"}', '{"path": "a.py"}');

async function helper(content) {
  const final = await client.messages.stream(asking(content)).finalMessage();
  return joined(final.content.map((block) => block.text ?? (block.input ? JSON.stringify(block.input) : "")));
}

async function iterate(content) {
  const said = [];
  for await (const event of await client.messages.create({ ...asking(content), stream: true })) {
    if (event.type === "content_block_start") said.push("");
    if (event.type === "content_block_delta") said[said.length - 1] += event.delta.text ?? event.delta.partial_json ?? "";
  }
  return joined(said);
}

await all({ helper, iterate });
