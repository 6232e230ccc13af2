"""Bytes after the end of an answer never fail the next lead, and are never taken for its answer."""

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from threading import Thread
from typing import Any

import pytest

from tests.support.receiver import Behaviour, Line, Receiver, answering, raw
from tests.support.tls import Authority
from tests.support.waiting import wait_until
from webapp.webhooks import connections
from webapp.webhooks.advice import with_step
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
LEADS = 6
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

# An answer, and what comes after its end.
SURPLUS = {
    "204 with a body": (b"HTTP/1.1 204 No Content\r\n\r\n", b'{"received":true}'),
    "length 0 with a body": (EMPTY, b"done"),
    "chunked leftovers": (CHUNKED, b"0\r\n\r\n"),
    "205 with a body": (b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n", b"reset"),
    "204 that announces its body": (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", b"hello"),
    "204 with chunks": (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"),
    "a line end after the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"\r\n"),
    "one byte too many": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"\0"),
    "the beginning of a status line": (EMPTY, b"HTTP/"),
    "a log line": (EMPTY, b"<br />\nWarning: something\n"),
}


def post(sender: Sender, url: str, number: int = 1) -> Outcome:
    return sender.send(1, url, b"{}", {"webhook-id": f"msg_{number}"})


def late(answer: bytes, surplus: bytes, seconds: float) -> Behaviour:
    """Answers, and sends the rest afterwards."""

    def behave(line: Line) -> bool:
        line.sock.sendall(answer)
        line.over.wait(seconds)
        line.sock.sendall(surplus)
        return True

    return behave


def check_all_taken(outcomes: list[Outcome], receiver: Receiver) -> None:
    assert [outcome.code for outcome in outcomes] == [outcomes[0].code] * LEADS
    assert all(outcome.delivered for outcome in outcomes)
    repeats = [outcome.first for outcome in outcomes if outcome.first]
    assert len(receiver.wait_for(LEADS + len(repeats))) == LEADS + len(repeats)
    assert len(repeats) <= 1
    assert all(first.error is ErrorKind.SENT_AGAIN for first in repeats)


@pytest.mark.parametrize("seconds", [0, 0.005, 0.03, 0.2])
@pytest.mark.parametrize(("answer", "surplus"), SURPLUS.values(), ids=SURPLUS.keys())
def test_late_bytes_fail_no_lead_and_cost_one_repeat_at_most(
    sender: Sender, receiver: Receiver, answer: bytes, surplus: bytes, seconds: float
) -> None:
    receiver.behave(late(answer, surplus, seconds))
    check_all_taken([post(sender, receiver.url) for _ in range(LEADS)], receiver)


@pytest.mark.parametrize("seconds", [0, 0.03])
def test_late_bytes_fail_no_encrypted_lead(sender: Sender, authority: Authority, seconds: float) -> None:
    with Receiver(authority.valid()) as receiver:
        receiver.behave(late(*SURPLUS["204 with a body"], seconds))
        check_all_taken([post(sender, receiver.url) for _ in range(LEADS)], receiver)


def test_a_304_that_announces_a_body_is_a_failure_of_its_own_lead_alone(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(late(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b"hello", 0.01))
    outcomes = [post(sender, receiver.url) for _ in range(3)]
    assert [outcome.code for outcome in outcomes] == [304, 200, 200]
    assert all(outcome.first is None for outcome in outcomes)


@pytest.mark.parametrize(("_", "surplus"), SURPLUS.values(), ids=SURPLUS.keys())
def test_bytes_that_come_in_place_of_an_answer_have_the_lead_sent_once_more(
    sender: Sender, receiver: Receiver, _: bytes, surplus: bytes
) -> None:
    """They were on their way when the lead was sent: what a real receiver does with a few milliseconds of bad luck."""
    receiver.queue(answering(204), raw(surplus + EMPTY, keep_open=True), answering(201))
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    assert outcome.code == 201
    assert outcome.first is not None
    assert (outcome.first.code, outcome.first.error) == (999, ErrorKind.SENT_AGAIN)
    assert outcome.first.body == (
        f"127.0.0.1 port {receiver.port} sent bytes on a kept connection that are no answer, maybe of an old one. "
        "The request was sent once more, on a new connection."
    )
    assert len(receiver.requests) == 3


def test_on_a_new_connection_such_bytes_are_the_receivers_answer(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(raw(b"hello"))
    outcome = post(sender, receiver.url)
    assert (outcome.error, outcome.first) == (ErrorKind.BAD_RESPONSE, None)
    assert outcome.body == with_step("127.0.0.1 did not answer in HTTP")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 999 Denied\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000],
)
def test_an_answer_in_http_that_is_refused_is_not_asked_for_again(
    sender: Sender, receiver: Receiver, answer: bytes
) -> None:
    receiver.queue(answering(), raw(answer))
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    assert (outcome.error, outcome.first) == (ErrorKind.BAD_RESPONSE, None)
    assert len(receiver.requests) == 2


def test_a_408_that_ends_a_kept_connection_is_no_answer_to_the_lead(sender: Sender, receiver: Receiver) -> None:
    """Load balancers send it to connections that were idle for too long, also while a request is on its way."""
    receiver.queue(answering(), raw(TIMED_OUT), answering(), answering())
    outcomes = [post(sender, receiver.url) for _ in range(3)]
    assert [outcome.code for outcome in outcomes] == [200, 200, 200]
    assert [outcome.first is not None for outcome in outcomes] == [False, True, False]
    first = outcomes[1].first
    assert first is not None
    assert first.error is ErrorKind.SENT_AGAIN
    assert "ended a kept connection with the code 408" in first.body
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 2]


def test_a_408_on_a_new_connection_or_on_one_that_stays_open_is_the_answer(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(raw(TIMED_OUT), answering(), answering(408))
    outcomes = [post(sender, receiver.url) for _ in range(3)]
    assert [(outcome.code, outcome.first) for outcome in outcomes] == [(408, None), (200, None), (408, None)]
    assert len(receiver.requests) == 3


def test_a_408_that_came_while_the_connection_was_idle_costs_only_the_connection(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.queue(raw(EMPTY, keep_open=True))
    post(sender, receiver.url)
    [idle] = sender._idle._order
    [theirs] = receiver._open
    theirs.sendall(TIMED_OUT)
    select.select([idle.sock], [], [], 10)
    outcomes = [post(sender, receiver.url) for _ in range(2)]
    assert [(outcome.code, outcome.first) for outcome in outcomes] == [(200, None), (200, None)]
    assert [request.connection for request in receiver.requests] == [1, 2, 2]


def test_interim_answers_after_the_end_are_skipped_by_the_next_lead(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(answering(), raw(b"HTTP/1.1 102 Processing\r\n\r\n" + EMPTY, keep_open=True))
    assert [post(sender, receiver.url).first for _ in range(2)] == [None, None]
    assert len(receiver.requests) == 2


def test_after_surprising_bytes_no_connection_of_the_webhook_is_kept(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(raw(EMPTY + b"done", keep_open=True))
    for _ in range(4):
        assert post(sender, receiver.url).delivered
    assert [request.connection for request in receiver.requests] == [1, 2, 3, 4]


def test_other_webhooks_keep_theirs(sender: Sender, receiver: Receiver) -> None:
    with Receiver() as other:
        receiver.behave(raw(EMPTY + b"done", keep_open=True))
        for _ in range(3):
            post(sender, receiver.url)
            sender.send(2, other.url, b"{}", {})
    assert (receiver.connections, other.connections) == (3, 1)


def test_after_some_minutes_connections_are_kept_again(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DISTRUST", 0.0)
    receiver.queue(raw(EMPTY + b"done", keep_open=True))
    for _ in range(3):
        post(sender, receiver.url)
    assert [request.connection for request in receiver.requests] == [1, 2, 2]


def test_it_remembers_only_so_many_of_them(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_DISTRUSTED", 3)
    for webhook in range(5):
        sender._idle.distrust((webhook, False, "crm.example", 80))
    assert [key[0] for key in sender._idle._distrusted] == [2, 3, 4]


def test_kept_connections_of_a_distrusted_webhook_are_closed(sender: Sender, receiver: Receiver) -> None:
    post(sender, receiver.url)
    [idle] = sender._idle._order
    sender._idle.distrust(idle.key)
    assert idle.sock.fileno() == -1
    assert not sender._idle._order
    assert not sender._idle._stacks


def test_a_connection_given_back_just_when_its_webhook_is_distrusted_is_closed(
    sender: Sender, receiver: Receiver
) -> None:
    post(sender, receiver.url)
    kept = sender._idle
    [idle] = kept._order
    assert kept.take(idle.key) is idle
    distrusts = Thread(target=kept.distrust, args=(idle.key,))

    class Meanwhile(dict[Any, float]):
        """Another thread distrusts the webhook after this one has looked whether it is; or next, if it has to wait."""

        def get(self, *given: Any) -> Any:
            found = super().get(*given)
            distrusts.start()
            if not kept._lock.locked():
                distrusts.join(60)
            return found

    kept._distrusted = Meanwhile({(7, *idle.key[1:]): 0.0})
    kept.give(idle)
    distrusts.join(60)
    assert not kept._order
    assert idle.sock.fileno() == -1


class Handler(BaseHTTPRequestHandler):
    """What people write: a code without a body, and then a body."""

    protocol_version = "HTTP/1.1"
    ids: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).ids.append(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()
        self.wfile.write(json.dumps({"received": True}).encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Repeating(Handler):
    """Answers with the id of the request; after every third answer come late bytes."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        name = self.headers["webhook-id"]
        type(self).ids.append(name)
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name.encode())
        if int(name.removeprefix("msg_")) % 3 == 0:
            time.sleep(0.003)
            self.wfile.write(b"late")


@contextmanager
def serving(handler: type[Handler]) -> Iterator[str]:
    handler.ids = []
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_pythons_own_server_that_writes_after_a_204_gets_every_lead(sender: Sender) -> None:
    with serving(Handler) as url:
        outcomes = [post(sender, url, number) for number in range(30)]
        repeats = sum(outcome.first is not None for outcome in outcomes)
        wait_until(lambda: len(Handler.ids) == 30 + repeats, "every request")
    assert {outcome.code for outcome in outcomes} == {204}
    assert repeats <= 1
    assert set(Handler.ids) == {f"msg_{number}" for number in range(30)}


def test_no_lead_gets_the_answer_of_another_one(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "DISTRUST", 0.0)  # so that it happens again and again
    with serving(Repeating) as url:
        for number in range(30):
            assert post(sender, url, number).body == f"msg_{number}"


def test_a_closed_connection_is_not_taken_for_one_with_bytes(sender: Sender, receiver: Receiver) -> None:
    post(sender, receiver.url)
    [idle] = sender._idle._order
    receiver.drop_connections()
    assert idle.sock.recv(1, socket.MSG_PEEK) == b""
    post(sender, receiver.url)
    post(sender, receiver.url)
    assert not sender._idle._distrusted
    assert [request.connection for request in receiver.requests] == [1, 2, 2]
