"""Reads the rest of a request that was answered before its body was read, so that the client gets the answer.

A server that answers before it has read the body closes the connection with bytes unread, and the client's system
throws the answer away with the connection. Apache then shows its own 502 instead of our 413.
"""

import contextlib
import time

from flask import Flask, Response, request

MOST = 16 * 1024 * 1024  # bytes; a larger body costs the client its answer
PATIENCE = 10.0  # seconds for the rest of the body
PART = 64 * 1024


def init_app(app: Flask) -> None:
    app.after_request(_read_the_rest)


def _read_the_rest(response: Response) -> Response:
    has_body = request.content_length or "chunked" in request.headers.get("Transfer-Encoding", "")
    read = vars(request)  # what werkzeug keeps of a body that it read
    was_read = response.status_code < 400 and (read.get("form") or "_cached_data" in read)
    # Without input_terminated a server would wait for bytes after the body.
    if has_body and not was_read and request.environ.get("wsgi.input_terminated"):
        with contextlib.suppress(OSError, ValueError):  # the client is gone, or its chunks are wrong
            _drain()
    return response


def _drain() -> None:
    body, socket = request.environ["wsgi.input"], request.environ.get("gunicorn.socket")
    before, ends_at, read = socket.gettimeout() if socket else None, time.monotonic() + PATIENCE, 0
    try:
        while read < MOST and (left := ends_at - time.monotonic()) > 0:
            if socket:
                socket.settimeout(left)
            part = body.read(PART)
            if not part:
                return
            read += len(part)
    finally:
        if socket:
            socket.settimeout(before)
