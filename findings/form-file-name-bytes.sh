#!/usr/bin/env bash
# The bytes of one file name decide whether the other fields of a form arrive.
#
# One expects: a form parser reads a file's name as UTF-8, and at worst spoils the name if it is not.
# What happens: pages in Latin-1 post names in Latin-1. Then Werkzeug (Flask) returns no field and no file at all, and
#   Django returns the fields without the file; neither reports an error. Multer and the busboy below it spoil the
#   usual name instead: they read UTF-8 as Latin-1. Starlette reads both.
# Versions: PyPI werkzeug 3.1.9, django 5.2.19, starlette 1.10.0 with python-multipart 0.0.34; npm multer 2.5.0
#   (busboy 1.6.0), express 5.3.0, formidable 3.5.4.
# Seen: the table below.
# Why it matters: with Werkzeug a visitor who attaches Müller.pdf on such a page sends an empty form. With multer every
#   file name with an umlaut is spoiled, on every page.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts express@5.3.0 multer@2.5.0 busboy@1.6.0 formidable@3.5.4 \
  >npm.log &
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
  werkzeug==3.1.9 django==5.2.19 starlette==1.10.0 python-multipart==0.0.34
wait $!

cat >look.py <<'PY'
import asyncio
import io

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from starlette.requests import Request as StarletteRequest
from werkzeug.wrappers import Request

settings.configure()
KIND = "multipart/form-data; boundary=cut"
BODY = (
    b'--cut\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n'
    b'--cut\r\nContent-Disposition: form-data; name="cv"; filename="%s"\r\nContent-Type: application/pdf\r\n\r\n'
    b"%%PDF-1.7\r\n--cut--\r\n"
)


def environ(body):
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": KIND,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


def werkzeug(body):
    request = Request(environ(body))
    return request.form.get("name"), [file.filename for file in request.files.values()]


def django(body):
    request = WSGIRequest(environ(body))
    return request.POST.get("name"), [file.name for file in request.FILES.values()]


def starlette(body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def read():
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", KIND.encode())]}
        form = await StarletteRequest(scope, receive).form()
        return form["name"], [form["cv"].filename]

    return asyncio.run(read())


for encoding in ("utf-8", "latin-1"):
    body = BODY % "Müller.pdf".encode(encoding)
    open(encoding, "wb").write(body)
    for read in (werkzeug, django, starlette):
        name, files = read(body)
        print(f"{encoding:8} {read.__name__:10} name: {name or '(none)':7} file: {', '.join(files) or '(none)'}")
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import express from "express";
import formidable from "formidable";
import multer from "multer";

const app = express();
app.post("/multer", multer().any(), (request, response) =>
  response.json([request.body.name, request.files[0].originalname]),
);
app.post("/formidable", async (request, response) => {
  const [fields, files] = await formidable().parse(request);
  response.json([fields.name[0], files.cv[0].originalFilename]);
});
const server = app.listen(0, "127.0.0.1", async () => {
  for (const encoding of ["utf-8", "latin-1"]) {
    for (const reader of ["multer", "formidable"]) {
      const answer = await fetch(`http://127.0.0.1:${server.address().port}/${reader}`, {
        method: "POST",
        headers: { "Content-Type": "multipart/form-data; boundary=cut" },
        body: readFileSync(encoding),
      });
      const [name, file] = await answer.json();
      console.log(`${encoding.padEnd(8)} ${reader.padEnd(10)} name: ${name.padEnd(7)} file: ${file}`);
    }
  }
  server.close();
});
JS

cat >expected <<'TXT'
utf-8    werkzeug   name: Ada     file: Müller.pdf
utf-8    django     name: Ada     file: Müller.pdf
utf-8    starlette  name: Ada     file: Müller.pdf
latin-1  werkzeug   name: (none)  file: (none)
latin-1  django     name: Ada     file: (none)
latin-1  starlette  name: Ada     file: Müller.pdf
utf-8    multer     name: Ada     file: MÃ¼ller.pdf
utf-8    formidable name: Ada     file: Müller.pdf
latin-1  multer     name: Ada     file: Müller.pdf
latin-1  formidable name: Ada     file: M�ller.pdf
TXT

{ PYTHONIOENCODING=utf-8 venv/bin/python look.py && node look.mjs; } | tee seen
diff expected seen
echo "As stated."
