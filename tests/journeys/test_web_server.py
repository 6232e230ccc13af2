"""What gunicorn itself refuses with Leadhook's settings: heads that are too long or invalid; and a clean log."""

import re
import socket
from pathlib import Path

import pytest

from tests.conftest import AppMaker
from tests.support.site import Site

pytestmark = pytest.mark.once

ENOUGH = 5.0  # seconds for an answer


def answer_to(site: Site, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", site.port), timeout=ENOUGH) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def code_of(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def test_heads_are_limited_and_invalid_requests_are_refused_without_a_traceback(
    make_app: AppMaker, tmp_path: Path
) -> None:
    environ = make_app().config["ENVIRON"]
    with open(tmp_path / "log", "w+b") as log:
        site = Site(environ, log)
        try:
            site.start_web()
            get = b"GET /healthz%b HTTP/1.1\r\nHost: a\r\n%b\r\n"
            assert code_of(answer_to(site, get % (b"?" + b"q" * 8000, b""))) == 200
            assert code_of(answer_to(site, get % (b"?" + b"q" * 9000, b""))) == 414
            assert code_of(answer_to(site, get % (b"", b"x: " + b"y" * 8000 + b"\r\n"))) == 200
            assert code_of(answer_to(site, get % (b"", b"x: " + b"y" * 9000 + b"\r\n"))) == 431
            assert code_of(answer_to(site, get % (b"", b"x: y\r\n" * 90))) == 200
            assert code_of(answer_to(site, get % (b"", b"x: y\r\n" * 200))) == 431
            for rubbish in (
                get % (b"", b"x\x1b[2J: y\r\n"),
                get % (b"", b"x: a\x00b\r\n"),
                get % (b"", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
                get % (b"", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
                get % (b"", b"Content-Length: -1\r\n"),
                get % (b"", b" folded: y\r\n"),
                b"G\x1bT / HTTP/1.1\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
            ):
                assert code_of(answer_to(site, rubbish)) in (400, 501, 505), rubbish
            # Bytes that are not percent-encoded: browsers do not send them, but old links have them.
            assert code_of(answer_to(site, get.replace(b"/healthz", b"/login") % (b"?next=\xb8\xff", b""))) in (
                200,
                400,
            )
            assert site.answers()
        finally:
            site.stop()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    assert all(character.isprintable() or character == "\n" for character in said), ascii(said)
    assert "Traceback" not in said
