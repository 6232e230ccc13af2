"""Requests that wait for news without a thread: real sockets against gunicorn with two threads and a tiny app."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.servers.test_kept_connections import asked, body_of, connected, get, is_closed, server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.once

POST = b"POST /waits?9 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


def waiting(port: int) -> int:
    with connected(port) as client:
        return int(body_of(asked(client, get("/waiting", "Connection: close"))).split()[0])


def until(port: int, number: int) -> None:
    wait_until(lambda: waiting(port) == number, f"{number} requests to wait")


def answer(client: socket.socket) -> bytes:
    return asked(client, b"")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that several tests share."""
    with server(tmp_path_factory.mktemp("parking") / "log") as port:
        yield port


def test_hundreds_wait_without_a_thread_until_there_is_news(port: int) -> None:
    kinds = get("/waits?60"), get("/waits?60", version="1.0"), get("/waits?60", "X-A: a", "X-A: b")
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(300)]
        for number, client in enumerate(clients):
            client.sendall(kinds[number % 3])
        until(port, 300)
        with connected(port) as other:
            assert body_of(asked(other, get("/wakes"))) == b"woken"
        assert {body_of(answer(client)) for client in clients} == {b"has waited"}
        until(port, 0)
        for client in (clients[0], clients[2]):  # they are kept, and their next request waits anew
            assert body_of(asked(client, get("/"))) == b"0 bytes"
            assert body_of(asked(client, get("/waits?0"))) == b"has waited"
        assert is_closed(clients[1])


def test_a_request_waits_no_longer_than_it_wants_to(port: int) -> None:
    with connected(port) as client:
        assert body_of(asked(client, get("/waits?1"))) == b"nothing new"
        assert body_of(asked(client, get("/waits?1", "X-A: a", "X-A: b"))) == b"nothing new"
    assert waiting(port) == 0


def test_what_has_a_body_or_a_long_head_or_is_followed_does_not_wait(port: int) -> None:
    long = get("/waits?60", *(f"X-{number}: {'x' * 1000}" for number in range(4)))
    for request in (POST, long, get("/waits?60") + get("/waits?60")):
        with connected(port) as client:
            assert body_of(asked(client, request)).startswith(b"cannot wait")


def test_a_client_that_leaves_waits_no_more(port: int) -> None:
    with connected(port) as client:
        client.sendall(get("/waits?60"))
        until(port, 1)
    until(port, 0)


@pytest.mark.parametrize("lines", [(), ("X-A: a", "X-A: b")], ids=["ours", "gunicorn's"])
def test_a_client_that_sends_its_next_request_gets_both_answers(port: int, lines: tuple[str, ...]) -> None:
    with connected(port) as client:
        client.sendall(get("/waits?60", *lines))
        until(port, 1)
        client.sendall(get("/", "Connection: close"))
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b"nothing new" in received
    assert received.endswith(b"0 bytes")
    until(port, 0)


def test_who_waits_is_answered_when_the_process_stops(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with server(tmp_path / "log") as port:
            clients = [stack.enter_context(connected(port)) for _ in range(5)]
            for client in clients:
                client.sendall(get("/waits?60"))
            until(port, 5)
        assert {body_of(answer(client)) for client in clients} == {b"nothing new"}


def test_the_one_that_has_waited_longest_makes_room(tmp_path: Path) -> None:
    with server(tmp_path / "log", "--worker-connections", "5") as port, ExitStack() as stack:
        first = stack.enter_context(connected(port))
        first.sendall(get("/waits?60"))
        until(port, 1)
        for _ in range(6):
            stack.enter_context(connected(port)).sendall(get("/waits?60"))
        with suppress(ConnectionResetError):  # closed, too
            assert is_closed(first)
