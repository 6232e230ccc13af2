"""How much gunicorn lets in, on raw sockets: with a length and chunked, to forms with and without a File field."""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import encode_multipart

from tests.support.factories import ADA
from tests.support.forked import ForkedSite
from tests.support.site import Site
from tests.support.uploads import PDF, ask_for_files, part
from webapp.extensions import db
from webapp.models import File, Interface, Lead

FORM = "application/x-www-form-urlencoded"
ENOUGH = 30.0  # seconds for an answer
LARGE = b"message=" + b"x" * 300_000


@pytest.fixture
def site(app: Flask, interface: Interface) -> Iterator[Site]:
    db.session.rollback()
    site = ForkedSite({**app.config["ENVIRON"], "FORM_RATE_LIMIT": ""})
    try:
        site.start_web()
        yield site
    finally:
        site.stop()


def head(path: str, content_type: str, length: int | None) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = (f"POST {path} HTTP/1.1", "Host: a", "Accept: application/json", f"Content-Type: {content_type}", framing)
    return "\r\n".join((*lines, "Connection: close", "", "")).encode()


def chunks(body: bytes, size: int = 50_000) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def post(site: Site, path: str, body: bytes, content_type: str = FORM, chunked: bool = False) -> tuple[int, str]:
    """The answer, read only after everything was sent, as a browser does."""
    request = head(path, content_type, None if chunked else len(body)) + (chunks(body) if chunked else body)
    with socket.create_connection(("127.0.0.1", site.port), timeout=ENOUGH) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    assert found, received[:200]
    return int(found[1]), received.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


def upload(size: int, name: str = "cv.pdf") -> tuple[bytes, str]:
    boundary, body = encode_multipart({**ADA, "cv": part(PDF + os.urandom(size), name)})
    return body, f"multipart/form-data; boundary={boundary}"


def leads() -> int:
    db.session.rollback()
    found = db.session.scalar(select(func.count()).select_from(Lead)) or 0
    db.session.rollback()
    return found


@pytest.mark.once
def test_a_higher_limit_holds_only_for_multipart_to_a_form_with_a_file_field(site: Site, interface: Interface) -> None:
    """A chunked text that is too long is refused, too, and not cut: werkzeug 3.1 would cut it without a word."""
    path = f"/f/{interface.public_id}"
    body, kind = upload(400_000)
    for chunked in (False, True):
        code, words = post(site, path, body, kind, chunked)
        assert (code, "at most 256 KB" in words) == (413, True)
    ask_for_files(interface, file_megabytes="2")
    db.session.rollback()
    for chunked in (False, True):
        assert post(site, path, body, kind, chunked)[0] == 201
        assert post(site, path, *upload(1_900_000), chunked=chunked)[0] == 201, "from memory to disk"
        code, words = post(site, path, *upload(2_990_000), chunked=chunked)
        assert (code, "cv.pdf is too large: it has 3 MB, and the limit is 2 MB." in words) == (422, True)
        code, words = post(site, path, *upload(6_000_000), chunked=chunked)
        assert (code, "at most 4.5 MB in" in words) == (413, True)
        for other in (FORM, "application/json", "text/plain"):
            assert try_post(site, path, LARGE, other, chunked) in (413, None), other
        assert post(site, "/f/if_nothing", body, kind, chunked)[0] == 404
        assert try_post(site, "/login", body, kind, chunked) in (413, None)
    assert leads() == 4


def try_post(site: Site, path: str, body: bytes, content_type: str, chunked: bool) -> int | None:
    """The code; None where the connection was closed while we were still sending: nothing was read then."""
    try:
        return post(site, path, body, content_type, chunked)[0]
    except (ConnectionError, AssertionError):
        return None


def test_a_post_that_is_cut_off_is_no_lead_and_a_slow_one_holds_no_lock(site: Site, interface: Interface) -> None:
    """On SQLite a transaction that writes would stop every other post."""
    path = f"/f/{interface.public_id}"
    ask_for_files(interface)
    db.session.rollback()
    body, kind = upload(900_000)
    for request in (
        head(path, kind, len(body)) + body[:500_000],
        head(path, kind, None) + chunks(body)[:500_000],
        head(path, kind, len(body) - 30) + body[:-30],  # without the last boundary
    ):
        with socket.create_connection(("127.0.0.1", site.port), timeout=ENOUGH) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        assert b" 400 " in answer[:20] or answer == b"", answer[:200]
    assert leads() == 0
    with socket.create_connection(("127.0.0.1", site.port), timeout=ENOUGH) as slow:
        slow.sendall(head(path, kind, len(body)) + body[:700_000])
        begun = time.monotonic()
        assert post(site, path, b"name=Ada&email=ada%40example.com&message=Hello")[0] == 201
        assert time.monotonic() - begun < 5
        slow.sendall(body[700_000:])
        assert b" 201 " in slow.recv(65536)[:20]
    assert leads() == 2


def peak(site: Site) -> int:
    """The most memory, in bytes, that any process of the site has had."""
    assert site.web
    children = Path(f"/proc/{site.web.pid}/task/{site.web.pid}/children").read_text().split()
    found = [re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{each}/status").read_text()) for each in children]
    return max(int(each[1]) for each in found if each) * 1024


@pytest.mark.once
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_large_file_is_streamed_to_the_disk(site: Site, interface: Interface) -> None:
    path = f"/f/{interface.public_id}"
    ask_for_files(interface, file_megabytes="25")
    db.session.rollback()
    for _ in range(6):  # both processes load what files need
        assert post(site, path, *upload(100_000))[0] == 201
    before = peak(site)
    body, kind = upload(24_000_000)
    threads = [Thread(target=post, args=(site, path, body, kind)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert leads() == 8
    largest = db.session.scalar(select(func.max(File.size)))
    db.session.rollback()
    assert largest == len(PDF) + 24_000_000
    assert peak(site) - before < 32_000_000, "not the 48 MB of two files"


def test_a_client_over_its_limit_reads_so_although_it_sends_a_file(app: Flask, interface: Interface) -> None:
    path = f"/f/{interface.public_id}"
    ask_for_files(interface)
    db.session.rollback()
    site = ForkedSite({**app.config["ENVIRON"], "FORM_RATE_LIMIT": "1 per minute"})
    try:
        site.start_web()
        assert [post(site, path, *upload(900_000))[0] for _ in range(3)] == [201, 429, 429]
    finally:
        site.stop()
