// node verify.mjs SECRETS.json: asks vendors' own npm packages whether a request's signature is right.
//
// Each package answers at the path /<name>; 200 is yes. Prints its port. tests/receivers/signatures.py installs the
// packages beside a copy of this file, and Leadhook's sender makes the requests.

import "@shopify/shopify-api/adapters/node";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { verify as verifyGitHub } from "@octokit/webhooks-methods";
import { shopifyApi, ApiVersion } from "@shopify/shopify-api";
import { WorkOS } from "@workos-inc/node";
import { assertValidSignature } from "@sanity/webhook";
import { Paddle } from "@paddle/paddle-node-sdk";
import { AwsLambdaReceiver } from "@zoom/rivet/chatbot";
import { verifyKey } from "discord-interactions";
import Mux from "@mux/mux-node";
import Stripe from "stripe";
import XHubSignature from "x-hub-signature";

console.debug = () => {}; // of the libraries
const require = createRequire(import.meta.url);
const { isValidSlackRequest } = require("./node_modules/@slack/bolt/dist/receivers/verify-request.js");
const { Signature } = require("@hubspot/api-client");
const { WebhooksHelper } = require("square");
const { EventWebhook } = require("@sendgrid/eventwebhook");
const { hmacValidator } = require("@adyen/api-library");
const { validateSignature } = require("@line/bot-sdk");
const standardwebhooks = require("standardwebhooks");
const svix = require("svix");
const twilio = require("twilio");

const secrets = JSON.parse(readFileSync(process.argv[2], "utf8"));
const shopify = (secret) =>
  shopifyApi({
    apiKey: "key",
    apiSecretKey: secret,
    hostName: "shop.example",
    apiVersion: Object.values(ApiVersion).at(-1),
    isEmbeddedApp: true,
    isTesting: true,
    logger: { level: 0 },
  });

// Each says true, or false or throws. `text` is the raw body.
const verifiers = {
  "stripe-npm": (text, headers, url, secret) =>
    new Stripe("sk_test").webhooks.constructEvent(text, headers["stripe-signature"], secret) && true,
  "github-npm": (text, headers, url, secret) => verifyGitHub(secret, text, headers["x-hub-signature-256"]),
  "shopify-npm": async (text, headers, url, secret, request) => {
    const found = await shopify(secret).webhooks.validate({ rawBody: text, rawRequest: request, rawResponse: null });
    if (!found.valid) throw new Error(found.reason);
    return true;
  },
  "slack-npm": (text, headers, url, secret) =>
    isValidSlackRequest({
      signingSecret: secret,
      body: text,
      headers: { ...headers, "x-slack-request-timestamp": Number(headers["x-slack-request-timestamp"]) },
    }),
  "hubspot-npm": (text, headers, url, secret) =>
    Signature.isValid({
      method: "POST",
      signatureVersion: "v3",
      clientSecret: secret,
      requestBody: text,
      url,
      signature: headers["x-hubspot-signature-v3"],
      timestamp: Number(headers["x-hubspot-request-timestamp"]),
    }),
  "twilio-npm": (text, headers, url, secret) =>
    twilio.validateRequestWithBody(secret, headers["x-twilio-signature"], url, text),
  "square-npm": (text, headers, url, secret) =>
    WebhooksHelper.verifySignature({
      requestBody: text,
      signatureHeader: headers["x-square-hmacsha256-signature"],
      signatureKey: secret,
      notificationUrl: url,
    }),
  "standardwebhooks-npm": (text, headers, url, secret) =>
    new standardwebhooks.Webhook(secret).verify(text, headers) && true,
  "svix-npm": (text, headers, url, secret) => {
    new svix.Webhook(secret).verify(text, headers);
    return true;
  },
  "paddle-npm": (text, headers, url, secret) =>
    new Paddle("key").webhooks.isSignatureValid(text, secret, headers["paddle-signature"]),
  "line-npm": (text, headers, url, secret) => validateSignature(text, secret, headers["x-line-signature"]),
  "sendgrid-npm": (text, headers, url, secret) => {
    const webhook = new EventWebhook();
    const name = "x-twilio-email-event-webhook";
    const key = webhook.convertPublicKeyToECDSA(secret);
    return webhook.verifySignature(key, text, headers[`${name}-signature`], headers[`${name}-timestamp`]);
  },
  "discord-npm": (text, headers, url, secret) =>
    verifyKey(text, headers["x-signature-ed25519"], headers["x-signature-timestamp"], secret),
  "workos-npm": async (text, headers, url, secret) =>
    new WorkOS("sk_test").webhooks.verifyHeader({
      payload: JSON.parse(text),
      sigHeader: headers["workos-signature"],
      secret,
    }),
  "zoom-npm": async (text, headers, url, secret) => {
    const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
    receiver.init({ eventEmitter: { emit: () => true } });
    const answer = await receiver.start()({ body: text, headers }, {});
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${answer.body}`);
    return true;
  },
  "sanity-npm": async (text, headers, url, secret) => {
    await assertValidSignature(text, headers["sanity-webhook-signature"], secret);
    return true;
  },
  "adyen-npm": (text, headers, url, secret) =>
    new hmacValidator().validateHMACSignature(secret, headers["hmacsignature"], text),
  "mux-npm": async (text, headers, url, secret) => {
    await new Mux({ tokenId: "id", tokenSecret: "secret" }).webhooks.verifySignature(text, headers, secret);
    return true;
  },
  "meta-npm": (text, headers, url, secret) =>
    new XHubSignature("sha256", secret).verify(headers["x-hub-signature-256"], Buffer.from(text)),
  "intercom-npm": (text, headers, url, secret) =>
    new XHubSignature("sha1", secret).verify(headers["x-hub-signature"], Buffer.from(text)),
};
verifiers["svix-npm-names"] = verifiers["svix-npm"];

const server = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const name = request.url.split(/[/?]/)[1];
  const url = `http://${request.headers.host}${request.url}`;
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    const yes = await verifiers[name](text, request.headers, url, secrets[name], request);
    response.writeHead(yes === true ? 200 : 401).end(String(yes));
  } catch (error) {
    response.writeHead(401).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
