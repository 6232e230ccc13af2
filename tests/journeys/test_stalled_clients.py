"""Clients that stop in the middle, or send next to nothing, take no thread: real sockets against a real gunicorn."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from select import select as select_now

import pytest
from flask import Flask
from sqlalchemy import func, select

import webapp
from tests.journeys.test_large_bodies import FORM, chunks, head
from tests.journeys.test_web_server import code_of
from tests.support.forked import ForkedSite
from tests.support.site import Site
from tests.support.uploads import ask_for_files
from tests.support.waiting import wait_until
from webapp.extensions import db
from webapp.models import Interface, Lead

pytestmark = pytest.mark.once

MANY = 500
HASTY = ("-k", "tests.support.hasty_worker.HastyWorker")
UNHURRIED = ("-k", "tests.support.unhurried_worker.UnhurriedWorker")
POST = b"name=Ada&email=ada%40example.com&message=Hello"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SCRIPT = b"GET /static/vendor/htmx-4.0.1.min.js HTTP/1.1\r\nHost: a\r\n\r\n"
SIZE = Path(webapp.__file__).with_name("static").joinpath("vendor/htmx-4.0.1.min.js").stat().st_size


def begun(path: str) -> dict[str, bytes]:
    """Requests that clients begin and do not end."""
    length = head(path, FORM, 1000)
    return {
        "nothing": b"",
        "one byte": b"G",
        "a line": b"GET /healthz HTTP/1.1\r\n",
        "a head": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: ",
        "a head of a post": length[:-2],
        "no body": length,
        "a body": length + POST,
        "a body of one byte less": head(path, FORM, len(POST)) + POST[:-1],
        "a length with zeros": head(path, FORM, 1000).replace(b" 1000", b" \t0000000000000000000001000") + POST,
        "no chunk": head(path, FORM, None),
        "a chunk": head(path, FORM, None) + b"3e8\r\nname=Ada",
        "chunks without an end": head(path, FORM, None) + chunks(POST)[:-5],
        "an end that is data": head(path, FORM, None) + b"3e8\r\n\r\n0\r\n\r\n",
        "a size with zeros": head(path, FORM, None) + b"0000000000000005\r\n\r\n\r\n",
        "trailers": head(path, FORM, None) + b"0\r\nX-A: b\r\n",
        "a wait for 100": length.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        "a second request": GET + b"GET /heal",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "a long head": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"x: " + b"y" * 8000 + b"\r\n",
    }


@contextmanager
def stalled(site: Site, request: bytes, number: int, small_window: bool = False) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(socket.socket())
            if small_window:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
            client.settimeout(30)
            client.connect(("127.0.0.1", site.port))
            client.sendall(request)
            clients.append(client)
        yield clients


@contextmanager
def site_of(app: Flask, *options: str) -> Iterator[Site]:
    db.session.rollback()
    site = ForkedSite({**app.config["ENVIRON"], "FORM_RATE_LIMIT": ""})
    try:
        site.start_web(*options)
        yield site
    finally:
        site.stop()


def timed(site: Site, path: str = "/healthz", body: bytes | None = None) -> tuple[int, float]:
    """The code of an answer, and the seconds it took on a connection of its own."""
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET" if body is None else "POST", path, body, {"Content-Type": FORM} if body else {})
    with closing(connection), connection.getresponse() as answer:
        answer.read()
        return answer.status, time.monotonic() - began


def until_closed(client: socket.socket) -> bytes:
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def leads() -> int:
    db.session.rollback()
    found = db.session.scalar(select(func.count()).select_from(Lead)) or 0
    db.session.rollback()
    return found


def test_500_clients_that_stall_keep_nobody_from_posting(app: Flask, interface: Interface) -> None:
    """With the settings of gunicorn.conf.py, two processes of 8 threads."""
    path = f"/f/{interface.public_id}"
    with site_of(app) as site, ExitStack() as stack:
        kinds = begun(path)
        for request in kinds.values():
            stack.enter_context(stalled(site, request, MANY // len(kinds)))
        stack.enter_context(stalled(site, SCRIPT, 20, small_window=True))
        for name in ("a head", "no body", "a chunk"):
            stack.enter_context(stalled(site, kinds[name], 40))
        took = [timed(site) for _ in range(10)]
        posted = [timed(site, path, POST) for _ in range(10)]
    assert {code for code, _ in took} == {200}
    assert {code for code, _ in posted} == {303}
    assert max(seconds for _, seconds in took) < 2, "machines that run tests are busy; alone it takes 5 ms"
    assert leads() == 10


def test_what_does_not_arrive_in_time_is_answered_408_and_closed(app: Flask, interface: Interface) -> None:
    path = f"/f/{interface.public_id}"
    with site_of(app, *HASTY) as site:
        with ExitStack() as stack:
            clients = {name: stack.enter_context(stalled(site, each, 1))[0] for name, each in begun(path).items()}
            said = {name: until_closed(client) for name, client in clients.items()}
        assert site.answers()
    assert said.pop("nothing") == b""
    assert said["a wait for 100"].startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 ")
    assert said["a second request"].count(b"HTTP/1.1 ") == 2
    for name, answer in said.items():
        last = answer[answer.rindex(b"HTTP/1.1 ") :]
        assert code_of(last) == 408, name
        assert b"did not arrive in time" in last, name
    assert leads() == 0


def drip(site: Site, whole: bytes, step: int, every: float, most: float = 20.0) -> tuple[bytes, float]:
    """What a client reads that sends a few bytes at a time, and the seconds until it has read it."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as client:
        for at in range(0, len(whole), step):
            try:
                client.sendall(whole[at : at + step])
            except OSError:
                break
            client.settimeout(every)
            try:
                if first := client.recv(1, socket.MSG_PEEK):
                    assert first
                    break
            except TimeoutError:
                pass
            except OSError:
                break
            assert time.monotonic() - began < most
        client.settimeout(30)
        return until_closed(client), time.monotonic() - began


def test_a_head_or_a_body_that_trickles_is_cut_off(app: Flask, interface: Interface) -> None:
    path = f"/f/{interface.public_id}"
    with site_of(app, *HASTY) as site:
        for name, request in (
            ("a head", GET[:-2] + b"X: y\r\n" * 500),
            ("a body", head(path, FORM, 5000) + b"x" * 5000),
            ("chunks", head(path, FORM, None) + chunks(b"x" * 5000, 10)),
        ):
            answer, took = drip(site, request, 3 if name == "a head" else 100, 0.05)
            assert code_of(answer) == 408, name
            assert took < 5, name
        large = head(path, FORM, 250_000) + b"message=" + b"x" * 100_000  # a thread of the uploads waits for the rest
        answer, took = drip(site, large, len(large) - 5000, 0.2)
        assert code_of(answer) == 400
        assert took < 8
    assert leads() == 0


def check_pieces(client: socket.socket, request: bytes, pieces: int) -> None:
    size = -(-len(request) // pieces)
    for at in range(0, len(request), size):
        client.sendall(request[at : at + size])
    answers, received = request.count(b"POST "), b""
    while len(re.findall(rb"HTTP/1\.1 (?!100)", received)) < answers or not received.endswith(b"}\n"):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    final = b"422" if b"xxx" in request else b"201"
    expected = [b"100"] if b"expect" in request else []
    assert re.findall(rb"HTTP/1\.1 (\d+) ", received) == [*expected, *[final] * answers]


def test_a_request_in_pieces_is_the_same_request(app: Flask, interface: Interface) -> None:
    """With a length, chunked, with trailers, after "100 Continue", pipelined, and on one kept connection."""
    path = f"/f/{interface.public_id}"

    def keep(request: bytes) -> bytes:
        return request.replace(b"Connection: close\r\n", b"")

    chunked = keep(head(path, FORM, None)) + chunks(POST, 7)
    sent = [
        keep(head(path, FORM, len(POST))) + POST,
        chunked,
        chunked[:-2] + b"X-Trailer: yes\r\n\r\n",
        chunked.replace(b"\r\n7\r\n", b"\r\n7;name=value\r\n"),
        keep(head(path, FORM, len(POST))).replace(b"\r\n\r\n", b"\r\nexpect: 100-Continue\r\n\r\n") + POST,
        b"\r\n" + keep(head(path, FORM, len(POST))) + POST,
        (keep(head(path, FORM, len(POST))) + POST) * 3,
        keep(head(path, FORM, 100_000)) + b"message=" + b"x" * (100_000 - 8),
        keep(head(path, FORM, None)) + chunks(b"message=" + b"x" * 100_000),
    ]
    with site_of(app) as site:
        for pieces in (1, 2, 5, 40):
            with socket.create_connection(("127.0.0.1", site.port), timeout=30) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for request in sent:
                    check_pieces(client, request, pieces)
    assert leads() == 4 * 9


REFUSED = {
    "a head of 72 KB": (GET.replace(b"\r\n\r\n", b"\r\n") + (b"x: " + b"y" * 8000 + b"\r\n") * 9, 431),
    "line feeds": (GET.replace(b"\r\n\r\n", b"\n\n"), 400),
    "a line feed at once": (b"GET /\nX: y\n", 400),
    "a bad chunk": (head("/f/if_x", FORM, None) + b"zz\r\n", 400),
    "a chunk that goes on": (head("/f/if_x", FORM, None) + b"1\r\nab\r\n0\r\n\r\n", 400),
    "a bad length": (head("/f/if_x", FORM, 5).replace(b" 5", b" 5x") + b"hello", 400),
    "two lengths": (head("/f/if_x", FORM, 5).replace(b" 5", b" 5\r\nContent-Length: 6") + b"hello!", 400),
    "expects more": (head("/f/if_x", FORM, 5).replace(b"\r\n\r\n", b"\r\nExpect: something\r\n\r\n") + b"hello", 417),
}


def test_what_is_refused_is_refused_at_once(app: Flask) -> None:
    with site_of(app) as site:
        for name, (request, code) in REFUSED.items():
            began = time.monotonic()
            with stalled(site, request, 1) as [client]:
                answer = until_closed(client)
            assert code_of(answer) == code, name
            assert time.monotonic() - began < 5, name


def test_a_client_that_does_not_close_holds_up_no_other(app: Flask) -> None:
    """gunicorn's own worker waits two seconds for each of them, in the loop of all."""
    with site_of(app) as site, stalled(site, GET.replace(b"Host: a", b"Host: a\r\nConnection: close"), 50):
        assert max(timed(site)[1] for _ in range(5)) < 2


def test_clients_that_do_not_read_hold_no_thread(app: Flask) -> None:
    """Each asks 60 times for a script on one connection. There are more of them than threads."""
    options = (*HASTY, "--workers", "1", "--threads", "2")
    with site_of(app, *options) as site, stalled(site, SCRIPT * 60, 8, small_window=True) as clients:
        for client in clients:  # so a thread took its first request; sendfile held the threads of two for minutes
            client.settimeout(10)
            assert client.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        took = [timed(site) for _ in range(10)]
    assert {code for code, _ in took} == {200}
    assert max(seconds for _, seconds in took) < 2


def test_a_client_that_reads_gets_all_answers_that_it_asked_for_at_once(app: Flask) -> None:
    with site_of(app, *HASTY) as site, stalled(site, SCRIPT, 1) as [client]:
        for _ in range(20):
            answer = b""
            while len(answer.partition(b"\r\n\r\n")[2]) < SIZE:
                answer += client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            client.sendall(SCRIPT)


def test_a_post_of_60_kb_and_one_of_a_large_body_that_is_one_too_many(app: Flask, interface: Interface) -> None:
    path = f"/f/{interface.public_id}"
    large = head(path, FORM, 200_000) + b"message=" + b"x" * 70_000
    options = (*UNHURRIED, "--workers", "1", "--threads", "2")
    with site_of(app, *options) as site, stalled(site, large, 65 + 3) as clients:  # one is read, 64 wait
        refused = wait_until(lambda: answered(clients)[2:] and answered(clients), "three that are too many")
        assert [code_of(until_closed(client)) for client in refused] == [503] * 3
        assert timed(site, path, b"message=" + b"x" * 60_000)[0] == 422
        assert timed(site)[0] == 200
        assert answered(clients) == refused


def answered(clients: list[socket.socket]) -> list[socket.socket]:
    return select_now(clients, [], [], 0)[0]


def test_the_oldest_client_that_stalls_makes_room_for_a_new_one(app: Flask) -> None:
    options = ("--workers", "1", "--worker-connections", "20")
    with site_of(app, *options) as site, stalled(site, b"GET /", 60) as clients:
        assert [timed(site)[0] for _ in range(5)] == [200] * 5
        assert until_closed(clients[0]) == b""


@pytest.mark.parametrize("is_large", [False, True])
def test_a_stop_lets_a_request_end_that_has_begun(app: Flask, interface: Interface, is_large: bool) -> None:
    path = f"/f/{interface.public_id}"
    body = b"name=Ada&email=ada%40example.com&message=" + b"x" * (9_000 if is_large else 5)
    if is_large:
        ask_for_files(interface)
    db.session.rollback()
    body += b"&other=" + b"y" * 80_000 if is_large else b""
    whole = head(path, FORM, len(body)) + body
    # A busy machine takes some seconds to stop. With a minute of grace it shows that the stop did not wait for that.
    grace = ("--graceful-timeout", "60")
    with site_of(app, *grace) as site, stalled(site, whole[:-1], 1) as [client], stalled(site, b"", 3) as idle:
        assert timed(site)[0] == 200
        assert site.web
        site.web.terminate()
        for other in idle:  # they close within two seconds, so the stop does not wait for them
            assert until_closed(other) == b""
        client.sendall(whole[-1:])
        assert code_of(until_closed(client)) == 201
        assert site.web.wait(timeout=30) == 0
    assert leads() == 1


def test_uploads_that_stall_hold_up_only_uploads(app: Flask, interface: Interface) -> None:
    path = f"/f/{interface.public_id}"
    large = head(path, FORM, 200_000) + b"message=" + b"x" * 70_000
    with site_of(app, *HASTY) as site, stalled(site, large, 60):
        codes = [timed(site, path, POST) for _ in range(10)]
        assert {code for code, _ in codes} == {303}
        assert max(seconds for _, seconds in codes) < 3
        body = b"message=" + b"x" * 100_000  # takes its turn, once those before it are let go
        answer: Callable[[], int] = lambda: timed(site, path, body)[0]  # noqa: E731
        assert answer() == 422
