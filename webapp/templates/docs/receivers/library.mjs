// npm install standardwebhooks
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.LEADHOOK_SHARED_TOKEN);

// The lead of a request, given its raw body and its headers.
// Throws WebhookVerificationError for what Leadhook did not send just now: answer 401.
export function leadOf(body, headers) {
  return webhook.verify(body, headers).data.lead;
}
