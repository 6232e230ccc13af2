// @node-oauth/oauth2-server as a token server, with a protected path /leads.
// node node_oauth.mjs PORT CLIENTS, which are JSON: pairs of id and secret.
import { createServer } from "node:http"
import OAuth2Server from "@node-oauth/oauth2-server"

const [port, given] = process.argv.slice(2)
const clients = new Map(JSON.parse(given))
const tokens = new Map()
const server = new OAuth2Server({
  accessTokenLifetime: 3600,
  model: {
    getClient: (id, secret) => clients.get(id) === secret ? { id, grants: ["client_credentials"] } : null,
    saveToken: (token, client, user) => {
      tokens.set(token.accessToken, { ...token, client, user })
      return tokens.get(token.accessToken)
    },
    getUserFromClient: (client) => ({ id: client.id }),
    validateScope: (user, client, scope) => (scope || []).every((one) => one === "leads") && (scope || []),
    getAccessToken: (token) => tokens.get(token),
  },
})

createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const text = Buffer.concat(parts).toString()
  const isForm = (request.headers["content-type"] || "").includes("form")
  const body = isForm ? Object.fromEntries(new URLSearchParams(text)) : {}
  const asked = new OAuth2Server.Request({ method: request.method, headers: request.headers, query: {}, body })
  const answer = new OAuth2Server.Response({})
  let said = "thank you"
  if (request.url === "/expire") {
    for (const token of tokens.values()) token.accessTokenExpiresAt = new Date(Date.now() - 1000)
  } else try {
    if (request.url === "/token") said = JSON.stringify((await server.token(asked, answer), answer.body))
    else await server.authenticate(asked, answer)
  } catch (error) {
    answer.status = error.code || 500
    said = JSON.stringify({ error: error.name, error_description: error.message })
  }
  response.writeHead(answer.status || 200, { ...answer.headers, "content-type": "application/json" })
  response.end(said)
}).listen(Number(port), "127.0.0.1")
