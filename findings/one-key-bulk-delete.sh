#!/usr/bin/env bash
# Deleting one object by obstore takes the bulk request, which not every S3-compatible store knows.
#
# One expects: delete(store, "cv.pdf") sends DELETE /bucket/cv.pdf, as other clients do.
# What happens: obstore sends POST /bucket?delete with a list of one key (DeleteObjects). A store without that request
#   refuses it, so that put, get and list work and no object can be deleted. The option disable_bulk_delete (or
#   AWS_DISABLE_BULK_DELETE=true) brings the plain request back. obstore's page about delete says that it deletes in
#   bulk, not that it does so for a single key.
# Versions: PyPI obstore 0.12.1, boto3 1.44.8. Stores without the request, by their users' reports: Alibaba Cloud OSS
#   (apache/arrow-rs-object-store issue 731), Google Cloud Storage by its S3 address (supabase/storage issue 898).
# Seen: the requests below. The server in this script answers 400 to the bulk request.
# Why it matters: a test against Amazon S3 or MinIO passes. Elsewhere, files that a person asked to have deleted stay.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile obstore==0.12.1 boto3==1.44.8

cat >look.py <<'PY'
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import obstore
from obstore.store import S3Store


class Store(BaseHTTPRequestHandler):
    """Knows DELETE of one key, no bulk request. Prints what it gets."""

    protocol_version = "HTTP/1.1"

    def do_DELETE(self, status=204):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"{self.command} {self.path}", *(["one key"] if body.count(b"<Key>") == 1 else []))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.do_DELETE(400)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up"}

print("boto3:")
client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
client.delete_object(Bucket="bucket", Key="cv.pdf")


def delete(**options):
    store = S3Store(
        "bucket", endpoint=address, region="us-east-1", client_options={"allow_http": True}, **keys, **options
    )
    try:
        obstore.delete(store, "cv.pdf")
        print("deleted")
    except obstore.exceptions.BaseError as error:
        print(type(error).__name__)


print("obstore:")
delete()
print("obstore with disable_bulk_delete=True:")
delete(disable_bulk_delete=True)
print("obstore with AWS_DISABLE_BULK_DELETE=true:")
os.environ["AWS_DISABLE_BULK_DELETE"] = "true"
delete()
PY

cat >expected <<'TXT'
boto3:
DELETE /bucket/cv.pdf
obstore:
POST /bucket?delete one key
GenericError
obstore with disable_bulk_delete=True:
DELETE /bucket/cv.pdf
deleted
obstore with AWS_DISABLE_BULK_DELETE=true:
DELETE /bucket/cv.pdf
deleted
TXT

env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy venv/bin/python -u look.py | tee seen
diff expected seen
echo "As stated."
