// `node responses_sdk.mjs BASE_URL MODEL`: what the SDK makes of each prompt on stdin, by its helper or without, as JSON.
import OpenAI from "openai";
import { all } from "./breaks.mjs";

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

await all({ helper, iterate });
