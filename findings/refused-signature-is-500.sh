#!/usr/bin/env bash
# A daemon that runs commands for webhooks answers 500 to a wrong signature, whatever code is set for a mismatch.
#
# One expects: with "trigger-rule-mismatch-http-response-code": 401, a request whose signature does not fit is
#   answered 401, as a request is that fails any other rule.
# What happens: a signature that does not fit is an error of the rule, not a mismatch: 500, "Error occurred while
#   evaluating hook rules." With "trigger-signature-soft-failures" alone it is still 500. Only if the signature's rule
#   stands in an "or", and soft failures are on, is it a mismatch: 401; without the code set, 200.
# Versions: webhook 2.8.0 (Debian's package 2.8.0-4+b6).
# Seen: the table at the end.
# Why it matters: a sender takes 500 for a fault that passes, and tries for hours; 200 for delivered. A refusal that
#   both sides understand needs all three settings.
#
# Needs python3, and apt on Debian (as any user).
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${pid:-0}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

apt-get download webhook >/dev/null
dpkg-deb -x webhook_2.8.0*.deb package

cat >hooks.py <<'PY'
import json

rule = {"match": {"type": "payload-hmac-sha256", "secret": "secret", "parameter": {"source": "header", "name": "X-Sig"}}}
other = {"match": {"type": "value", "value": "yes", "parameter": {"source": "header", "name": "X-Other"}}}
soft = {"trigger-signature-soft-failures": True}
code = {"trigger-rule-mismatch-http-response-code": 401}
hooks = {
    "other rule, code": ({**code}, other),
    "signature": ({}, rule),
    "signature, code": ({**code}, rule),
    "signature, soft, code": ({**soft, **code}, rule),
    "or, code": ({**code}, {"or": [rule]}),
    "or, soft": ({**soft}, {"or": [rule]}),
    "or, soft, code": ({**soft, **code}, {"or": [rule]}),
}
named = [
    {"id": str(number), "execute-command": "/bin/true", "trigger-rule": found, **more}
    for number, (more, found) in enumerate(hooks.values())
]
json.dump(named, open("hooks.json", "w"))
json.dump(list(hooks), open("names.json", "w"))
PY
python3 hooks.py
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
package/usr/bin/webhook -hooks hooks.json -ip 127.0.0.1 -port "$port" >log 2>&1 &
pid=$!

cat >look.py <<'PY'
import hashlib
import hmac
import json
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

BODY = b'{"lead": 1}'
right = hmac.new(b"secret", BODY, hashlib.sha256).hexdigest()


def ask(number, signature):
    url = f"http://127.0.0.1:{sys.argv[1]}/hooks/{number}"
    request = Request(url, BODY, {"Content-Type": "application/json", "X-Sig": signature})
    for _ in range(100):
        try:
            with urlopen(request) as answer:
                return f"{answer.status} {answer.read().decode().strip()}".strip()
        except HTTPError as refused:
            return f"{refused.code} {refused.read().decode().strip()}"
        except URLError:
            time.sleep(0.1)  # it is starting


for number, name in enumerate(json.load(open("names.json"))):
    print(f"{name}: right {ask(number, right)[:3]}, wrong {ask(number, right[::-1])}")
PY
python3 look.py "$port" | tee seen

cat >expected <<'TXT'
other rule, code: right 401, wrong 401 Hook rules were not satisfied.
signature: right 200, wrong 500 Error occurred while evaluating hook rules.
signature, code: right 200, wrong 500 Error occurred while evaluating hook rules.
signature, soft, code: right 200, wrong 500 Error occurred while evaluating hook rules.
or, code: right 200, wrong 500 Error occurred while evaluating hook rules.
or, soft: right 200, wrong 200 Hook rules were not satisfied.
or, soft, code: right 200, wrong 401 Hook rules were not satisfied.
TXT
diff expected seen && echo "As described."
