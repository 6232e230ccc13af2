"""Everyday requests: read and answered as gunicorn does it, in a fifth of the time.

`Everyday.of` takes only what is plain and all there: GET or POST of HTTP/1.1, each header once, a body with a length.
It hands all others to gunicorn's parser: what is refused is refused there. So nothing is read here that is read
otherwise there (tests/servers/test_everyday.py compares both).
"""

import os
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from io import BytesIO
from typing import Any

from gunicorn import SERVER
from gunicorn.http.message import HeaderPolicy
from gunicorn.http.wsgi import Response, base_environ
from gunicorn.util import unquote_to_wsgi_str

Environ = dict[str, Any]
LONGEST = 4000  # bytes of a head; of each line, too
MOST_HEADERS = 50

# Each byte is one that gunicorn's parser lets pass. Names with an underscore are left to its rules.
_HEAD = re.compile(
    rb"(?P<method>GET|POST) (?P<target>(?P<path>/(?!/)[!-\"$->@-~]*)(?:\?(?P<query>[!-\"$-~]*))?) HTTP/1\.1\r\n"
    rb"(?P<headers>(?:[!#$%&'*+.^`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,8}")
_TO_GUNICORN = frozenset({"HTTP_TRANSFER_ENCODING", "HTTP_TRAILER", "HTTP_EXPECT", "HTTP_UPGRADE"})
_CONNECTION = {"": False, "keep-alive": False, "close": True}  # whether it ends with the answer


def common_environ(cfg: Any, client: Any, server: Any, sock: Any) -> Environ | None:
    """What the requests of one connection have in common; None where gunicorn must read all of them."""
    if not (isinstance(client, tuple) and isinstance(server, tuple)) or cfg.is_ssl or "SCRIPT_NAME" in os.environ:
        return None
    if cfg.proxy_protocol != "off" or cfg.http2_cleartext != "off":
        return None
    if any(0 < limit < LONGEST for limit in (cfg.limit_request_line, cfg.limit_request_field_size)):
        return None
    if cfg.limit_request_fields < MOST_HEADERS or _is_trusted(cfg, client):
        return None
    return {
        **base_environ(cfg),
        "wsgi.multithread": True,
        "wsgi.url_scheme": "http",
        "gunicorn.socket": sock,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "SCRIPT_NAME": "",
    }


def _is_trusted(cfg: Any, client: Any) -> bool:
    """Whether gunicorn itself believes what this client says about the scheme."""
    policy = HeaderPolicy()
    policy.cfg, policy.peer_addr = cfg, client
    return bool(policy._peer_is_trusted_proxy())


class Everyday:
    """A request. It has what gunicorn's own ones are asked for, in the log and in an error."""

    version = (1, 1)
    app: Callable[..., Any] | None = None  # what answers it; None: the whole app

    def __init__(self, environ: Environ, ends: bool) -> None:
        self.environ, self._ends = environ, ends
        self.method, self.uri = environ["REQUEST_METHOD"], environ["RAW_URI"]
        self.path, self.query, self.body = environ["PATH_INFO"], environ["QUERY_STRING"], environ["wsgi.input"]

    @classmethod
    def of(cls, common: Environ, received: bytes, head: int) -> "Everyday | None":
        """The request in these bytes, of which `head` are its head; None where gunicorn must read it."""
        found = _HEAD.fullmatch(received, 0, head) if head <= LONGEST else None
        if found is None:
            return None
        environ = common.copy()
        for line in found["headers"].decode("latin-1").split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            key = _key(name)
            if key in environ:
                return None
            environ[key] = value.strip(" \t")
        ends = _CONNECTION.get(environ.get("HTTP_CONNECTION", "").lower())
        length = environ.get("CONTENT_LENGTH", "0")
        if ends is None or not _TO_GUNICORN.isdisjoint(environ) or len(environ) - len(common) > MOST_HEADERS:
            return None
        if not _LENGTH.fullmatch(length) or int(length) != len(received) - head:
            return None
        path = found["path"].decode()
        environ["REQUEST_METHOD"] = found["method"].decode()
        environ["RAW_URI"], environ["QUERY_STRING"] = found["target"].decode(), (found["query"] or b"").decode()
        environ["PATH_INFO"] = unquote_to_wsgi_str(path) if "%" in path else path
        environ["wsgi.input"] = BytesIO(received[head:])
        return cls(environ, ends)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """For the log."""
        found = [(key.removeprefix("HTTP_"), value) for key, value in self.environ.items() if key.startswith("HTTP_")]
        return [(name.replace("_", "-"), value) for name, value in found]

    def should_close(self) -> bool:
        return self._ends


@lru_cache(256)
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


class EverydayAnswer(Response):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's answer, whose head leaves with the first piece of the body, and whose lines are checked once."""

    upgrade: bool
    headers_sent: bool

    def __init__(self, request: Everyday, sock: Any, cfg: Any) -> None:
        super().__init__(request, sock, cfg)
        self._head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            kept, length, is_upgrade = _checked(name, value)
            if kept:
                self.headers.append(kept)
            if length is not None:
                self.response_length = length
            self.upgrade = self.upgrade or is_upgrade

    def send_headers(self) -> None:
        if self.headers_sent:
            return
        self.headers_sent = True
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        chunked = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.headers])
        date = _date(int(time.time()))
        head = f"HTTP/1.1 {self.status}\r\nServer: {SERVER}\r\nDate: {date}\r\nConnection: {connection}\r\n"
        self._head = f"{head}{chunked}{lines}\r\n".encode("latin-1")

    def write(self, arg: bytes) -> None:
        super().write(arg)
        self._send_head()

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        head, self._head = self._head, b""
        self.sock.sendall(head + data if head else data)

    def close(self) -> None:
        self.send_headers()
        self._send_head()
        super().close()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self.sock.sendall(head)


@lru_cache(512)
def _checked(name: str, value: str) -> tuple[tuple[str, str] | None, int | None, bool]:
    """A header as gunicorn keeps it, if it does, and what it reads from it; its errors where it refuses it."""
    judge = Response(None, None, None)
    judge.process_headers([(name, value)])
    return judge.headers[0] if judge.headers else None, judge.response_length, judge.upgrade


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
