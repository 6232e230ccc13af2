#!/usr/bin/env bash
# A phone number that was valid when it was stored is invalid after an update, and WhatsApp still sends such numbers.
#
# One expects: a number that passed the check passes it later, and the number of a WhatsApp message is a valid one.
# What happens: the library follows each country's numbering plan and forgets the one before. phonenumbers of 2022 took
#   +52 1 ... (Mexico) and left out the 1, so that it equalled the same person's +52 number. Today's keeps the 1 and
#   calls the number impossible. A number of Benin with eight digits was valid and is not, since Benin put 01 in front.
#   Brazil's mobile numbers of eight digits are "possible, not valid" in both.
#   libphonenumber-js agrees with today's phonenumbers.
# Versions: PyPI phonenumbers 8.12.57 and 9.0.43, npm libphonenumber-js 1.13.16 ("max" metadata).
# Seen: the table below. The numbers are made up.
# Why it matters: WhatsApp's ids keep the old form for many accounts in Mexico (521...) and Brazil (eight digits), as
#   help pages of Zoho and Gupshup explain (search for "WhatsApp ID Brazil Mexico"; not part of this script). A lead
#   from WhatsApp is refused, or does not match the same person's number from a form. Checking stored leads anew after
#   an update refuses numbers that were right.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts libphonenumber-js@1.13.16 >npm.log &
python3 -m venv venv
for version in 8.12.57 9.0.43; do
  venv/bin/pip install --quiet --disable-pip-version-check --no-compile --target "$version" "phonenumbers==$version"
done
wait $!

cat >numbers.json <<'JSON'
[
  "+52 1 55 1234 5678", "+52 55 1234 5678",
  "+55 61 8123 4567", "+55 61 98123 4567",
  "+229 97 12 34 56", "+229 01 97 12 34 56"
]
JSON

cat >look.py <<'PY'
import json

import phonenumbers
from phonenumbers import PhoneNumberFormat

for text in json.load(open("numbers.json")):
    number = phonenumbers.parse(text)
    told = "valid" if phonenumbers.is_valid_number(number) else "not valid"
    if told == "not valid" and phonenumbers.is_possible_number(number):
        told = "possible"
    kept = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    print(f"{phonenumbers.__version__:8} {text:19} {kept:15} {told}")
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import parse from "libphonenumber-js/max";

for (const text of JSON.parse(readFileSync("numbers.json", "utf8"))) {
  const number = parse(text);
  const told = number.isValid() ? "valid" : number.isPossible() ? "possible" : "not valid";
  console.log(`js       ${text.padEnd(19)} ${number.number.padEnd(15)} ${told}`);
}
JS

cat >expected <<'TXT'
8.12.57  +52 1 55 1234 5678  +525512345678   valid
8.12.57  +52 55 1234 5678    +525512345678   valid
8.12.57  +55 61 8123 4567    +556181234567   possible
8.12.57  +55 61 98123 4567   +5561981234567  valid
8.12.57  +229 97 12 34 56    +22997123456    valid
8.12.57  +229 01 97 12 34 56 +2290197123456  not valid
9.0.43   +52 1 55 1234 5678  +5215512345678  not valid
9.0.43   +52 55 1234 5678    +525512345678   valid
9.0.43   +55 61 8123 4567    +556181234567   possible
9.0.43   +55 61 98123 4567   +5561981234567  valid
9.0.43   +229 97 12 34 56    +22997123456    not valid
9.0.43   +229 01 97 12 34 56 +2290197123456  valid
js       +52 1 55 1234 5678  +5215512345678  not valid
js       +52 55 1234 5678    +525512345678   valid
js       +55 61 8123 4567    +556181234567   possible
js       +55 61 98123 4567   +5561981234567  valid
js       +229 97 12 34 56    +22997123456    not valid
js       +229 01 97 12 34 56 +2290197123456  valid
TXT

{
  for version in 8.12.57 9.0.43; do PYTHONPATH=$version venv/bin/python look.py; done
  node look.mjs
} | tee seen
diff expected seen
echo "As stated."
