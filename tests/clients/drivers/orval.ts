// Drives the client of orval, which uses fetch. Arguments and output as in generated.py.
import { addWebhook, createInterface, createLead, getLead, listLeads, retryLead } from "./client.js";
import type { NewLeadRequest, Problem } from "./client.js";

const receiver = process.argv[3] as string;
const withKey = { headers: { Authorization: `Bearer ${process.env.KEY}` } };

/** What was answered, if it is neither a problem nor a 304 without content. */
function good<A extends { data: unknown }>({ data }: A): Exclude<A["data"], Problem | void> {
  if (data === undefined || isProblem(data)) throw new Error(`refused: ${JSON.stringify(data)}`);
  return data as Exclude<A["data"], Problem | void>;
}

function isProblem(data: unknown): data is Problem {
  return typeof data === "object" && data !== null && "title" in data && "detail" in data;
}

function problem({ data }: { data: unknown }): Problem {
  if (!isProblem(data)) throw new Error(`not refused: ${JSON.stringify(data)}`);
  return data;
}

const interfaceMade = good(await createInterface({ name: "Generated" }, withKey));
const hook = good(
  await addWebhook(
    interfaceMade.id,
    {
      name: "CRM",
      url: receiver,
      authentication: { kind: "bearer", secrets: { token: "token-of-the-crm" } },
      rate: 50,
    },
    withKey,
  ),
);

const leadOf = (email: string): NewLeadRequest => ({
  interface: interfaceMade.id,
  fields: { name: "Ada Lovelace", email, phone: "", message: "Hello" },
});
const first = { headers: { ...withKey.headers, "Idempotency-Key": "first" } };
const lead = good(await createLead(leadOf("ada@example.com"), first));
const again = good(await createLead(leadOf("ada@example.com"), first));

/** The attempts of the first lead, once there are so many. */
async function attemptsOnce(number: number) {
  for (let tries = 0; tries < 300; tries++) {
    const read = good(await getLead(lead.id, withKey));
    const made = read.deliveries[0]?.attempts ?? [];
    if (made.length === number && read.status === "delivered") {
      return made.map((each) => [each.id, each.reason, each.code]);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("not delivered");
}

const delivered = await attemptsOnce(1);
for (let number = 0; number < 6; number++) good(await createLead(leadOf(`ada${number}@example.com`), withKey));

const pages: number[] = [];
const leads: string[] = [];
let cursor: string | undefined;
do {
  const page = good(await listLeads({ interface: interfaceMade.id, limit: 3, cursor }, withKey));
  pages.push(page.data.length);
  leads.push(...page.data.map((each) => each.id));
  cursor = page.next ?? undefined;
} while (cursor);

good(await retryLead(lead.id, { webhooks: [hook.id] }, withKey));
const retried = await attemptsOnce(2);
const missing = problem(await getLead("lead_nothing", withKey));
const refused = problem(await createLead(leadOf("nonsense"), withKey));
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
