"""Tokens kept and replaced: deadlines, many threads, failures, and what is on record. A scripted server on loopback."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest

from tests.support.receiver import Behaviour, Receiver, answering, closing, free_port, hanging
from tests.webhooks.conftest import LOOPBACK
from webapp.webhooks.authentications import tokens
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.tokens import TokenSource
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def giving(token: str, **more: object) -> Behaviour:
    return answering(200, json.dumps({"access_token": token, "token_type": "Bearer", **more}).encode())


@pytest.fixture
def server() -> Iterator[Receiver]:
    """The token server."""
    with Receiver() as server:
        server.behave(giving("usual", expires_in=3600))
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(sender: Sender, clock: Clock) -> TokenSource:
    return TokenSource(sender, clock)


def oauth(server: Receiver, **options: str) -> OAuth2:
    given = {"token_url": f"{server.origin}/token", "client_id": "leadhook", **options}
    return OAuth2.of(given, {"client_secret": "top secret"})


def post(source: TokenSource, server: Receiver, receiver: Receiver, webhook: int = 1, **options: str) -> Outcome:
    message = Message("PUT", receiver.url, {"webhook-id": "msg_1", "content-type": "text/x"}, b"{}", "msg_1", 1, 1000)
    return source.send(webhook, oauth(server, **options), message)


def bearers(receiver: Receiver) -> list[str]:
    return [request.headers["authorization"] for request in receiver.requests]


def test_the_message_is_sent_as_it_is_with_the_token(source: Any, server: Receiver, receiver: Receiver) -> None:
    assert post(source, server, receiver).delivered
    [request], [asked] = receiver.requests, server.requests
    assert (request.method, request.path, request.body) == ("PUT", "/hook", b"{}")
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("msg_1", "text/x")
    assert bearers(receiver) == ["Bearer usual"]
    assert (asked.method, asked.path, asked.body) == ("POST", "/token", b"grant_type=client_credentials")


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_is_replaced_once_and_both_requests_are_attempts(
    source: Any, server: Receiver, receiver: Receiver, code: int
) -> None:
    server.queue(giving("old"), giving("new"))
    receiver.queue(answering(code, b"expired"))
    outcome = post(source, server, receiver)
    assert (outcome.code, [(one.code, one.body) for one in outcome.before()]) == (200, [(code, "expired")])
    assert bearers(receiver) == ["Bearer old", "Bearer new"]
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["msg_1"] * 2


def test_a_receiver_that_refuses_every_token_gets_two_requests_and_then_one_a_try(
    source: Any, server: Receiver, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer(403)
    outcome = post(source, server, receiver)
    assert (outcome.code, [one.code for one in outcome.before()]) == (403, [403])
    for _ in range(5):
        clock.now += 10
        assert post(source, server, receiver).before() == []
    assert (len(server.requests), len(receiver.requests)) == (2, 7)
    clock.now += 11
    assert len(post(source, server, receiver).before()) == 0
    assert (len(server.requests), len(receiver.requests)) == (3, 8)


@pytest.mark.parametrize("code", [200, 400, 404, 407, 410, 429, 500])
def test_other_answers_say_nothing_about_the_token(
    source: Any, server: Receiver, receiver: Receiver, code: int
) -> None:
    receiver.answer(code)
    for _ in range(2):
        assert (post(source, server, receiver).code, len(server.requests)) == (code, 1)


def test_a_token_server_that_fails_after_a_401_leaves_the_401_on_record(
    source: Any, server: Receiver, receiver: Receiver, clock: Clock
) -> None:
    server.queue(giving("old"), answering(500))
    receiver.queue(answering(401, b"expired"))
    outcome = post(source, server, receiver)
    assert (outcome.code, outcome.body, outcome.before()) == (401, "expired", [])
    again = post(source, server, receiver)  # the refused token is not sent again
    assert again.error is ErrorKind.NO_TOKEN
    assert "asked once a minute at most. What it said before: The token server 127.0.0.1 gave no token" in again.body
    assert (len(server.requests), len(receiver.requests)) == (2, 1)
    clock.now += 60
    assert post(source, server, receiver).delivered


def test_a_good_token_is_used_until_its_end_when_it_cannot_be_renewed(
    source: Any, server: Receiver, receiver: Receiver, clock: Clock
) -> None:
    assert post(source, server, receiver).delivered
    server.answer(503)
    clock.now += 3541
    assert post(source, server, receiver).delivered
    assert len(server.requests) == 2
    clock.now += 58
    assert post(source, server, receiver).delivered
    assert len(server.requests) == 2
    clock.now += 3
    assert post(source, server, receiver).error is ErrorKind.NO_TOKEN
    assert len(server.requests) == 3


def test_a_token_server_that_asks_to_be_left_alone_is(
    source: Any, server: Receiver, receiver: Receiver, clock: Clock
) -> None:
    server.queue(answering(429, headers=[("retry-after", "300")]), answering(503, headers=[("retry-after", "86400")]))
    for seconds, asked in ((0, 1), (299, 1), (1, 2), (599, 2), (1, 3)):
        clock.now += seconds
        outcome = post(source, server, receiver)
        assert len(server.requests) == asked
    assert outcome.delivered


# Deadlines.


@pytest.fixture
def hurried(authority: Any) -> Iterator[Sender]:
    sender = Sender(Limits(allowed_networks=LOOPBACK, deadline=0.9))
    yield sender
    sender.close()


def test_a_token_server_that_hangs_leaves_time_and_is_named(
    hurried: Sender, server: Receiver, receiver: Receiver
) -> None:
    server.behave(hanging())
    started = monotonic()
    outcome = post(TokenSource(hurried), server, receiver)
    assert monotonic() - started < 0.9 + 1.5
    assert outcome.error is ErrorKind.NO_TOKEN
    assert "The token server 127.0.0.1 did not answer: Timed out: no complete response within 0.6 s" in outcome.body
    assert receiver.requests == []


def test_both_requests_end_within_one_deadline(hurried: Sender, server: Receiver, receiver: Receiver) -> None:
    server.behave(giving("slow"))
    server.queue(answering(200, b'{"access_token":"late"}', delay=0.3))
    receiver.behave(hanging())
    started = monotonic()
    outcome = post(TokenSource(hurried), server, receiver)
    assert monotonic() - started < 0.9 + 1.5
    assert outcome.error is ErrorKind.TIMEOUT
    assert 0 < outcome.duration_ms <= 620 + 1500


def test_threads_wait_for_one_token(source: Any, server: Receiver, receiver: Receiver) -> None:
    server.queue(answering(200, b'{"access_token":"shared"}', delay=0.2))
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: post(source, server, receiver), range(8)))
    assert all(outcome.delivered for outcome in outcomes)
    assert len(server.requests) == 1
    assert set(bearers(receiver)) == {"Bearer shared"}


def test_a_thread_that_waits_in_vain_says_so(hurried: Sender, server: Receiver, receiver: Receiver) -> None:
    source = TokenSource(hurried)
    assert post(source, server, receiver).delivered
    kept = source._kept(1, oauth(server))
    kept.token = None
    with kept.lock:
        outcome = post(source, server, receiver)
    assert outcome.body.startswith("The token server 127.0.0.1 did not answer: Timed out: no token within 0.6 s. ")


# The same guard, and what is on record.


def test_a_token_server_in_a_private_network_is_refused(server: Receiver, receiver: Receiver) -> None:
    outcome = post(TokenSource(Sender(Limits())), server, receiver)
    assert outcome.error is ErrorKind.NO_TOKEN
    assert "did not answer: The address of 127.0.0.1 is not public, and this installation does not allow it" in (
        outcome.body
    )
    assert (server.requests, receiver.requests) == ([], [])


def test_a_name_without_a_turn_waits_and_is_no_failure(server: Receiver, receiver: Receiver, clock: Clock) -> None:
    busy = True

    def resolve(*arguments: Any) -> Any:
        if busy:
            raise NoTurn("auth.example")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", arguments[1]))]

    sender = Sender(Limits(allowed_networks=LOOPBACK), resolver=resolve)
    source = TokenSource(sender, clock)
    message = Message("POST", f"http://crm.example:{receiver.port}/", {}, b"{}", "msg_1", 1, 1000)
    scheme = OAuth2.of({"token_url": f"http://auth.example:{server.port}/", "client_id": "a"}, {"client_secret": "b"})
    with pytest.raises(NoTurn):
        source.send(1, scheme, message)
    busy = False
    assert source.send(1, scheme, message).delivered
    sender.close()


def test_all_requests_of_a_try_are_on_record_in_order(
    source: Any, server: Receiver, receiver: Receiver, clock: Clock
) -> None:
    assert post(source, server, receiver).delivered
    receiver.queue(closing(), answering(401, b"who?"), closing(), answering(201))
    server.queue(giving("new"))
    outcome = post(source, server, receiver)
    assert outcome.code == 201
    assert [(one.code, one.error) for one in outcome.before()] == [
        (999, ErrorKind.SENT_AGAIN),
        (401, ErrorKind.HTTP_4XX),
        (999, ErrorKind.SENT_AGAIN),
    ]
    assert bearers(receiver) == ["Bearer usual"] * 3 + ["Bearer new"] * 2


def test_a_receiver_that_repeats_what_it_got_is_masked(source: Any, server: Receiver, receiver: Receiver) -> None:
    server.behave(giving("abc/def+g="))
    receiver.answer(200, b'You sent: Bearer abc/def+g= and "abc\\/def+g="', headers=[("x-echo", "Bearer abc/def+g=")])
    outcome = post(source, server, receiver)
    assert outcome.body == 'You sent: Bearer ••• and "•••"'
    assert ("x-echo", "Bearer •••") in outcome.headers


def test_a_receiver_that_cannot_be_reached_is_no_matter_of_the_token(source: Any, server: Receiver) -> None:
    port = free_port()
    message = Message("POST", f"http://127.0.0.1:{port}/", {}, b"{}", "msg_1", 1, 1000)
    outcome = source.send(1, oauth(server), message)
    assert outcome.error is ErrorKind.REFUSED
    assert outcome.body.startswith(f"Connection refused by 127.0.0.1 port {port}")


def test_what_is_kept_is_bounded(
    sender: Sender, server: Receiver, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tokens.MOST_KEPT == 512
    monkeypatch.setattr(tokens, "MOST_KEPT", 2)
    source = TokenSource(sender)
    for webhook in (1, 2, 1, 3, 1, 2):
        assert post(source, server, receiver, webhook).delivered
    assert len(server.requests) == 4
    assert len(source._all) == 2
