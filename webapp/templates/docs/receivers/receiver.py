"""A complete receiver for Leadhook webhooks. Python 3.9 or newer, no packages.

LEADHOOK_SHARED_TOKEN=whsec_… python3 receiver.py 9000

In a framework, import `receive` from this file.
"""

import base64
import binascii
import hmac
import json
import os
import sys
import threading
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE = 5 * 60  # seconds that a timestamp may be off
MAX_BODY = 1024 * 1024  # bytes
REMEMBERED = 10_000  # webhook-ids; a database would have a unique column

seen: "OrderedDict[str, None]" = OrderedDict()
lock = threading.Lock()


class Refused(Exception):
    """A request that is not to be believed: the code and the words of the answer."""


def key_of(token: str) -> bytes:
    try:
        key = base64.b64decode(token[6:], validate=True) if token.startswith("whsec_") else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:  # an empty key would let everyone sign
        sys.exit("Set LEADHOOK_SHARED_TOKEN to the Shared Token: whsec_ and what follows it.")
    return key


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


def verify(key: bytes, message_id: str, timestamp: str, signatures: str, body: bytes) -> None:
    """Returns if Leadhook sent this body just now, else raises Refused."""
    if not (message_id and timestamp and signatures):
        raise Refused(400, "webhook-id, webhook-timestamp and webhook-signature are needed")
    if not is_number(timestamp):
        raise Refused(400, "webhook-timestamp is not a number of seconds")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise Refused(401, "webhook-timestamp is more than 5 minutes off")
    signed = f"{message_id}.{timestamp}.".encode() + body  # the raw body, before any parser
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
    # Two signatures come while a token is being rotated; one of them must fit.
    if not any(hmac.compare_digest(expected, given.encode()) for given in signatures.split(" ")):
        raise Refused(401, "the signature does not fit")


def keep(event: dict[str, Any]) -> None:
    """Where your work begins: store the lead, answer, and do what is slow afterwards."""
    lead = event["data"]["lead"]
    print("Received", event["type"], lead["id"], json.dumps(lead["fields"]), flush=True)


def once(message_id: str, body: bytes) -> str:
    """Keeps what is new. A repeat is a success, too: we have it."""
    with lock:
        if message_id in seen:
            return "already received"
        keep(json.loads(body))
        seen[message_id] = None  # only now: had keeping failed, the retry would be needed
        if len(seen) > REMEMBERED:
            seen.popitem(last=False)
        return "received"


def receive(key: bytes, headers: Any, body: bytes) -> str:
    """Takes one request; returns the words of a 200. Raises Refused. `headers` are found in any case of letters."""
    if len(body) > MAX_BODY:
        raise Refused(413, "the body is too long")
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    message_id, timestamp, signatures = (headers.get(name, "") for name in names)
    verify(key, message_id, timestamp, signatures, body)
    return once(message_id, body)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20  # seconds that a silent sender may take

    key: bytes

    def do_POST(self) -> None:
        try:
            self.answer(200, receive(self.key, self.headers, self.raw_body()))
        except Refused as refused:
            self.answer(*refused.args)
        except Exception as error:
            self.log_error("Not kept: %r", error)
            self.answer(500, "not kept, please send it again")

    def raw_body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not is_number(length):
            raise Refused(411, "Content-Length is needed")
        if int(length) > MAX_BODY:
            raise Refused(413, "the body is too long")
        return self.rfile.read(int(length))

    def answer(self, code: int, words: str) -> None:
        self.close_connection = self.close_connection or code >= 400
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(words)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(words.encode())


if __name__ == "__main__":
    Receiver.key = key_of(os.environ.get("LEADHOOK_SHARED_TOKEN", ""))
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
