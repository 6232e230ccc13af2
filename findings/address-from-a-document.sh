#!/usr/bin/env bash
# An e-mail address copied from a document passes validators with a typographic or an invisible character in it.
#
# One expects: a validator refuses a typographic apostrophe, a hyphen that does not break, or an invisible character,
#   for hardly anybody has such an address.
# What happens: since RFC 6531, all of Unicode is allowed before the @, and no two of these five draw the line alike.
#   email-validator takes the apostrophe and the hyphen before the @, unchanged, and refuses the invisible ones.
#   validator.js takes all six, also invisible characters and an ellipsis at the end. Joi takes five of them. Django
#   takes only ASCII before the @, but hyphen and ellipsis in the domain. Zod takes none.
# Versions: PyPI email-validator 2.4.0, django 5.2.19; npm validator 13.15.35, joi 18.3.2, zod 4.6.7, each with its
#   defaults (email-validator without the DNS query).
# Seen: the table below.
# Why it matters: word processors write ’ for ' and have a key for the hyphen that does not break. The copy looks like
#   the address and is stored as valid, but mail to it is for another mailbox. With allow_smtputf8=False,
#   email-validator refuses it, and every other address that is not ASCII before the @.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts validator@13.15.35 joi@18.3.2 zod@4.6.7 >npm.log &
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile email-validator==2.4.0 django==5.2.19
wait $!

cat >addresses.json <<'JSON'
[
  ["apostrophe U+2019", "o\u2019brien@example.org"],
  ["hyphen U+2011", "ada\u2011lovelace@example.org"],
  ["soft hyphen U+00AD", "ada\u00adlovelace@example.org"],
  ["no width U+200B", "ada\u200blovelace@example.org"],
  ["hyphen in domain", "ada@example\u2011shop.org"],
  ["ellipsis at the end", "ada@example.org\u2026"]
]
JSON

cat >look.py <<'PY'
import json

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email as django
from email_validator import EmailNotValidError, validate_email

settings.configure()


def email_validator(address):
    assert validate_email(address, check_deliverability=False).normalized == address


def ascii_only(address):
    validate_email(address, check_deliverability=False, allow_smtputf8=False)


def told(check, address):
    try:
        check(address)
        return "takes it"
    except (EmailNotValidError, ValidationError):
        return "refuses"


for name, address in json.load(open("addresses.json")):
    checks = {"email-validator": email_validator, "allow_smtputf8=False": ascii_only, "Django": django}
    print(f"{name:19}", *(f" {check}: {told(read, address):8}" for check, read in checks.items()))
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import Joi from "joi";
import validator from "validator";
import { z } from "zod";

const told = (takes) => (takes ? "takes it" : "refuses").padEnd(8);
for (const [name, address] of JSON.parse(readFileSync("addresses.json", "utf8"))) {
  const js = told(validator.isEmail(address));
  const joi = told(!Joi.string().email().validate(address).error);
  const zod = told(z.email().safeParse(address).success);
  console.log(`${name.padEnd(19)}  validator.js: ${js}  Joi: ${joi}  Zod: ${zod}`);
}
JS

cat >expected <<'TXT'
apostrophe U+2019    email-validator: takes it  allow_smtputf8=False: refuses   Django: refuses
hyphen U+2011        email-validator: takes it  allow_smtputf8=False: refuses   Django: refuses
soft hyphen U+00AD   email-validator: refuses   allow_smtputf8=False: refuses   Django: refuses
no width U+200B      email-validator: refuses   allow_smtputf8=False: refuses   Django: refuses
hyphen in domain     email-validator: refuses   allow_smtputf8=False: refuses   Django: takes it
ellipsis at the end  email-validator: refuses   allow_smtputf8=False: refuses   Django: takes it
apostrophe U+2019    validator.js: takes it  Joi: takes it  Zod: refuses
hyphen U+2011        validator.js: takes it  Joi: takes it  Zod: refuses
soft hyphen U+00AD   validator.js: takes it  Joi: takes it  Zod: refuses
no width U+200B      validator.js: takes it  Joi: takes it  Zod: refuses
hyphen in domain     validator.js: takes it  Joi: takes it  Zod: refuses
ellipsis at the end  validator.js: takes it  Joi: refuses   Zod: refuses
TXT

{ venv/bin/python look.py && node look.mjs; } | sed 's/ *$//' | tee seen
diff expected seen
echo "As stated."
