"""A client that sends all of its request before it reads, as Apache does, gets our answer to a refused request."""

import socket
from collections.abc import Iterator

import pytest
from flask import Flask

from tests.journeys.test_web_server import code_of
from tests.support.forked import ForkedSite
from tests.support.site import Site
from webapp.extensions import db
from webapp.models import Interface

pytestmark = pytest.mark.once

MB = 1024 * 1024
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def site(app: Flask) -> Iterator[Site]:
    site = ForkedSite(app.config["ENVIRON"])
    site.start_web()
    yield site
    site.stop()


def sent_whole(site: Site, path: str, body: bytes, kind: str = FORM, more: str = "") -> bytes:
    """What a client reads that first sends everything, waits until the system has taken it, and only then reads."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        length = "Transfer-Encoding: chunked" if more else f"Content-Length: {len(body)}"
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{length}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        for start in range(0, len(body), 65536):
            connection.sendall(body[start : start + 65536])
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def test_a_refused_request_is_read_to_its_end(site: Site, interface: Interface) -> None:
    form, text = f"/f/{interface.public_id}", b"message="
    db.session.rollback()  # else this process would hold SQLite's lock
    for size in (300 * 1024, 3 * MB, 10 * MB):
        for path, code, words in (
            (form, 413, b"That is too long"),
            ("/login", 413, b"This is too much for one request"),
            ("/f/if_nothing", 413, b"That is too long"),
            ("/nowhere", 413, b"This is too much"),
        ):
            answer = sent_whole(site, path, text + b"x" * size)
            assert code_of(answer) == code, (path, size)
            assert words in answer, (path, size)
    other = sent_whole(site, form, b"x" * MB, kind="text/csv")
    assert code_of(other) in (413, 415)
    assert code_of(sent_whole(site, form, b"{" * MB, kind="application/json")) == 413
    assert code_of(sent_whole(site, "/embed.js", text + b"x" * MB)) in (405, 413)
    for kind in (FORM, "application/json", "multipart/form-data; boundary=x"):
        assert code_of(sent_whole(site, form, chunked(text + b"x" * MB), kind, more="chunked")) == 413, kind
    short = chunked(b"name=Ada&email=ada%40example.com&phone=%2B12025550123&message=Hello")
    assert code_of(sent_whole(site, form, short, more="chunked")) == 303
    assert code_of(sent_whole(site, form, b"name=Ada&email=ada%40example.com&message=Hi")) == 303, "as before"
    assert site.answers()


def test_a_request_that_is_sent_elsewhere_before_its_body_was_read_is_read_to_its_end(
    site: Site, interface: Interface
) -> None:
    db.session.rollback()
    for path in ("/interfaces", "/leads", f"/interfaces/{interface.public_id}", "/users", "/profile"):
        answer = sent_whole(site, path, b"x" * 3 * MB, kind="text/plain")
        assert code_of(answer) in (303, 308, 400, 404, 405, 413), path
    answer = sent_whole(site, "/logout", b"x" * 3 * MB, kind="text/plain")
    assert code_of(answer) in (303, 400, 413)


def test_a_client_that_stops_in_the_middle_is_let_go(site: Site, interface: Interface) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        head = f"POST /f/{interface.public_id} HTTP/1.1\r\nHost: a\r\nContent-Length: {MB}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 1000)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert site.answers()
