"""Verifies the signature of a webhook that Leadhook signs with a private key (v1a). Needs the package cryptography.

LEADHOOK_PUBLIC_KEYS="whpk_…" python3 v1a.py 9000

The public key is on the webhook's page, and at https://<leadhook>/.well-known/leadhook/<webhook id>.json. It is no
secret. While a key is being rotated there are two: give both, with a space between them.
"""

import base64
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 5 * 60  # seconds that a timestamp may be off
MAX_BODY = 1024 * 1024  # bytes


def keys_of(text: str) -> list[Ed25519PublicKey]:
    raw = [base64.b64decode(key.removeprefix("whpk_"), validate=True) for key in text.split()]
    if not raw:
        sys.exit("Set LEADHOOK_PUBLIC_KEYS to the public key: whpk_ and what follows it.")
    return [Ed25519PublicKey.from_public_bytes(key) for key in raw]


def is_signed(keys: list[Ed25519PublicKey], message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Whether the owner of one of the keys signed this body in the last five minutes."""
    if not (message_id and timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body  # the raw body, before any parser
    for given in signatures.split(" "):
        version, _, encoded = given.partition(",")
        for key in keys if version == "v1a" else []:
            try:
                key.verify(base64.b64decode(encoded, validate=True), signed)
                return True
            except (InvalidSignature, ValueError):
                continue
    return False


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20  # seconds that a silent sender may take

    keys: list[Ed25519PublicKey]

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 12 and int(length) <= MAX_BODY):
            self.answer(413, "the body is too long")
            return
        body = self.rfile.read(int(length))
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        message_id, timestamp, signatures = (self.headers.get(name, "") for name in names)
        if is_signed(self.keys, message_id, timestamp, signatures, body):
            print("Received", message_id, flush=True)  # here your work begins; message_id is the same in each retry
            self.answer(200, "received")
        else:
            self.answer(401, "the signature does not fit")

    def answer(self, code: int, words: str) -> None:
        self.close_connection = self.close_connection or code >= 400
        self.send_response(code)
        self.send_header("Content-Length", str(len(words)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(words.encode())


if __name__ == "__main__":
    Receiver.keys = keys_of(os.environ.get("LEADHOOK_PUBLIC_KEYS", ""))
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
