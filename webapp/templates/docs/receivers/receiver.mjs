// A complete receiver for Leadhook webhooks. Node 18 or newer, no packages.
//
//     LEADHOOK_SHARED_TOKEN=whsec_… node receiver.mjs 9000
//
// In a framework, import `receive` from this file.

import { createHmac, timingSafeEqual } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const TOLERANCE = 5 * 60; // seconds that a timestamp may be off
export const MAX_BODY = 1024 * 1024; // bytes
const REMEMBERED = 10_000; // webhook-ids; a database would have a unique column

// A request that is not to be believed: the code and the words of the answer.
export class Refused extends Error {
  constructor(code, words) {
    super(words);
    this.code = code;
  }
}

export function keyOf(token = "") {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(token)?.[1] ?? "";
  const key = Buffer.from(base64, "base64");
  if (key.length < 24) { // an empty key would let everyone sign
    console.error("Set LEADHOOK_SHARED_TOKEN to the Shared Token: whsec_ and what follows it.");
    process.exit(1);
  }
  return key;
}

// Returns if Leadhook sent this body just now, else throws Refused.
function verify(key, headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (!id || !timestamp || !signatures) {
    throw new Refused(400, "webhook-id, webhook-timestamp and webhook-signature are needed");
  }
  if (!/^[0-9]+$/.test(timestamp)) {
    throw new Refused(400, "webhook-timestamp is not a number of seconds");
  }
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) {
    throw new Refused(401, "webhook-timestamp is more than 5 minutes off");
  }
  const hmac = createHmac("sha256", key);
  hmac.update(`${id}.${timestamp}.`).update(body); // the raw body, before any parser
  const expected = Buffer.from(`v1,${hmac.digest("base64")}`);
  // Two signatures come while a token is being rotated; one of them must fit.
  const fits = signatures.split(" ").some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!fits) throw new Refused(401, "the signature does not fit");
}

// Where your work begins: store the lead, answer, and do what is slow afterwards.
function keep(event) {
  const { id, fields } = event.data.lead;
  console.log("Received", event.type, id, JSON.stringify(fields));
}

const seen = new Set();

// Keeps what is new. A repeat is a success, too: we have it.
function once(id, body) {
  if (seen.has(id)) return "already received";
  keep(JSON.parse(body));
  seen.add(id); // only now: had keeping failed, the retry would be needed
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
  return "received";
}

// Takes one request; returns the words of a 200. Throws Refused. `headers` is a plain object, its names in small letters,
// and `body` a Buffer.
export function receive(key, headers, body) {
  if (body.length > MAX_BODY) throw new Refused(413, "the body is too long");
  verify(key, headers, body);
  return once(headers["webhook-id"], body);
}

async function rawBody(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length <= MAX_BODY) parts.push(part);
  }
  if (length > MAX_BODY) throw new Refused(413, "the body is too long");
  return Buffer.concat(parts);
}

function serve(port) {
  const key = keyOf(process.env.LEADHOOK_SHARED_TOKEN);
  const server = createServer(async (request, response) => {
    let code = 200;
    let words;
    try {
      if (request.method !== "POST") throw new Refused(405, "leads come by POST");
      words = receive(key, request.headers, await rawBody(request));
    } catch (error) {
      if (!(error instanceof Refused)) console.error(error);
      code = error instanceof Refused ? error.code : 500;
      words = error instanceof Refused ? error.message : "not kept, please send it again";
    }
    response.writeHead(code, { "content-type": "text/plain; charset=utf-8" }).end(words);
  });
  server.listen(port, "127.0.0.1", () => {
    console.log(`Listening on http://127.0.0.1:${server.address().port}`);
  });
}

// Not if another file imports this one.
const [, started, port = "9000"] = process.argv;
if (started && realpathSync(started) === fileURLToPath(import.meta.url)) serve(Number(port));
