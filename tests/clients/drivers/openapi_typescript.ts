// Drives the types of openapi-typescript with openapi-fetch. Arguments and output as in generated.py.
import createClient from "openapi-fetch";
import type { components, paths } from "./client.js";

type Problem = components["schemas"]["Problem"];
const [address, receiver] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({
  baseUrl: address,
  headers: { Authorization: `Bearer ${process.env.KEY}` },
});

function good<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (!data) throw new Error(`refused: ${JSON.stringify(error)}`);
  return data;
}

const interfaceMade = good(await client.POST("/interfaces", { body: { name: "Generated" } }));
const hook = good(
  await client.POST("/interfaces/{interface_id}/webhooks", {
    params: { path: { interface_id: interfaceMade.id } },
    body: {
      name: "CRM",
      url: receiver,
      authentication: { kind: "bearer", secrets: { token: "token-of-the-crm" } },
      rate: 50,
    },
  }),
);

const leadOf = (email: string): components["schemas"]["NewLeadRequest"] => ({
  interface: interfaceMade.id,
  fields: { name: "Ada Lovelace", email, phone: "", message: "Hello" },
});
const first = { params: { header: { "Idempotency-Key": "first" } }, body: leadOf("ada@example.com") };
const lead = good(await client.POST("/leads", first));
const again = good(await client.POST("/leads", first));

/** The attempts of the first lead, once there are so many. */
async function attemptsOnce(number: number) {
  for (let tries = 0; tries < 300; tries++) {
    const read = good(await client.GET("/leads/{lead_id}", { params: { path: { lead_id: lead.id } } }));
    const made = read.deliveries[0]?.attempts ?? [];
    if (made.length === number && read.status === "delivered") {
      return made.map((each) => [each.id, each.reason, each.code]);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("not delivered");
}

const delivered = await attemptsOnce(1);
for (let number = 0; number < 6; number++) {
  good(await client.POST("/leads", { body: leadOf(`ada${number}@example.com`) }));
}

const pages: number[] = [];
const leads: string[] = [];
let cursor: string | undefined;
do {
  const page: components["schemas"]["LeadList"] = good(
    await client.GET("/leads", { params: { query: { interface: interfaceMade.id, limit: 3, cursor } } }),
  );
  pages.push(page.data.length);
  leads.push(...page.data.map((each) => each.id));
  cursor = page.next ?? undefined;
} while (cursor);

good(
  await client.POST("/leads/{lead_id}/retry", {
    params: { path: { lead_id: lead.id } },
    body: { webhooks: [hook.id] },
  }),
);
const retried = await attemptsOnce(2);
const missing = (await client.GET("/leads/{lead_id}", { params: { path: { lead_id: "lead_nothing" } } })).error!;
const refused = (await client.POST("/leads", { body: leadOf("nonsense") })).error!;
console.log(
  JSON.stringify({
    interface: interfaceMade.id,
    fields: interfaceMade.fields.map((field) => field.key),
    lead: lead.id,
    again: again.id,
    delivered,
    pages,
    leads,
    retried,
    problem: [missing.status, missing.title],
    refused: [refused.status, refused.errors?.[0]?.pointer],
  }),
);
