// For each id, timestamp, signatures and file with a body: yes or no. `sample` is library.mjs, else the name of a package.
import { readFileSync } from "node:fs";

const [, , library, token, ...given] = process.argv;
process.env.LEADHOOK_SHARED_TOKEN = token;
const { leadOf } = library === "sample" ? await import("./library.mjs") : {};
const verifier = library === "sample" ? undefined : new (await import(library)).Webhook(token);
for (; given.length > 0; given.splice(0, 4)) {
  const [id, timestamp, signature, file] = given;
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
  const body = readFileSync(file);
  try {
    if (leadOf) leadOf(body, headers);
    else verifier.verify(body, headers);
    console.log("yes");
  } catch (error) {
    if (error.constructor.name !== "WebhookVerificationError") throw error;
    console.log("no");
  }
}
