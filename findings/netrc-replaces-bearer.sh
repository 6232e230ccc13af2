#!/usr/bin/env bash
# A Python client sends the password of a .netrc instead of the API key that its caller put in the header.
#
# One expects: headers={"Authorization": "Bearer KEY"} is what leaves, because the caller said it for this request.
# What happens: where ~/.netrc (or $NETRC) has an entry for the host, or a "default" one, requests builds its own
#   Authorization from it and throws the caller's away. The API sees "Basic …", and answers 401 for a key that is right.
#   It does so for headers of one request, of a session, and of a prepared request of a session. auth= of the caller
#   wins, and so does trust_env = False. httpx reads no .netrc by itself.
# Versions: requests 2.34.2, httpx 0.28.1.
# Seen: the table at the end.
# Why it matters: a key works on one machine and not on the next one. Tools for hosting and package feeds write a .netrc,
#   some with a "default" entry, and its password goes to an API that it is not for.
#
# Needs python3 with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip -q install requests==2.34.2 httpx==0.28.1 2>/dev/null

cat >look.py <<'PY'
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import requests


class Answer(BaseHTTPRequestHandler):
    """Answers with the kind of Authorization that came."""

    def do_GET(self):
        sent = (self.headers.get("Authorization") or "none").partition(" ")[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_):
        pass


class Bearer(requests.auth.AuthBase):
    def __call__(self, request):
        request.headers["Authorization"] = "Bearer key"
        return request


server = HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
header = {"Authorization": "Bearer key"}
os.environ["NETRC"] = str(Path("netrc").absolute())


def session(**settings):
    made = requests.Session()
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def prepared():
    made = session()
    return made.send(made.prepare_request(requests.Request("GET", url, headers=header)))


ways = {
    "header of a request": lambda: requests.get(url, headers=header),
    "header of a session": lambda: session(headers=header).get(url),
    "header, prepared by a session": prepared,
    "auth of a request": lambda: requests.get(url, auth=Bearer()),
    "header, trust_env off": lambda: session(trust_env=False).get(url, headers=header),
    "httpx, header": lambda: httpx.get(url, headers=header),
}
entries = {
    "no entry": "machine other.example login a password b\n",
    "entry of the host": "machine 127.0.0.1 login a password b\n",
    "default entry": "default login a password b\n",
}
for name, entry in entries.items():
    Path("netrc").write_text(entry)
    Path("netrc").chmod(0o600)
    print(f"{name}:", ", ".join(f"{way} {ask().text}" for way, ask in ways.items()))
PY
env/bin/python look.py | tee seen

cat >expected <<'TXT'
no entry: header of a request Bearer, header of a session Bearer, header, prepared by a session Bearer, auth of a request Bearer, header, trust_env off Bearer, httpx, header Bearer
entry of the host: header of a request Basic, header of a session Basic, header, prepared by a session Basic, auth of a request Bearer, header, trust_env off Bearer, httpx, header Bearer
default entry: header of a request Basic, header of a session Basic, header, prepared by a session Basic, auth of a request Bearer, header, trust_env off Bearer, httpx, header Bearer
TXT
diff expected seen && echo "As described."
