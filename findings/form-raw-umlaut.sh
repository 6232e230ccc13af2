#!/usr/bin/env bash
# An umlaut that is not percent-encoded in a form post is read by no two servers alike.
#
# One expects: "city=Köln" arrives as Köln, as "city=K%C3%B6ln" does, or the server refuses it.
# What happens: curl -d "city=Köln" posts the bytes as they are, in UTF-8. Starlette (FastAPI) reads them as Latin-1,
#   and formidable drops the high bit of each byte and returns "KC6ln". The others read Köln. If the one byte is
#   Latin-1, Werkzeug (Flask) returns no field at all, not even the one before it, and Express puts U+FFFD there.
#   Percent-encoded Latin-1, which pages in Latin-1 send, stays "K%F6ln" in Werkzeug and Express; the others put U+FFFD
#   there. Nothing reports an error.
# Versions: PyPI werkzeug 3.1.9, django 5.2.19, starlette 1.10.0 with python-multipart 0.0.34; npm express 5.3.0
#   (body-parser 2.4.0, qs 6.17.1), formidable 3.5.4.
# Seen: the table below.
# Why it matters: scripts and simple senders post leads by curl -d. A test with English names finds nothing.
#
# Needs python3, node and curl.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts express@5.3.0 body-parser@2.4.0 qs@6.17.1 formidable@3.5.4 \
  >npm.log &
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
  werkzeug==3.1.9 django==5.2.19 starlette==1.10.0 python-multipart==0.0.34
wait $!

cat >bodies.py <<'PY'
"""Takes one post of curl -d "city=Köln" and shows it; then writes it and the two others to files."""

import socket
import subprocess

server = socket.create_server(("127.0.0.1", 0))
address = f"http://127.0.0.1:{server.getsockname()[1]}/"
curl = subprocess.Popen(["curl", "--silent", "--noproxy", "*", "-d", "name=Ada&city=Köln".encode(), address])
connection, _ = server.accept()
seen = b""
while b"\r\n\r\n" not in seen or not seen.endswith(b"ln"):
    seen += connection.recv(4096)
connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
connection.close()
curl.wait()
sent = seen.split(b"\r\n\r\n")[1]
print("curl -d posts", sent)
for name, body in (("utf-8", sent), ("latin-1", b"name=Ada&city=K\xf6ln"), ("%F6", b"name=Ada&city=K%F6ln")):
    open(name, "wb").write(body)
PY

cat >look.py <<'PY'
import asyncio
import io

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from starlette.requests import Request as StarletteRequest
from werkzeug.wrappers import Request

settings.configure()
KIND = "application/x-www-form-urlencoded"


def environ(body):
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": KIND,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


def werkzeug(body):
    return Request(environ(body)).form


def django(body):
    return WSGIRequest(environ(body)).POST


def starlette(body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def parse():
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", KIND.encode())]}
        return await StarletteRequest(scope, receive).form()

    return asyncio.run(parse())


for body in ("utf-8", "latin-1", "%F6"):
    for read in (werkzeug, django, starlette):
        form = read(open(body, "rb").read())
        name, city = form.get("name", "(none)"), form.get("city", "(none)")
        print(f"{body:8} {read.__name__:10} name: {name:7} city: {city}")
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import express from "express";
import formidable from "formidable";

const app = express();
app.post("/express", express.urlencoded(), (request, response) => response.json(request.body));
app.post("/formidable", async (request, response) => {
  const [fields] = await formidable().parse(request);
  response.json({ name: fields.name[0], city: fields.city[0] });
});
const server = app.listen(0, "127.0.0.1", async () => {
  for (const body of ["utf-8", "latin-1", "%F6"]) {
    for (const reader of ["express", "formidable"]) {
      const answer = await fetch(`http://127.0.0.1:${server.address().port}/${reader}`, {
        method: "POST",
        headers: { "Content-Type": "application/x-www-form-urlencoded" },
        body: readFileSync(body),
      });
      const { name, city } = await answer.json();
      console.log(`${body.padEnd(8)} ${reader.padEnd(10)} name: ${name.padEnd(7)} city: ${city}`);
    }
  }
  server.close();
});
JS

cat >expected <<'TXT'
curl -d posts b'name=Ada&city=K\xc3\xb6ln'
utf-8    werkzeug   name: Ada     city: Köln
utf-8    django     name: Ada     city: Köln
utf-8    starlette  name: Ada     city: KÃ¶ln
latin-1  werkzeug   name: (none)  city: (none)
latin-1  django     name: Ada     city: Köln
latin-1  starlette  name: Ada     city: Köln
%F6      werkzeug   name: Ada     city: K%F6ln
%F6      django     name: Ada     city: K�ln
%F6      starlette  name: Ada     city: K�ln
utf-8    express    name: Ada     city: Köln
utf-8    formidable name: Ada     city: KC6ln
latin-1  express    name: Ada     city: K�ln
latin-1  formidable name: Ada     city: Kvln
%F6      express    name: Ada     city: K%F6ln
%F6      formidable name: Ada     city: K�ln
TXT

export PYTHONIOENCODING=utf-8
{ venv/bin/python bodies.py && venv/bin/python look.py && node look.mjs; } | tee seen
diff expected seen
echo "As stated."
