"""An answer whose end cannot be found costs two seconds of silence, not the deadline, and its code counts."""

import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from itertools import repeat
from threading import Event

import pytest

from tests.support.receiver import Behaviour, Line, Receiver, answering, dripping, hanging, raw
from tests.support.tls import Authority
from webapp.webhooks import connections
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
SILENCE = 2.0
BRIEF = 0.4  # seconds of silence in tests that are not about how long it is
LATE = 1.5  # seconds that a busy machine may be late
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

# What arrives before the silence; the code and the body that are kept.
UNENDED = {
    "identity with a length": (OK + b"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
    "identity without a length": (OK + b"transfer-encoding: identity\r\n\r\nok", 200, "ok"),
    "a length with a point": (OK + b"content-length: 2.0\r\n\r\nok", 200, "ok"),
    "a length that is too long": (OK + b"content-length: 100\r\n\r\nshort", 200, "short"),
    "no last chunk": (CHUNKED + b"5\r\nhello\r\n", 200, "hello"),
    "neither a length nor a close": (OK + b"\r\nhello", 200, "hello"),
    "an answer as to HEAD": (OK + b"content-length: 100\r\n\r\n", 200, ""),
    "205 without a length": (b"HTTP/1.1 205 Reset Content\r\n\r\n", 205, ""),
    "half a chunk": (CHUNKED + b"64\r\nhello", 200, "hello"),
    "a last chunk without its line end": (CHUNKED + b"5\r\nhello\r\n0\r\n", 200, "hello"),
    "a trailer without an end": (CHUNKED + b"0\r\nx-t: 1\r\n", 200, ""),
    "a failure without an end": (b"HTTP/1.1 500 No\r\n\r\nbroken", 500, "broken"),
    "HTTP/1.0 that stays open": (b"HTTP/1.0 201 Created\r\n\r\nyes", 201, "yes"),
    "two lengths": (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!", 200, "ok!"),
    "an answer that says it closes": (OK + b"connection: close\r\n\r\nok", 200, "ok"),
}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENCE", BRIEF)


def post(sender: Sender, url: str, webhook: int = 1) -> Outcome:
    return sender.send(webhook, url, b"{}", {"webhook-id": "msg_1"})


def one(sender: Sender, authority: Authority | None, behaviour: Behaviour) -> tuple[Outcome, float]:
    with Receiver(authority.valid() if authority else None) as receiver:
        receiver.queue(behaviour)
        started = time.monotonic()
        return post(sender, receiver.url), time.monotonic() - started


def test_after_two_seconds_of_silence_the_code_counts_and_the_answer_is_cut(
    sender: Sender, authority: Authority
) -> None:
    """All of them at the same time, half of them encrypted too."""
    cases = [(name, None) for name in UNENDED] + [(name, authority) for name in list(UNENDED)[::2]]
    with ThreadPoolExecutor(len(cases)) as threads:
        behaviours = [hanging(UNENDED[name][0]) for name, _ in cases]
        found = list(threads.map(one, repeat(sender), [secure for _, secure in cases], behaviours))
    for (name, _), (outcome, seconds) in zip(cases, found, strict=True):
        _, code, body = UNENDED[name]
        assert (name, outcome.code, outcome.body) == (name, code, body)
        assert (name, outcome.truncated, outcome.unended, outcome.first) == (name, True, True, None)
        assert SILENCE - 0.05 <= seconds < SILENCE + LATE, name


@pytest.mark.usefixtures("brief")
def test_a_connection_after_such_an_answer_is_not_used_again(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(hanging(OK + b"content-length: 9\r\n\r\nshort"))
    assert [post(sender, receiver.url).code for _ in range(2)] == [200, 200]
    assert [request.connection for request in receiver.requests] == [1, 2]


@pytest.mark.usefixtures("brief")
def test_short_pauses_within_an_answer_are_waited_for(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(dripping([OK + b"content-length: 3\r\n\r\n", b"a", b"b", b"c"], BRIEF * 0.5))
    outcome = post(sender, receiver.url)
    assert (outcome.body, outcome.truncated, outcome.unended) == ("abc", False, False)
    assert outcome.duration_ms > BRIEF * 1000


@pytest.mark.usefixtures("brief")
def test_a_longer_pause_cuts_the_answer_and_the_next_one_is_whole(sender: Sender, receiver: Receiver) -> None:
    """A receiver that begins its answer before its work is done: /docs/webhooks#answer-end says so."""
    receiver.queue(dripping([OK + b"content-length: 2\r\n\r\n", b"ok"], BRIEF * 2), answering(200, b"ok"))
    outcome, following = (post(sender, receiver.url) for _ in range(2))
    assert (outcome.code, outcome.body, outcome.unended, outcome.first) == (200, "", True, None)
    assert (following.body, following.unended, following.first) == ("ok", False, None)
    assert [request.connection for request in receiver.requests] == [1, 2]


@pytest.mark.usefixtures("brief")
def test_a_slow_drip_ends_at_the_deadline(receiver: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, deadline=0.8))
    receiver.queue(dripping([OK + b"\r\n", *repeat(b"x", 100)], 0.05))
    outcome = post(sender, receiver.url)
    sender.close()
    assert (outcome.code, outcome.truncated, outcome.unended) == (200, True, True)
    assert 750 <= outcome.duration_ms < 800 + LATE * 1000


@pytest.mark.usefixtures("brief")
def test_the_deadline_comes_before_the_silence_if_it_is_shorter(receiver: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, deadline=0.2))
    receiver.queue(hanging(OK + b"\r\nhello"))
    outcome = post(sender, receiver.url)
    sender.close()
    assert (outcome.code, outcome.body, outcome.unended) == (200, "hello", True)
    assert 150 <= outcome.duration_ms < 200 + LATE * 1000


@pytest.mark.usefixtures("brief")
def test_silence_before_the_headers_are_complete_is_waited_for(sender: Sender, receiver: Receiver) -> None:
    """Also on a connection whose answer before came in two parts, with the wait for the second part still on record."""
    late = BRIEF + 0.3
    receiver.queue(dripping_open([OK + b"content-length: 2\r\n\r\n", b"ok"]), answering(201, delay=late))
    assert post(sender, receiver.url).body == "ok"
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.unended) == (201, False)
    assert outcome.duration_ms >= late * 1000
    assert [request.connection for request in receiver.requests] == [1, 1]


def dripping_open(pieces: list[bytes]) -> Behaviour:
    def behave(line: Line) -> bool:
        for piece in pieces:
            line.sock.sendall(piece)
            line.over.wait(0.02)
        return True

    return behave


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 9\r\n\r\nshort",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\nzz\r\n",
        OK + b"content-length: 99999\r\n\r\n" + b"x" * 99999,
    ],
    ids=["closed early", "closed within chunks", "a bad chunk", "too long to keep"],
)
def test_what_ends_or_is_cut_for_another_reason_is_not_unended(
    sender: Sender, receiver: Receiver, answer: bytes
) -> None:
    receiver.queue(raw(answer))
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.truncated, outcome.unended) == (200, True, False)
    assert outcome.duration_ms < 1000


@pytest.mark.usefixtures("brief")
def test_a_head_that_stops_is_a_timeout_at_the_deadline(receiver: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, deadline=0.7))
    receiver.queue(hanging(OK + b"content-length: 2\r\n"))
    outcome = post(sender, receiver.url)
    sender.close()
    assert (outcome.code, outcome.error, outcome.unended) == (999, ErrorKind.TIMEOUT, False)
    assert outcome.duration_ms >= 650


@pytest.mark.usefixtures("brief")
def test_while_one_answer_is_silent_others_keep_their_own_time(sender: Sender, receiver: Receiver) -> None:
    """The thread that ends silent connections must not sleep past another one's end, nor end a healthy one."""
    silent = hanging(OK + b"content-length: 9\r\n\r\nshort")
    over = Event()
    with ThreadPoolExecutor(8) as threads, Receiver() as other:
        other.behave(dripping_open([OK + b"content-length: 4\r\n\r\n", b"fi", b"ne"]))

        def healthy() -> set[tuple[str, bool]]:
            found = set()
            while not over.is_set():
                outcome = post(sender, other.url, webhook=9)
                found.add((outcome.body, outcome.unended))
            return found

        beside = threads.submit(healthy)
        receiver.behave(silent)
        starts = [threads.submit(one_of, sender, receiver, number) for number in range(4)]
        times = [start.result() for start in starts]
        over.set()
        assert beside.result() == {("fine", False)}
    assert all(BRIEF - 0.05 <= seconds < BRIEF + LATE for seconds in times)


def one_of(sender: Sender, receiver: Receiver, number: int) -> float:
    time.sleep(number * 0.1)  # so that their silences end one after the other
    started = time.monotonic()
    assert post(sender, receiver.url, webhook=number).unended
    return time.monotonic() - started
