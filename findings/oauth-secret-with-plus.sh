#!/usr/bin/env bash
# A client secret with a "+" cannot be sent by HTTP Basic in one way that suits all OAuth token servers.
#
# One expects: "client_secret_basic" is one scheme. RFC 6749, section 2.3.1: form-encode id and secret, then Base64.
# What happens: oidc-provider decodes what it gets, so it wants a%2Bb and reads a raw "+" as a space. node-oauth2-server
#   never decodes, so it wants the raw a+b. Each refuses what the other accepts. In the body of the POST
#   (client_secret_post) the same secret works with both.
# Versions: npm oidc-provider 9.13.3, @node-oauth/oauth2-server 5.3.0.
# Seen: the table below.
# Why it matters: secrets are often Base64, and most long Base64 texts have a "+" or a "/". A sender that fetches a
#   token before it delivers needs the encoding as a setting, or must send the secret in the body. The 401 that it
#   gets says invalid_client, so people look for a wrong secret.
#
# Needs node. (oidc-provider prints a warning on Node 20; it is hidden here.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts oidc-provider@9.13.3 @node-oauth/oauth2-server@5.3.0 >npm.log

cat >look.mjs <<'JS'
import { createServer } from "node:http";
import OAuth2Server from "@node-oauth/oauth2-server";
import Provider from "oidc-provider";

const ID = "leads";
const SECRET = "a+b";
const GRANT = "client_credentials";

const provider = new Provider("http://127.0.0.1", {
  clients: [{ client_id: ID, client_secret: SECRET, grant_types: [GRANT], redirect_uris: [], response_types: [] }],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  ttl: { ClientCredentials: 60 },
});

const oauth = new OAuth2Server({
  model: {
    getClient: async (id, secret) => (id === ID && secret === SECRET ? { id, grants: [GRANT] } : null),
    getUserFromClient: async () => ({ id: 1 }),
    saveToken: async (token, client, user) => ({ ...token, client, user }),
  },
});

async function byOauth2Server(request, response) {
  let text = "";
  for await (const part of request) text += part;
  const body = Object.fromEntries(new URLSearchParams(text));
  const asked = new OAuth2Server.Request({ headers: request.headers, method: request.method, query: {}, body });
  try {
    await oauth.token(asked, new OAuth2Server.Response({}));
    response.writeHead(200).end();
  } catch (error) {
    response.writeHead(error.code).end(error.name);
  }
}

const basic = (secret) => ({ authorization: "Basic " + Buffer.from(`${ID}:${secret}`).toString("base64") });
const ways = {
  "Basic, raw a+b": [basic(SECRET), {}],
  "Basic, a%2Bb": [basic(encodeURIComponent(SECRET)), {}],
  "in the body": [{}, { client_id: ID, client_secret: SECRET }],
};

const servers = { "oidc-provider": createServer(provider.callback()), "oauth2-server": createServer(byOauth2Server) };
for (const [name, server] of Object.entries(servers)) {
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  for (const [way, [headers, fields]] of Object.entries(ways)) {
    const body = new URLSearchParams({ grant_type: GRANT, ...fields });
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/token`, { method: "POST", headers, body });
    const error = answer.ok ? "" : (await answer.text()).match(/invalid_client/)[0];
    console.log(name.padEnd(14), way.padEnd(15), answer.status, error);
  }
  server.close();
  server.closeAllConnections();
}
JS

cat >expected <<'TXT'
oidc-provider  Basic, raw a+b  401 invalid_client
oidc-provider  Basic, a%2Bb    200
oidc-provider  in the body     200
oauth2-server  Basic, raw a+b  200
oauth2-server  Basic, a%2Bb    401 invalid_client
oauth2-server  in the body     200
TXT

node look.mjs 2>warnings | sed -E 's/ +$//' | tee seen
diff expected seen
echo "As stated."
