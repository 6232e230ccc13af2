// Verifies the signature of a webhook that Leadhook signs with a private key (v1a). Node 18 or newer, no packages.
//
//     LEADHOOK_PUBLIC_KEYS="whpk_…" node v1a.mjs 9000
//
// The public key is on the webhook's page, and at https://<leadhook>/.well-known/leadhook/<webhook id>.json. It is no
// secret. While a key is being rotated there are two: give both, with a space between them.

import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE = 5 * 60; // seconds that a timestamp may be off
const MAX_BODY = 1024 * 1024; // bytes

// Node takes a raw Ed25519 key as a JSON Web Key.
function keyOf(text) {
  const raw = Buffer.from(text.replace(/^whpk_/, ""), "base64");
  if (raw.length !== 32) {
    console.error("Set LEADHOOK_PUBLIC_KEYS to the public key: whpk_ and what follows it.");
    process.exit(1);
  }
  return createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") } });
}

// Whether the owner of one of the keys signed this body in the last five minutes.
function isSigned(keys, headers, body) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  const signatures = headers["webhook-signature"] ?? "";
  if (!id || !/^[0-9]{1,11}$/.test(timestamp)) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]); // the raw body, before any parser
  return signatures.split(" ").some((given) => {
    const [version, encoded = ""] = given.split(",");
    const signature = Buffer.from(encoded, "base64");
    return version === "v1a" && signature.length === 64 && keys.some((key) => verify(null, signed, key, signature));
  });
}

async function rawBody(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length <= MAX_BODY) parts.push(part);
  }
  return length > MAX_BODY ? null : Buffer.concat(parts);
}

const keys = (process.env.LEADHOOK_PUBLIC_KEYS ?? "").trim().split(/\s+/).map(keyOf);
const server = createServer(async (request, response) => {
  const body = await rawBody(request);
  if (body === null) return response.writeHead(413).end("the body is too long");
  if (!isSigned(keys, request.headers, body)) return response.writeHead(401).end("the signature does not fit");
  console.log("Received", request.headers["webhook-id"]); // here your work begins; the id is the same in each retry
  response.writeHead(200).end("received");
});
server.listen(Number(process.argv[2] ?? 9000), "127.0.0.1", () => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`);
});
