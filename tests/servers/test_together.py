"""Requests that one thread answers together: real sockets against gunicorn with a tiny app."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.conftest import AppMaker
from tests.servers.test_kept_connections import asked, body_of, connected, get, is_closed, server
from webapp.servers.incoming import Arrival
from webapp.servers.patient_worker import PatientWorker
from webapp.servers.together import beginnings

pytestmark = pytest.mark.once


def post(path: str, body: bytes, *lines: str) -> bytes:
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *lines, "", ""])
    return head.encode() + body


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together") / "log"


@pytest.fixture(scope="module")
def port(log: Path) -> Iterator[int]:
    """A server that several tests share."""
    with server(log) as port:
        yield port


def answers(port: int, requests: list[bytes], meanwhile: list[bytes] | None = None) -> list[bytes]:
    """What these requests get that come while the thread is at work, so that it finds all of them after it;
    `meanwhile`: what is asked, and answered, while they wait."""
    with ExitStack() as stack:
        first, *clients = [stack.enter_context(connected(port)) for _ in range(len(requests) + 1)]
        first.sendall(post("/together/holds", b"first"))
        with connected(port) as other:
            assert body_of(asked(other, get("/held"))) == b"yes"
            for client, request in zip(clients, requests, strict=True):
                client.sendall(request)
            for request in meanwhile or []:
                assert asked(other, request)
            # The loop has taken the posts before it takes this request, which comes later.
            assert body_of(asked(other, get("/releases"))) == b"yes"
        assert body_of(asked(first, b"")) == b"together first first"
        return [asked(client, b"") for client in clients]


def test_posts_that_have_come_meet_and_each_gets_its_own_answer(port: int) -> None:
    found = answers(port, [post("/together", b"%d" % number) for number in range(10)])
    brought = {body_of(answer).split()[2] for answer in found}
    assert [body_of(answer).split()[:2] for answer in found] == [[b"together", b"%d" % n] for n in range(10)]
    assert len(brought) == 1
    assert set(brought.pop().split(b",")) == {b"%d" % number for number in range(10)}
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in found)


def test_no_more_than_sixteen_meet(port: int) -> None:
    found = answers(port, [post("/together", b"%d" % number) for number in range(40)])
    groups = {body_of(answer).split()[2] for answer in found}
    assert sorted(len(group.split(b",")) for group in groups) == [8, 16, 16]


def test_one_that_fails_or_goes_on_elsewhere_does_not_hinder_the_others(port: int, log: Path) -> None:
    kinds = "/together", "/together/fails", "/together/elsewhere", "/together"
    good, failed, elsewhere, other = answers(port, [post(kind, b"%d" % n) for n, kind in enumerate(kinds)])
    assert {body_of(answer).split()[2] for answer in (good, other)} <= {b"0,3", b"3,0"}
    assert failed.startswith(b"HTTP/1.1 500 ")
    assert body_of(elsewhere) == b"request 2 alone"
    assert log.read_text().count("RuntimeError: as the test wants it") == 1


def test_other_requests_do_not_wait_for_the_thread(port: int) -> None:
    answers(port, [post("/together", b"1")], [get("/"), post("/", b"abc"), get("/together"), get("/pid")])


def test_a_request_that_gunicorn_reads_is_for_another_thread(port: int) -> None:
    read_by_gunicorn = post("/together", b"1", "X-A: a", "X-A: b")
    chunked = b"POST /together HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n"
    found = answers(port, [read_by_gunicorn, chunked, post("/together", b"3")])
    assert [body_of(answer) for answer in found] == [b"request 1 alone", b"request 2 alone", b"together 3 3"]


def test_connections_are_kept_after_an_answer_together_and_after_one_elsewhere(port: int) -> None:
    with connected(port) as client:
        for _ in range(3):
            for kind, thread in (("/together", b"together 1 1"), ("/together/elsewhere", b"request 1 alone")):
                answer = asked(client, post(kind, b"1"))
                assert body_of(answer) == thread
                assert b"Connection: keep-alive\r\n" in answer
        assert b"Connection: close\r\n" in asked(client, post("/together", b"1", "Connection: close"))
        assert is_closed(client)


def test_a_process_that_stops_answers_what_has_come(tmp_path: Path) -> None:
    with server(tmp_path / "log") as port, ExitStack() as stack:
        first, second = (stack.enter_context(connected(port)) for _ in range(2))
        first.sendall(post("/together/holds", b"first"))
        with connected(port) as other:
            assert body_of(asked(other, get("/held"))) == b"yes"
            second.sendall(post("/together", b"second"))
            pid = int(body_of(asked(other, get("/pid"))))
            os.kill(pid, signal.SIGTERM)
            assert body_of(asked(other, get("/releases"))) == b"yes"
        for client, name in ((first, b"first"), (second, b"second")):
            answer = asked(client, b"")
            assert body_of(answer) == b"together %b %b" % (name, name)
            assert is_closed(client)


def test_no_posts_go_together_where_the_app_has_a_middleware_of_somebody_else(make_app: AppMaker) -> None:
    app = make_app(TRUSTED_PROXIES="1")
    posts, views = beginnings(app)
    assert all(posts.match(each) for each in (b"POST /f/if_1 ", b"POST /f/if_1?a=b ", b"POST /api/v1/leads "))
    assert all(views.match(each) for each in (b"GET /f/if_1 ", b"GET /f/if_1?_frame=1 "))
    others = (
        b"/f/look/a.css ",
        b"/f/if_1/logo/b ",
        b"/f/if_1/thank-you ",
        b"/f/ ",
        b"/f/%41 ",
        b"/api/v1/leads?a ",
        b"/",
    )
    assert not any(
        kind.match(b"%b %b" % (method, other))
        for kind in (posts, views)
        for method in (b"GET", b"POST")
        for other in others
    )
    ours = app.wsgi_app
    app.wsgi_app = lambda environ, start_response: ours(dict(environ), start_response)  # type: ignore[method-assign]
    assert not beginnings(app)
    assert not beginnings(ours)


def test_the_loop_begins_the_threads_for_what_goes_on_elsewhere() -> None:
    """The thread of posts together would otherwise begin them while the loop does, too."""
    worker, conn = PatientWorker.__new__(PatientWorker), Mock()
    together = Mock()
    worker.threads, worker.together = Mock(), {re.compile(b"POST /f/"): together}
    conn.receive.return_value, conn.begins_with.return_value = Arrival.WHOLE, True
    worker._look(conn)
    worker.threads.begin.assert_called_once_with()
    together.put.assert_called_once_with(conn)
