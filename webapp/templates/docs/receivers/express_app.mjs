// A receiver for Leadhook webhooks in Express. Save receiver.mjs beside it.
//
//     npm install express
//     LEADHOOK_SHARED_TOKEN=whsec_… node express_app.mjs 9000

import express from "express";
import { keyOf, MAX_BODY, receive, Refused } from "./receiver.mjs";

const key = keyOf(process.env.LEADHOOK_SHARED_TOKEN);
const app = express();

// The raw body. If the application has express.json(), this must come before it.
const rawBody = express.raw({ type: "*/*", limit: MAX_BODY });

app.post("/hook", rawBody, (request, response) => {
  response.type("text/plain").send(receive(key, request.headers, request.body));
});

app.use((error, request, response, next) => {
  if (!(error instanceof Refused)) return next(error);
  response.status(error.code).type("text/plain").send(error.message);
});

app.listen(Number(process.argv[2] ?? 9000), "127.0.0.1");
