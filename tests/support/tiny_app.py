"""A WSGI app for tests of the web server: what it answers is in the address."""

import os
from collections.abc import Callable, Iterator
from typing import Any

waits: dict["News", Callable[[], object]] = {}


class News:
    """What /waits waits for: that somebody asks for /wakes."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def begin(self, wake: Callable[[], object]) -> None:
        waits[self] = wake
        if not self.seconds:
            wake()

    def end(self) -> None:
        waits.pop(self, None)


def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """/pid: which process answers; /fails and /fails-late: before and after the head; /streams: without a length.

    /waits?9: waits, for 9 seconds at most, and says whether it could; with 0 there is news at once. /wakes wakes all;
    /waiting: how many wait.
    """
    path, read = environ["PATH_INFO"], environ["wsgi.input"].read()
    if path == "/fails":
        raise RuntimeError("as the test wants it")
    headers = [("Content-Type", "text/plain")]
    body = str(os.getpid()).encode() if path == "/pid" else _answer(path, environ) or b"%d bytes" % len(read)
    if path != "/streams":
        headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return _pieces(path, body)


def _pieces(path: str, body: bytes) -> Iterator[bytes]:
    yield body[:3]
    if path == "/fails-late":
        raise RuntimeError("as the test wants it")
    yield body[3:]


def _answer(path: str, environ: dict[str, Any]) -> bytes:
    if path == "/waits":
        has_waited = environ.get("leadhook.waited")
        if has_waited is False:
            environ["leadhook.waits_for"] = News(int(environ["QUERY_STRING"]))
        return b"cannot wait" if has_waited is None else b"has waited" if has_waited else b"nothing new"
    if path == "/wakes":
        for wake in list(waits.values()):
            wake()
        return b"woken"
    return b"%d wait" % len(waits) if path == "/waiting" else b""
