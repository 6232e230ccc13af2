#!/usr/bin/env bash
# A filter "ignore bots" refuses webhooks by how their User-Agent is spelled.
#
# One expects: a bot filter knows crawlers by name, and lets an unknown sender such as Acme/1.0 pass.
# What happens: isbot takes a User-Agent that is only words and a version for a bot, so "Acme/1.0" is one. A remark in
#   brackets saves it: in 3.6.13 one word is enough, in 5.2.3 it takes two. A URL in the remark makes it a bot again.
#   GitHub's User-Agent is GitHub-Hookshot/ and seven hexadecimal digits. It passes 3.6.13 if one of them is a letter,
#   and is a bot if none is. For 5.2.3 both are bots.
# Versions: npm isbot 3.6.13 and 5.2.3.
# Seen: the table below.
# Why it matters: n8n's Webhook node has an option "Ignore Bots"; n8n-nodes-base 2.41.2 depends on isbot 3.6.13. A
#   sender's name decides whether such a receiver takes its webhooks. (n8n 2.40.7 answered Leadhook/1.0 with 403
#   "Authorization data is wrong!"; that run is not part of this script.)
#   The usual form with a URL, Acme/1.0 (+https://...), passes neither version.
#
# Needs node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts isbot3@npm:isbot@3.6.13 isbot5@npm:isbot@5.2.3 >npm.log

cat >look.mjs <<'JS'
import isbot3 from "isbot3";
import { isbot as isbot5 } from "isbot5";

const agents = [
  "Acme/1.0",
  "Acme Webhooks",
  "Acme/1.0 (webhooks)",
  "Acme/1.0 (sends leads)",
  "Acme/1.0 (+https://acme.example/)",
  "GitHub-Hookshot/1a2b3c4",
  "GitHub-Hookshot/1234567",
];
const word = (bot) => (bot ? "bot" : "passes");
for (const agent of agents) {
  console.log(`${agent.padEnd(34)} 3.6.13: ${word(isbot3(agent)).padEnd(6)}  5.2.3: ${word(isbot5(agent))}`);
}
JS

cat >expected <<'TXT'
Acme/1.0                           3.6.13: bot     5.2.3: bot
Acme Webhooks                      3.6.13: bot     5.2.3: bot
Acme/1.0 (webhooks)                3.6.13: passes  5.2.3: bot
Acme/1.0 (sends leads)             3.6.13: passes  5.2.3: passes
Acme/1.0 (+https://acme.example/)  3.6.13: bot     5.2.3: bot
GitHub-Hookshot/1a2b3c4            3.6.13: passes  5.2.3: bot
GitHub-Hookshot/1234567            3.6.13: bot     5.2.3: bot
TXT

node look.mjs | tee seen
diff expected seen
echo "As stated."
