// oidc-provider as a token server: node oidc_provider.mjs PORT CLIENTS, which are JSON: pairs of id and secret.
import { Provider } from "oidc-provider"

const [port, clients] = process.argv.slice(2)
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: JSON.parse(clients).map(([client_id, client_secret]) => ({
    client_id, client_secret, grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
  })),
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  scopes: ["leads"],
})
provider.listen(Number(port), "127.0.0.1")
