// A receiver for Leadhook webhooks in Fastify. Save receiver.mjs beside it.
//
//     npm install fastify
//     LEADHOOK_SHARED_TOKEN=whsec_… node fastify_app.mjs 9000

import Fastify from "fastify";
import { keyOf, MAX_BODY, receive, Refused } from "./receiver.mjs";

const key = keyOf(process.env.LEADHOOK_SHARED_TOKEN);
const app = Fastify({ bodyLimit: MAX_BODY });

// A plugin of its own, so that the rest of the application still gets parsed JSON.
app.register(async (leads) => {
  leads.removeAllContentTypeParsers();
  leads.addContentTypeParser("*", { parseAs: "buffer" }, (request, body, done) => done(null, body));

  leads.post("/hook", async (request) => receive(key, request.headers, request.body)); // the raw body

  leads.setErrorHandler((error, request, reply) => {
    if (!(error instanceof Refused)) throw error;
    return reply.code(error.code).send(error.message);
  });
});

await app.listen({ port: Number(process.argv[2] ?? 9000), host: "127.0.0.1" });
