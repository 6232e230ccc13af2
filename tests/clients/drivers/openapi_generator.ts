// Drives the client of openapi-generator, typescript-fetch. Arguments and output as in generated.py.
import { Configuration, InterfacesApi, LeadsApi, ProblemFromJSON, ResponseError, WebhooksApi } from "./client/index.js";
import type { NewLeadRequest, Problem } from "./client/index.js";

const [address, receiver] = process.argv.slice(2) as [string, string];
const configuration = new Configuration({ basePath: address, accessToken: process.env.KEY! });
const interfacesApi = new InterfacesApi(configuration);
const leadsApi = new LeadsApi(configuration);
const webhooksApi = new WebhooksApi(configuration);

const interfaceMade = await interfacesApi.createInterface({ newInterface: { name: "Generated" } });
const hook = await webhooksApi.addWebhook({
  interfaceId: interfaceMade.id,
  newWebhook: {
    name: "CRM",
    url: receiver,
    authentication: { kind: "bearer", secrets: { token: "token-of-the-crm" } },
    rate: 50,
  },
});

const leadOf = (email: string): NewLeadRequest => ({
  _interface: interfaceMade.id,
  fields: { name: "Ada Lovelace", email, phone: "", message: "Hello" },
});
const first = { newLeadRequest: leadOf("ada@example.com"), idempotencyKey: "first" };
const lead = await leadsApi.createLead(first);
const again = await leadsApi.createLead(first);

/** The attempts of the first lead, once there are so many. */
async function attemptsOnce(number: number) {
  for (let tries = 0; tries < 300; tries++) {
    const read = await leadsApi.getLead({ leadId: lead.id });
    const made = read.deliveries[0]?.attempts ?? [];
    if (made.length === number && read.status === "delivered") {
      return made.map((each) => [each.id, each.reason, each.code]);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("not delivered");
}

async function problem(call: Promise<unknown>): Promise<Problem> {
  const error = await call.catch((error: unknown) => error);
  if (!(error instanceof ResponseError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
  return ProblemFromJSON(await error.response.json());
}

const delivered = await attemptsOnce(1);
for (let number = 0; number < 6; number++) {
  await leadsApi.createLead({ newLeadRequest: leadOf(`ada${number}@example.com`) });
}

const pages: number[] = [];
const leads: string[] = [];
let cursor: string | undefined;
do {
  const page = await leadsApi.listLeads({ _interface: interfaceMade.id, limit: 3, cursor });
  pages.push(page.data.length);
  leads.push(...page.data.map((each) => each.id));
  cursor = page.next ?? undefined;
} while (cursor);

await leadsApi.retryLead({ leadId: lead.id, retry: { webhooks: [hook.id] } });
const retried = await attemptsOnce(2);
const missing = await problem(leadsApi.getLead({ leadId: "lead_nothing" }));
const refused = await problem(leadsApi.createLead({ newLeadRequest: leadOf("nonsense") }));
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
