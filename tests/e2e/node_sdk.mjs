// One case a run: `node node_sdk.mjs BASE_URL CASE`. Prints what the SDK gave or threw, as JSON.
import OpenAI from "openai";

const [baseURL, name] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Grüße 🙂" }];
const ask = (model, more = {}) => client.chat.completions.create({ model, messages, ...more });

async function told(stream, seen) {
  for await (const chunk of stream) {
    seen.text += chunk.choices[0]?.delta?.content ?? "";
    seen.finish = chunk.choices[0]?.finish_reason ?? seen.finish;
  }
}

const cases = {
  async chat(seen) {
    const { data, response } = await ask("chat").withResponse();
    seen.text = data.choices[0].message.content;
    seen.headers = Object.fromEntries(response.headers);
  },
  async stream(seen) {
    await told(await ask("stream", { stream: true }), seen);
  },
  async failover(seen) {
    await told(await ask("failover", { stream: true }), seen);
  },
  async interrupted(seen) {
    await told(await ask("interrupted", { stream: true }), seen);
  },
  async leave(seen) {
    const stream = await ask("leave", { stream: true });
    for await (const chunk of stream) {
      seen.text += chunk.choices[0]?.delta?.content ?? "";
      if (seen.text) break;
    }
  },
  async tools(seen) {
    const tools = [{ type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } }];
    const answer = await ask("chat", { tools });
    seen.text = JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments).text;
  },
  async embeddings(seen) {
    seen.vector = (await client.embeddings.create({ model: "chat", input: "hi", dimensions: 8 })).data[0].embedding;
  },
  async models(seen) {
    seen.ids = [];
    for await (const model of client.models.list()) seen.ids.push(model.id);
    seen.one = (await client.models.retrieve("chat-a/m")).id;
  },
  async invalid() {
    await client.chat.completions.create({ model: "chat", messages: [] });
  },
  async unknown() {
    await ask("nobody");
  },
  async limited() {
    await ask("limited");
  },
  async failed() {
    await ask("failed");
  },
  async deadline() {
    await client.chat.completions.create({ model: "silent", messages }, { timeout: 4000 });
  },
};

const seen = { text: "" };
try {
  await cases[name](seen);
} catch (error) {
  seen.thrown = { class: error.constructor.name, status: error.status ?? null, code: error.code ?? null, message: error.message };
}
console.log(JSON.stringify(seen));
