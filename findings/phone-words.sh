#!/usr/bin/env bash
# A remark after a phone number becomes part of the number.
#
# One expects: a parser drops the remark in "030 23125 014 (work)" or refuses the text.
# What happens: phonenumbers (Google's libphonenumber for Python) reads the letters as keys of a phone keypad and
#   appends 9675. The longer number passes is_valid_number, because German numbers have no fixed length.
#   It does so from three letters on: "pm" is dropped. libphonenumber-js drops every remark, so two
#   libraries store two valid numbers for the same text. PhoneNumberMatcher, in the same Python package, is right too.
# Versions: PyPI phonenumbers 9.0.43, npm libphonenumber-js 1.13.16 ("max" metadata).
# Seen: the table below. The number is from the range that Germany keeps free for films.
# Why it matters: visitors write such remarks in phone fields. The lead then holds a valid number that reaches
#   another person, and a CRM that uses the JavaScript library does not find the contact.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check phonenumbers==9.0.43
npm install --silent --no-audit --no-fund libphonenumber-js@1.13.16 >npm.log

cat >texts.json <<'JSON'
["030 23125 014", "030 23125 014 pm", "030 23125 014 home", "030 23125 014 (work)"]
JSON

cat >look.py <<'PY'
import json

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberMatcher

for text in json.load(open("texts.json")):
    number = phonenumbers.parse(text, "DE")
    found = [match.number for match in PhoneNumberMatcher(text, "DE")]
    print(
        f"{text:21} parse",
        phonenumbers.format_number(number, PhoneNumberFormat.E164),
        "valid" if phonenumbers.is_valid_number(number) else "not valid",
        "| matcher",
        *(phonenumbers.format_number(each, PhoneNumberFormat.E164) for each in found),
    )
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import parse from "libphonenumber-js/max";

for (const text of JSON.parse(readFileSync("texts.json", "utf8"))) {
  const number = parse(text, "DE");
  console.log(text.padEnd(21), "js   ", number.number, number.isValid() ? "valid" : "not valid");
}
JS

cat >expected <<'TXT'
030 23125 014         parse +493023125014 valid | matcher +493023125014
030 23125 014 pm      parse +493023125014 valid | matcher +493023125014
030 23125 014 home    parse +4930231250144663 valid | matcher +493023125014
030 23125 014 (work)  parse +4930231250149675 valid | matcher +493023125014
030 23125 014         js    +493023125014 valid
030 23125 014 pm      js    +493023125014 valid
030 23125 014 home    js    +493023125014 valid
030 23125 014 (work)  js    +493023125014 valid
TXT

{ venv/bin/python look.py && node look.mjs; } | tee seen
diff expected seen
echo "As stated."
