// Runs the clients of npm against /mcp, and prints what each got as JSON. node node_clients.mjs URL LEAD, key in KEY.
import { readFileSync } from "node:fs";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as SdkClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as SdkTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, lead] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.KEY}` };
const version = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/@modelcontextprotocol/${name}/package.json`, import.meta.url))).version;
const about = { name: "leadhook-receivers", version: "1" };

async function called(client, name, given) {
  try {
    const result = await client.callTool({ name, arguments: given });
    return [result.isError ?? false, result.content[0].text];
  } catch (error) {
    return [error.constructor.name, error.message];
  }
}

async function steps(way, client, transport) {
  const troubles = [];
  client.onerror = (error) => troubles.push(error.message);
  await client.connect(transport);
  const found = {
    way,
    tools: (await client.listTools()).tools.map((tool) => tool.name),
    explained: await called(client, "explain_failure", { id: lead }),
    wrong: await called(client, "list_leads", { colour: "red" }),
    unknown: await called(client, "nothing", {}),
    retried: await called(client, "retry_lead", { id: lead }),
  };
  await client.close();
  console.log(JSON.stringify({ ...found, troubles }));
}

const to = () => new URL(url);
await steps(`client ${version("client")}`, new Client(about), new StreamableHTTPClientTransport(to(), { requestInit: { headers } }));
await steps(
  `client ${version("client")}, auto`,
  new Client(about, { versionNegotiation: { mode: "auto" } }),
  new StreamableHTTPClientTransport(to(), { requestInit: { headers } }),
);
await steps(`sdk ${version("sdk")}`, new SdkClient(about), new SdkTransport(to(), { requestInit: { headers } }));
