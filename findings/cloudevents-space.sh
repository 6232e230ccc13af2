#!/usr/bin/env bash
# A space in a CloudEvents attribute does not survive the trip from one official SDK to another.
#
# One expects: an attribute such as subject arrives unchanged, at least in plain ASCII.
# What happens: in binary mode, attributes are HTTP headers, and the HTTP binding says that a space, a double quote and
#   a percent sign are percent-encoded. The Python SDK 2 does so in both directions. The JavaScript SDK does it in
#   neither. So "Ada Lovelace" sent by Python is "Ada%20Lovelace" in JavaScript, and a page address with %20 in it,
#   sent by JavaScript, has lost its %20 in Python. The older API that the Python package still ships
#   (cloudevents.v1) does not decode either. In structured mode (one JSON document) all agree.
# Versions: PyPI cloudevents 2.2.0, npm cloudevents 10.0.0.
# Seen: the table below.
# Why it matters: a lead's subject is often a name or the address of a page. A sender that offers CloudEvents should
#   prefer structured mode, or keep spaces and percent signs out of attributes. No error tells of the change.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cloudevents==2.2.0
npm install --silent --no-audit --no-fund --ignore-scripts cloudevents@10.0.0 >npm.log

cat >look.py <<'PY'
"""send: prints both modes of an event for each subject. receive: reads such messages and prints the subjects."""

import json
import sys

from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.http import from_http

KNOWN = {"id": "1", "source": "/leads", "type": "lead.created", "datacontenttype": "application/json"}

if sys.argv[1] == "send":
    messages = []
    for subject in json.load(open("subjects.json")):
        event = CloudEvent(attributes=KNOWN | {"subject": subject}, data={"lead": 1})
        for mode, write in (("binary", http.to_binary), ("structured", http.to_structured)):
            message = write(event, JSONFormat())
            body = message.body.decode()
            messages.append({"mode": mode, "subject": subject, "headers": message.headers, "body": body})
    print(json.dumps(messages))
else:
    for sent in json.load(open(sys.argv[2])):
        body = sent["body"].encode()
        message = http.HTTPMessage(headers=sent["headers"], body=body)
        read = http.from_binary if sent["mode"] == "binary" else http.from_structured
        new = read(message, JSONFormat(), CloudEvent).get_subject()
        old = from_http(sent["headers"], body)["subject"]
        for reader, subject in (("Python", new), ("Python, old API", old)):
            told = "same" if subject == sent["subject"] else subject
            print(f"{sys.argv[3]:10} -> {reader:15} {sent['mode']:10} {sent['subject']:14} {told}")
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import { CloudEvent, HTTP } from "cloudevents";

const [, , task, path, sender] = process.argv;
const load = (name) => JSON.parse(readFileSync(name, "utf8"));

if (task === "send") {
  const messages = load("subjects.json").flatMap((subject) => {
    const event = new CloudEvent({ id: "1", source: "/leads", type: "lead.created", subject, data: { lead: 1 } });
    return ["binary", "structured"].map((mode) => ({ mode, subject, ...HTTP[mode](event) }));
  });
  console.log(JSON.stringify(messages));
} else {
  for (const { mode, subject, headers, body } of load(path)) {
    const got = HTTP.toEvent({ headers, body }).subject;
    const told = got === subject ? "same" : got;
    console.log(`${sender.padEnd(10)} -> JavaScript      ${mode.padEnd(10)} ${subject.padEnd(14)} ${told}`);
  }
}
JS

echo '["Ada Lovelace", "/offers%20may"]' >subjects.json
venv/bin/python look.py send >from-python.json
node look.mjs send >from-javascript.json

cat >expected <<'TXT'
Python     -> JavaScript      binary     Ada Lovelace   Ada%20Lovelace
Python     -> JavaScript      structured Ada Lovelace   same
Python     -> JavaScript      binary     /offers%20may  /offers%2520may
Python     -> JavaScript      structured /offers%20may  same
Python     -> Python          binary     Ada Lovelace   same
Python     -> Python, old API binary     Ada Lovelace   Ada%20Lovelace
Python     -> Python          structured Ada Lovelace   same
Python     -> Python, old API structured Ada Lovelace   same
Python     -> Python          binary     /offers%20may  same
Python     -> Python, old API binary     /offers%20may  /offers%2520may
Python     -> Python          structured /offers%20may  same
Python     -> Python, old API structured /offers%20may  same
JavaScript -> Python          binary     Ada Lovelace   same
JavaScript -> Python, old API binary     Ada Lovelace   same
JavaScript -> Python          structured Ada Lovelace   same
JavaScript -> Python, old API structured Ada Lovelace   same
JavaScript -> Python          binary     /offers%20may  /offers may
JavaScript -> Python, old API binary     /offers%20may  same
JavaScript -> Python          structured /offers%20may  same
JavaScript -> Python, old API structured /offers%20may  same
TXT

{
  node look.mjs receive from-python.json Python
  venv/bin/python look.py receive from-python.json Python
  venv/bin/python look.py receive from-javascript.json JavaScript
} 2>log | tee seen
diff expected seen
echo "As stated."
