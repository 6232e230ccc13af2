"""A WSGI app for tests of the web server: what it answers is in the address."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from webapp.db.write_turns import meet
from webapp.servers.together import TOGETHER, Elsewhere

PLACE = object()  # where posts meet
held, released = threading.Event(), threading.Event()
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

    POST /together: the kind of its thread, what it brought, and what all brought that met. /together/holds first waits
    for /releases; /held says when it does. /together/elsewhere goes on in another thread, /together/fails fails.
    """
    path = environ["PATH_INFO"]
    if path == "/together/elsewhere" and TOGETHER in environ:
        raise Elsewhere(app)
    read = environ["wsgi.input"].read()
    if path in ("/fails", "/together/fails"):
        raise RuntimeError("as the test wants it")
    headers = [("Content-Type", "text/plain")]
    body = str(os.getpid()).encode() if path == "/pid" else _answer(path, environ, read) or b"%d bytes" % len(read)
    if path != "/streams":
        headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return _pieces(path, body)


def _pieces(path: str, body: bytes) -> Iterator[bytes]:
    yield body[:3]
    if path == "/fails-late":
        raise RuntimeError("as the test wants it")
    yield body[3:]


def _answer(path: str, environ: dict[str, Any], read: bytes) -> bytes:
    if path.startswith("/together"):
        return _together(path, read)
    if path in ("/held", "/releases"):
        _ = held.wait(30) if path == "/held" else released.set()
        return b"yes"
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


def _together(path: str, read: bytes) -> bytes:
    thread = threading.current_thread().name.partition("-")[0].encode()
    if path == "/together/holds":
        held.set()
        assert released.wait(30)
        held.clear()
        released.clear()
    brought: list[Any] = [read, None]
    met = meet(PLACE, brought)
    for one in met or ():
        one[1] = [each[0] for each in met or ()]
    return b"%b %b %b" % (thread, read, b",".join(brought[1] or [b"alone"]))


app.extensions = {"leadhook_together": (None, [re.compile(b"POST /together")])}  # type: ignore[attr-defined]
