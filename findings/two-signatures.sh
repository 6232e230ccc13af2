#!/usr/bin/env bash
# While a secret is rotated, the order of two signatures in one header decides which receivers accept them.
#
# One expects: a header with two signatures, by the old and by the new secret, is accepted if one of them matches.
#   That is how Stripe's header t=...,v1=...,v1=... works, and other vendors' headers have the same form.
# What happens: Paddle's Node SDK keeps only the last signature, WorkOS's Node SDK reads only the first. Neither order
#   suits both. It is not a matter of the vendor: Paddle's Python SDK accepts both orders, and WorkOS's Python SDK
#   raises ValueError, because it splits the header into exactly two parts.
# Versions: npm stripe 23.1.0, @mux/mux-node 15.3.0, @paddle/paddle-node-sdk 3.10.0, @workos-inc/node 8.13.0;
#   PyPI stripe 16.1.0, paddle-python-sdk 1.16.1, workos 10.8.0.
# Seen: the table below. The receiver has one secret. "first" means that the signature made with it comes first.
# Why it matters: a sender that copies one of these schemes and signs with two secrets during a rotation loses some
#   receivers for the whole overlap. It needs a switch to sign with one secret only.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check stripe==16.1.0 paddle-python-sdk==1.16.1 workos==10.8.0
npm install --silent --no-audit --no-fund --ignore-scripts stripe@23.1.0 @mux/mux-node@15.3.0 \
  @paddle/paddle-node-sdk@3.10.0 @workos-inc/node@8.13.0 >npm.log

cat >look.mjs <<'JS'
import { createHmac } from "node:crypto";
import Mux from "@mux/mux-node";
import { Paddle } from "@paddle/paddle-node-sdk";
import { WorkOS } from "@workos-inc/node";
import Stripe from "stripe";

const SECRET = "the-receivers-secret";
const event = { id: "event_1", object: "event", event: "user.created", data: {} };
const body = JSON.stringify(event);
const ms = Date.now();
const seconds = Math.floor(ms / 1000);

function signatures(content, place) {
  const sign = (key) => createHmac("sha256", key).update(content).digest("hex");
  const [mine, other] = [sign(SECRET), sign("another-secret")];
  return place === "first" ? [mine, other] : [other, mine];
}

const verifiers = {
  async stripe(place) {
    const [a, b] = signatures(`${seconds}.${body}`, place);
    new Stripe("sk_test").webhooks.constructEvent(body, `t=${seconds},v1=${a},v1=${b}`, SECRET);
    return true;
  },
  async mux(place) {
    const [a, b] = signatures(`${seconds}.${body}`, place);
    const mux = new Mux({ tokenId: "id", tokenSecret: "secret" });
    await mux.webhooks.unwrap(body, { "mux-signature": `t=${seconds},v1=${a},v1=${b}` }, SECRET);
    return true;
  },
  paddle(place) {
    const [a, b] = signatures(`${seconds}:${body}`, place);
    return new Paddle("key").webhooks.isSignatureValid(body, SECRET, `ts=${seconds};h1=${a};h1=${b}`);
  },
  workos(place) {
    const [a, b] = signatures(`${ms}.${body}`, place);
    const sigHeader = `t=${ms}, v1=${a}, v1=${b}`;
    return new WorkOS("key", { clientId: "id" }).webhooks.verifyHeader({ payload: event, sigHeader, secret: SECRET });
  },
};

for (const [name, verify] of Object.entries(verifiers)) {
  const answers = [];
  for (const place of ["first", "last"]) {
    const answer = await verify(place).catch((error) => error.constructor.name);
    answers.push(`${place}: ${answer === true ? "accepted" : answer === false ? "refused" : answer}`);
  }
  console.log(`node   ${name.padEnd(7)}`, answers.join("  "));
}
JS

cat >look.py <<'PY'
import hashlib
import hmac
import json
import time
from types import SimpleNamespace

import stripe
from paddle_billing.Notifications import Secret, Verifier
from workos import WorkOSClient

SECRET = "the-receivers-secret"
BODY = json.dumps({"id": "event_1", "object": "event"}).encode()


def signatures(content, place):
    mine, other = (hmac.new(key, content, hashlib.sha256).hexdigest() for key in (SECRET.encode(), b"another-secret"))
    return (mine, other) if place == "first" else (other, mine)


def by_stripe(place):
    seconds = int(time.time())
    a, b = signatures(b"%d." % seconds + BODY, place)
    return bool(stripe.Webhook.construct_event(BODY, f"t={seconds},v1={a},v1={b}", SECRET))


def by_paddle(place):
    seconds = int(time.time())
    a, b = signatures(b"%d:" % seconds + BODY, place)
    header = {"Paddle-Signature": f"ts={seconds};h1={a};h1={b}"}
    return Verifier().verify(SimpleNamespace(headers=header, body=BODY, content=BODY, data=BODY), Secret(SECRET))


def by_workos(place):
    ms = int(time.time() * 1000)
    a, b = signatures(b"%d." % ms + BODY, place)
    client = WorkOSClient(api_key="key", client_id="id")
    client.webhooks.verify_header(event_body=BODY, event_signature=f"t={ms}, v1={a}, v1={b}", secret=SECRET)
    return True


for name, verify in (("stripe", by_stripe), ("paddle", by_paddle), ("workos", by_workos)):
    answers = []
    for place in ("first", "last"):
        try:
            answers.append(f"{place}: {'accepted' if verify(place) else 'refused'}")
        except Exception as error:
            answers.append(f"{place}: {type(error).__name__}")
    print(f"python {name:7}", "  ".join(answers))
PY

cat >expected <<'TXT'
node   stripe  first: accepted  last: accepted
node   mux     first: accepted  last: accepted
node   paddle  first: refused  last: accepted
node   workos  first: accepted  last: SignatureVerificationException
python stripe  first: accepted  last: accepted
python paddle  first: accepted  last: accepted
python workos  first: ValueError  last: ValueError
TXT

{ node look.mjs && venv/bin/python look.py; } | tee seen
diff expected seen
echo "As stated."
