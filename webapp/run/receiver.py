"""`flask receive`: an HTTP server on loopback to try webhooks. It prints each request and whether it verifies.

It reads the Shared Tokens from the database for every request, so that a new token works at once.
"""

import hmac
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

import click
from flask import Flask, current_app
from sqlalchemy import select

from webapp.db.transactions import read_only
from webapp.encryption import CannotDecrypt, decrypt
from webapp.extensions import db
from webapp.models import ApiKey, KeyType
from webapp.services.errors import Refused
from webapp.webhooks.signing import Signer

TOLERANCE = 300  # seconds a timestamp may be off, as in every Standard Webhooks library
MAX_BODY = 2 * 1024 * 1024
NO_BODY = frozenset({204, 205, 304})


def run(port: int, token_name: str | None, status: int, delay: float) -> None:
    """Serves until SIGTERM or Ctrl-C, then finishes open requests. Refused for an unknown token or an unusable port."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    if token_name is not None and not _tokens(token_name):
        raise Refused(f"There is no Shared Token named “{token_name}”.")
    try:
        server = Receiver(port, app, token_name, status, delay)
    except OSError as error:
        raise Refused(f"Port {port} cannot be used: {error.strerror}. Choose another with --port.") from None

    signal.signal(signal.SIGTERM, server.stop)
    signal.signal(signal.SIGINT, server.stop)
    click.echo(f"Receiving at http://127.0.0.1:{port}/ and answering {status}.")
    with server:
        while not server.stopping:
            server.handle_request()
        server.finish()


class Receiver(ThreadingHTTPServer):
    """Gives every POST the same answer, and says which of the Shared Tokens signed it."""

    daemon_threads = True  # a connection that is kept open must not block the exit; `finish` waits for the rest
    request_queue_size = 128

    def __init__(self, port: int, app: Flask, token_name: str | None, status: int, delay: float) -> None:
        super().__init__(("127.0.0.1", port), Deliveries)
        self.app, self.token_name, self.status, self.delay = app, token_name, status, delay
        self.printing = threading.Lock()
        self.changed = threading.Condition()
        self.busy = 0
        self.stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Ends the wait for the next request, by a connection: nothing is polled."""
        self.stopping = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.server_port), timeout=1).close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores that a client went away; prints other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def verdict(self, headers: dict[str, str], body: bytes) -> str:
        """`unsigned`, `signature verified (<token>)` or `NOT verified: <why>`."""
        if "webhook-signature" not in headers:
            return "unsigned"
        with self.app.app_context(), read_only():
            tokens = _tokens(self.token_name)
        return verify(headers, body, tokens, time.time())

    def finish(self) -> None:
        """Waits until open requests are answered."""
        with self.changed:
            self.changed.wait_for(lambda: self.busy == 0, timeout=self.delay + 5)


def verify(headers: dict[str, str], body: bytes, tokens: Sequence[tuple[str, str]], now: float) -> str:
    """The verdict on a signed request. `headers`: by lower-case name; `tokens`: pairs of name and secret."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12 or not message_id or "." in message_id:
        return "NOT verified: webhook-id or webhook-timestamp is missing or malformed"
    if abs(now - int(timestamp)) > TOLERANCE:
        return f"NOT verified: the timestamp is {abs(now - int(timestamp)):.0f} s away from this clock"
    given = headers["webhook-signature"].split()
    for name, secret in tokens:
        expected = Signer([secret]).sign(message_id, int(timestamp), body)
        if any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in given):
            return f"signature verified ({name})"
    return "NOT verified: no Shared Token made this signature"


def _tokens(name: str | None) -> list[tuple[str, str]]:
    """The Shared Tokens that are not revoked, as (name, secret), newest first; only those called `name` if given.

    Tokens that cannot be decrypted are left out.
    """
    query = select(ApiKey.name, ApiKey.secret_encrypted)
    query = query.where(ApiKey.type == KeyType.SHARED_TOKEN, ApiKey.revoked_at.is_(None)).order_by(ApiKey.id.desc())
    if name is not None:
        query = query.where(ApiKey.name == name)
    found = []
    for row in db.session.execute(query):
        try:
            found.append((row.name, decrypt(row.secret_encrypted)))
        except CannotDecrypt:
            continue
    return found


class Deliveries(BaseHTTPRequestHandler):
    """One connection, with any number of requests."""

    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 75  # seconds an idle connection is kept

    def do_POST(self) -> None:
        with self.server.changed:
            self.server.busy += 1
        try:
            self._receive()
        finally:
            with self.server.changed:
                self.server.busy -= 1
                self.server.changed.notify_all()

    def do_GET(self) -> None:
        words = "This is Leadhook's test receiver. Webhooks come by POST; it prints them in its terminal."
        self._answer(405, words, {"Allow": "POST"})

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the base class's names

    def _receive(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            return self._answer(411, "A Content-Length is needed.")
        if int(length) > MAX_BODY:
            self.close_connection = True
            return self._answer(413, f"At most {MAX_BODY} bytes are accepted.")
        body = self.rfile.read(int(length))
        verdict = self.server.verdict({name.lower(): value for name, value in self.headers.items()}, body)
        self._print(verdict, body)
        time.sleep(self.server.delay)
        return self._answer(self.server.status, f"Received: {verdict}.")

    def _print(self, verdict: str, body: bytes) -> None:
        event, lead, text = read(body)
        text = text.replace("\n", "\n  ")  # so that no part of it looks like the line of another request
        line = f"{datetime.now().astimezone():%H:%M:%S}  {printable_line(self.path)}  {event}  {lead}  {verdict}"
        with self.server.printing:
            click.echo(f"{line}\n  {text}\n")

    def _answer(self, code: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = b"" if code in NO_BODY else text.encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if code not in NO_BODY:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Prints nothing: `_print` prints what matters."""


def read(body: bytes) -> tuple[str, str, str]:
    """A body's type and lead id (a dash if it has none), and the body as text that is safe in a terminal."""
    try:
        payload = json.loads(body)
        text = json.dumps(payload, ensure_ascii=False, indent=2)
    except ValueError:
        return "-", "-", printable(body.decode("utf-8", "replace"))
    lead = payload
    event = payload.get("type") if isinstance(payload, dict) else None
    for part in ("data", "lead", "id"):
        lead = lead.get(part) if isinstance(lead, dict) else None
    return printable_line(str(event or "-")), printable_line(str(lead or "-")), printable(text)


def printable_line(text: str) -> str:
    """As `printable`, on one line."""
    return printable(text).replace("\n", "\\x0a")


def printable(text: str) -> str:
    """`text` without characters that control a terminal; line breaks stay."""
    return "".join(each if each.isprintable() or each == "\n" else f"\\x{ord(each):02x}" for each in text)
