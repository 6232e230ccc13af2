"""Receivers to be examined: one that is right, and others that are each wrong in another way, as found in the wild.

with Examined(secret) as receivers:
    receivers.url("right")
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import time
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

Headers = Mapping[str, str]


class Hook:
    """What a receiver knows. Each method is a receiver: the code that it answers, None to close without an answer."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.key = base64.b64decode(secret.removeprefix("whsec_"))
        self.known: set[str] = set()

    def expected(self, headers: Headers, body: bytes) -> str:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        return "v1," + base64.b64encode(hmac.digest(self.key, signed, "sha256")).decode()

    def is_recent(self, headers: Headers) -> bool:
        return abs(time() - int(headers["webhook-timestamp"])) < 300

    def right(self, headers: Headers, body: bytes) -> int:
        """With the library, as its page says."""
        try:
            Webhook(self.secret).verify(body, dict(headers))
        except WebhookVerificationError:
            return 401
        return 204

    def verifies_nothing(self, headers: Headers, body: bytes) -> int:
        return 200

    def looks_at_the_form(self, headers: Headers, body: bytes) -> int:
        given = headers.get("webhook-signature", "")
        return 200 if given.startswith("v1,") and self.is_recent(headers) else 401

    def lets_unsigned_in(self, headers: Headers, body: bytes) -> int:
        """Verification was made optional for a test, once."""
        if "webhook-signature" not in headers:
            return 200
        return self.right(headers, body)

    def compares_as_much_as_it_is_given(self, headers: Headers, body: bytes) -> int:
        """A loop of its own over both texts ends with the shorter one."""
        expected = self.expected(headers, body)
        tokens = headers.get("webhook-signature", "x").split(" ")
        same = any(all(a == b for a, b in zip(token, expected, strict=False)) for token in tokens)
        return 200 if same and self.is_recent(headers) else 401

    def does_not_look_at_the_time(self, headers: Headers, body: bytes) -> int:
        tokens = headers.get("webhook-signature", "").split(" ")
        return 200 if self.expected(headers, body) in tokens else 401

    def looks_at_the_first_signature(self, headers: Headers, body: bytes) -> int:
        first = headers.get("webhook-signature", "").split(" ")[0]
        return 200 if hmac.compare_digest(first, self.expected(headers, body)) and self.is_recent(headers) else 401

    def has_another_token(self, headers: Headers, body: bytes) -> int:
        return Hook("whsec_" + base64.b64encode(b"another key, of 32 bytes in all.").decode()).right(headers, body)

    def refuses_what_it_has(self, headers: Headers, body: bytes) -> int:
        code = self.right(headers, body)
        if code == 204 and headers["webhook-id"] in self.known:
            return 409
        self.known.add(headers["webhook-id"])
        return code

    def closes_on_what_is_forged(self, headers: Headers, body: bytes) -> int | None:
        """A firewall before it does."""
        return 200 if self.right(headers, body) == 204 else None

    def fails_on_what_is_forged(self, headers: Headers, body: bytes) -> int:
        """The exception of the library is not caught."""
        return 200 if self.right(headers, body) == 204 else 500

    def is_too_busy(self, headers: Headers, body: bytes) -> int:
        self.known.add(headers["webhook-id"])
        return self.right(headers, body) if len(self.known) < 3 else 429

    def is_down(self, headers: Headers, body: bytes) -> int:
        return 502

    def verifies_what_it_prints_again(self, headers: Headers, body: bytes) -> int:
        """The raw body is lost, as in tools without code: it verifies the JSON as JavaScript prints it."""
        printed = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
        return self.right(headers, printed)


Answer = Callable[[Headers, bytes], int | None]


class Examined:
    """A server with all of them, a context manager."""

    def __init__(self, secret: str) -> None:
        hooks: dict[str, Hook] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                name = self.path.removeprefix("/")
                answer: Answer = getattr(hooks.setdefault(name, Hook(secret)), name)
                code = answer({name.lower(): value for name, value in self.headers.items()}, body)
                if code is None:
                    self.close_connection = True
                    return
                self.send_response(code)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def __enter__(self) -> "Examined":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
