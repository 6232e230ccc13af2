"""Requests that are written at once and read as their answers come: what comes of each is what `send` says of it."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network
from itertools import count, pairwise
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.receiver import Receiver, answering
from tests.support.waiting import wait_until
from tests.webhooks.test_unended import UNENDED
from webapp.webhooks import connections
from webapp.webhooks.connections import HttpConnection, watch
from webapp.webhooks.exchanges import MOST_PIECES, Exchange, wait
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
numbers = count(1)

ANSWERS = {
    "a length": OK + b"content-length: 5\r\n\r\nhello",
    "no body": EMPTY,
    "chunks": CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-t: 1\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + EMPTY,
    "bare line ends": b"HTTP/1.1 201 Yes\ncontent-length: 2\n\nok",
    "a failure": b"HTTP/1.1 503 No\r\nretry-after: 30\r\ncontent-length: 4\r\n\r\nbusy",
    "a redirect": b"HTTP/1.1 302 There\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
    "gone": b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
    "more than 16 KB": OK + b"content-length: 20000\r\n\r\n" + b"x" * 20000,
    "more than 16 KB in chunks": CHUNKED + b"4e20\r\n" + b"x" * 20000 + b"\r\n0\r\n\r\n",
    "16 KB": OK + b"content-length: 16384\r\n\r\n" + b"x" * 16384,
    "another encoding": OK + b"content-type: text/plain; charset=latin-1\r\ncontent-length: 1\r\n\r\n\xfc",
    "close": OK + b"connection: close\r\ncontent-length: 2\r\n\r\nok",
    "until the end": OK + b"\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "cut in its body": OK + b"content-length: 9\r\n\r\nhello",
    "cut in a chunk": CHUNKED + b"9\r\nhello",
    "a wrong chunk": CHUNKED + b"5\r\nhello\r\nzz\r\n",
    "cut in its headers": OK + b"content-length: 9\r\n",
    "cut in its first line": b"HTTP/1.1 2",
    "no answer": b"",
    "no HTTP": b"hello",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "a code that is none": b"HTTP/1.1 999 Denied\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\n\r\n",
    "too many headers": OK + b"x: y\r\n" * 20_000,
    "too many interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000,
    "408": b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    "bytes after its end": EMPTY + b"done",
}
FRAGMENTS = st.sampled_from(
    [
        *(OK, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 404 No\n", b"\r\n", b"\n", b"\r\n\r\n", b"5\r\n"),
        *(b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"hello", b"x" * 99),
        *(b"content-length: 7\r\n", b"\x00", b"\xff", b"retry-after: 9\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n"),
        b"x" * 17_000,
    ]
)


class Line:
    """Both ends of a connection that the sender has kept. The test is the receiver, in the same thread."""

    def __init__(self, sender: Sender, port: int) -> None:
        self._sender = sender
        self.webhook = next(numbers)
        self.url = f"http://127.0.0.1:{port}/hook"
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock, _ = server.accept()
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = HttpConnection(ours, (self.webhook, False, "127.0.0.1", port, None))
        sender._idle.give(self.kept)

    @property
    def is_kept(self) -> bool:
        return self.kept in self._sender._idle._order

    def begin(self, body: bytes = b"{}") -> Exchange:
        exchange = self._sender.begin(self.webhook, self.url, body, {"webhook-id": "msg_1"})
        assert exchange is not None
        return exchange

    def send(self) -> Outcome:
        return self._sender.send(self.webhook, self.url, b"{}", {"webhook-id": "msg_1"})

    def give(self, answer: bytes, ends: bool = False) -> None:
        with suppress(OSError):  # the sender needs no more of it
            self.sock.sendall(answer)
            if ends:
                self.sock.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        return self.sock.recv(100_000)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Receiver]:
    """What takes a request that is sent once more."""
    with Receiver() as receiver:
        receiver.answer(202, b"at last")
        yield receiver


@pytest.fixture(scope="module")
def patient(elsewhere: Receiver) -> Iterator[Sender]:
    sender = Sender(Limits(allowed_networks=LOOPBACK, max_idle=2))
    yield sender
    sender.close()


@contextmanager
def line_of(sender: Sender, elsewhere: Receiver) -> Iterator[Line]:
    line = Line(sender, elsewhere.port)
    try:
        yield line
    finally:
        line.sock.close()


@pytest.fixture
def line(sender: Sender, elsewhere: Receiver) -> Iterator[Line]:
    with line_of(sender, elsewhere) as line:
        yield line


def without_times(outcome: Outcome | None) -> Outcome | None:
    """All of an outcome but its durations."""
    return outcome and replace(outcome, duration_ms=0, first=without_times(outcome.first))


def comes(exchange: Exchange) -> Outcome | None:
    """What `poll` says once there is something to read."""
    assert wait([exchange], 10) == [exchange]
    return exchange.poll()


def sent(sender: Sender, elsewhere: Receiver, answer: bytes, ends: bool) -> tuple[Outcome | None, bool]:
    """What `send` says of an answer, and whether it keeps the connection."""
    with line_of(sender, elsewhere) as line:

        def serve() -> None:
            line.read()
            line.give(answer, ends)

        thread = Thread(target=serve)
        thread.start()
        outcome = line.send()
        thread.join(10)
        return without_times(outcome), line.is_kept


def exchanged(
    sender: Sender, elsewhere: Receiver, pieces: list[bytes], ends: bool, polled: int = 1_000_000
) -> tuple[Outcome | None, bool]:
    """The same by `begin`, for an answer that comes in pieces. After `polled` of them the rest is left to `finish`."""
    with line_of(sender, elsewhere) as line:
        exchange = line.begin()
        line.read()
        assert exchange.poll() is None
        outcome = None
        for number, piece in enumerate(pieces):
            line.give(piece)
            if number < polled and outcome is None and not exchange.ended:
                outcome = comes(exchange)
        line.give(b"", ends)
        while polled > len(pieces) and outcome is None and not exchange.ended:
            outcome = comes(exchange)
        if exchange.ended:
            assert exchange.poll() is None
        outcome = outcome or exchange.finish()
        assert exchange.finish() is outcome
        assert wait([exchange], 10) == [exchange]
        return without_times(outcome), line.is_kept


def cut(answer: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(answer), *(place % (len(answer) + 1) for place in places)})
    return [answer[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("polled", [1_000_000, 1, 0])
@pytest.mark.parametrize("places", [[], [17, 40], list(range(12)), list(range(0, 200, 3))], ids=len)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_the_outcome_is_the_one_of_send_and_so_is_the_connections_end(
    patient: Sender, elsewhere: Receiver, answer: bytes, places: list[int], polled: int
) -> None:
    found, is_kept = exchanged(patient, elsewhere, cut(answer, places), True, polled)
    expected, would_be_kept = sent(patient, elsewhere, answer, True)
    assert found == expected
    assert is_kept == would_be_kept or answer.endswith(b"done")  # which may come when the connection is kept already


@given(
    st.lists(FRAGMENTS | st.binary(max_size=20), max_size=12).map(b"".join),
    st.lists(st.integers(0), max_size=8),
    st.integers(0, 9),
)
def test_it_does_not_depend_on_how_the_bytes_are_split_and_who_reads_them(
    patient: Sender, elsewhere: Receiver, answer: bytes, places: list[int], polled: int
) -> None:
    found, _ = exchanged(patient, elsewhere, cut(answer, places), True, polled)
    assert found == sent(patient, elsewhere, answer, True)[0]


@pytest.mark.parametrize("polled", [1_000_000, 1, 0])
@pytest.mark.parametrize("name", UNENDED)
def test_an_answer_without_an_end_is_cut_after_the_same_silence(
    patient: Sender, elsewhere: Receiver, name: str, polled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE", 0.1)
    answer, code, body = UNENDED[name]
    started = time.monotonic()
    outcome, is_kept = exchanged(patient, elsewhere, cut(answer, [20]), False, polled)
    assert outcome is not None
    assert (outcome.code, outcome.body, outcome.unended, outcome.truncated) == (code, body, True, True)
    assert not is_kept
    assert time.monotonic() - started < 3


def test_a_kept_connection_takes_one_exchange_after_another_and_sends_between_them(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.behave(answering(200, b"ok"))

    def begun() -> Outcome | None:
        exchange = sender.begin(1, receiver.url, b'{"name":"Ada"}', {"webhook-id": "msg_1"})
        assert exchange is not None
        return comes(exchange)

    outcomes = [sender.send(1, receiver.url, b'{"name":"Ada"}', {"webhook-id": "msg_1"})]
    outcomes += [begun(), begun(), sender.send(1, receiver.url, b'{"name":"Ada"}', {"webhook-id": "msg_1"}), begun()]
    assert [outcome and outcome.body for outcome in outcomes] == ["ok"] * 5
    first, *others = receiver.requests
    assert [replace(one, at=first.at) for one in others] == [first] * 4  # byte for byte, on the same connection


def test_without_a_kept_connection_or_with_what_cannot_be_sent_nothing_begins(
    sender: Sender, receiver: Receiver
) -> None:
    assert sender.begin(1, receiver.url, b"{}", {}) is None
    assert sender.send(1, receiver.url, b"{}", {}).delivered
    assert sender.begin(1, "https://ada:secret@crm.example/", b"{}", {}) is None
    assert sender.begin(1, receiver.url, b"{}", {"x-a": "a\r\nx-b: c"}) is None
    assert sender.begin(1, receiver.url, b"{}", {"x-a": "€"}) is None
    assert sender.begin(2, receiver.url, b"{}", {}) is None
    assert [request.connection for request in receiver.requests] == [1]
    assert len(sender._idle._order) == 1


def test_a_connection_that_has_ended_meanwhile_begins_nothing(line: Line, sender: Sender) -> None:
    line.sock.close()
    select.select([line.kept.sock], [], [], 10)
    assert sender.begin(line.webhook, line.url, b"{}", {}) is None
    assert line.kept.sock.fileno() == -1


def test_many_are_under_way_at_once_in_one_thread(sender: Sender, elsewhere: Receiver) -> None:
    lines = [Line(sender, elsewhere.port) for _ in range(100)]
    exchanges = {line.begin(): line for line in lines}
    assert wait(list(exchanges), 0) == []
    for line in lines[::2]:
        assert line.read()
        line.sock.sendall(EMPTY)
    done = []
    while len(done) < 50:
        ready = wait([one for one in exchanges if one not in done], 10)
        assert ready
        done += [one for one in ready if one.poll()]
    assert {exchanges[one] for one in done} == set(lines[::2])
    for line in lines[1::2]:
        line.sock.sendall(EMPTY)
    assert all(one.finish().delivered for one in exchanges)
    assert all(line.is_kept for line in lines)
    for line in lines:
        line.sock.close()


def test_waiting_lasts_as_long_as_it_may_and_wakes_for_what_comes(line: Line) -> None:
    exchange, started = line.begin(), time.monotonic()
    assert wait([exchange], 0.05) == []
    assert 0.05 <= time.monotonic() - started < 2
    line.sock.sendall(OK)
    assert wait([exchange], 10) == [exchange]
    assert exchange.poll() is None
    assert wait([exchange], 0) == []  # it was read
    line.sock.sendall(b"content-length: 0\r\n\r\n")
    assert comes(exchange)


def test_a_connection_that_ends_without_an_answer_is_for_finish_which_sends_once_more(
    line: Line, elsewhere: Receiver
) -> None:
    exchange = line.begin()
    line.read()
    line.sock.close()
    assert comes(exchange) is None
    assert exchange.ended
    assert wait([exchange], 10) == [exchange]
    assert exchange.poll() is None
    outcome = exchange.finish()
    assert (outcome.code, outcome.body) == (202, "at last")
    assert outcome.first is not None
    assert outcome.first.error is ErrorKind.SENT_AGAIN
    assert elsewhere.requests[-1].body == b"{}"


def test_a_connection_that_breaks_before_anything_left_is_no_request(line: Line) -> None:
    line.kept.sock.shutdown(socket.SHUT_WR)
    exchange = line.begin()
    line.sock.close()
    comes(exchange)
    outcome = exchange.finish()
    assert (outcome.code, outcome.first) == (202, None)


def test_an_answer_that_is_there_when_writing_fails_is_read(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.give(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
    line.kept.sock.shutdown(socket.SHUT_WR)  # what a sender meets whose receiver resets just after it looked
    with monkeypatch.context() as patch:
        patch.setattr(HttpConnection, "is_quiet", lambda self: True)
        exchange = line.begin()
    outcome = comes(exchange)
    assert outcome is not None
    assert (outcome.code, outcome.first) == (413, None)


def test_a_request_that_does_not_fit_is_written_by_finish(line: Line) -> None:
    body = b"x" * 20_000_000
    exchange = line.begin(body)
    assert exchange.ended
    assert wait([exchange], 10) == [exchange]
    assert exchange.poll() is None
    received: list[int] = []

    def serve() -> None:
        size = 0
        while size < len(body):
            size += len(line.sock.recv(1_000_000))
        received.append(size)
        line.sock.sendall(EMPTY)

    thread = Thread(target=serve)
    thread.start()
    assert exchange.finish().delivered
    thread.join(10)
    assert received[0] - len(body) < 1000
    assert line.is_kept


def test_an_answer_that_comes_before_the_request_is_whole_is_read(line: Line) -> None:
    exchange = line.begin(b"x" * 20_000_000)
    line.sock.sendall(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    line.sock.shutdown(socket.SHUT_WR)
    thread = Thread(target=swallow, args=[line.sock])
    thread.start()
    outcome = exchange.finish()
    assert (outcome.code, outcome.first) == (413, None)
    thread.join(10)


def swallow(sock: socket.socket) -> None:
    while sock.recv(1_000_000):
        pass


def test_an_answer_in_many_pieces_is_left_to_finish(line: Line) -> None:
    exchange = line.begin()
    answer = OK + b"content-length: 5\r\n\r\nhello"
    for place in range(MOST_PIECES):
        assert not exchange.ended
        line.sock.sendall(answer[place : place + 1])
        assert comes(exchange) is None
    assert exchange.ended
    line.sock.sendall(answer[MOST_PIECES:])
    assert exchange.finish().body == "hello"
    assert line.is_kept


@pytest.mark.parametrize("end", [Exchange.finish, comes], ids=["finish", "poll"])
@pytest.mark.parametrize(("answer", "code"), [(b"", 999), (OK, 999), (OK + b"content-length: 9\r\n\r\nhe", 200)])
def test_the_deadline_holds_and_its_time_begins_with_the_request(
    elsewhere: Receiver, answer: bytes, code: int, end: Callable[[Exchange], Outcome | None]
) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, deadline=0.4))
    with line_of(sender, elsewhere) as line:
        started = time.monotonic()
        exchange = line.begin()
        if answer:
            line.sock.sendall(answer)
            assert comes(exchange) is None
        time.sleep(0.1)  # part of the 0.4 s, although no one waits for the answer
        outcome = end(exchange)
        assert 0.35 <= time.monotonic() - started < 2
        assert outcome is not None
        assert outcome.code == code
        assert outcome.unended == (code == 200)
        assert code == 200 or outcome.body.startswith("Timed out: no complete response within 0.4 s")
        assert 350 <= outcome.duration_ms < 2000
        assert outcome.first is None
    assert not watch._deadlines


def test_a_thread_may_finish_what_another_began_and_the_answer_may_come_meanwhile(line: Line) -> None:
    exchange, found = line.begin(), []
    line.sock.sendall(OK + b"content-length: 5\r\n\r\nhe")
    assert comes(exchange) is None
    thread = Thread(target=lambda: found.append(exchange.finish()))
    thread.start()
    line.sock.sendall(b"llo")
    thread.join(10)
    assert found[0].body == "hello"
    assert line.is_kept


def test_a_sender_that_is_closed_meanwhile_keeps_no_connection(elsewhere: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK))
    with line_of(sender, elsewhere) as line, line_of(sender, elsewhere) as other:
        exchange, late = line.begin(), other.begin()
        sender.close()
        for one in (line, other):
            one.sock.sendall(EMPTY)
        assert without_times(comes(exchange)) == without_times(late.finish())
        assert line.kept.sock.fileno() == other.kept.sock.fileno() == -1


def test_no_descriptor_is_left_over_however_an_exchange_ends(elsewhere: Receiver) -> None:
    def count_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    before, sender = count_open(), Sender(Limits(allowed_networks=LOOPBACK))
    for answer in ANSWERS.values():
        for polled in (1_000_000, 0):
            exchanged(sender, elsewhere, cut(answer, []), True, polled)
    sender.close()
    wait_until(lambda: count_open() <= before, "the receiver to close its ends")
    assert not watch._deadlines


def test_idle_limits_hold(elsewhere: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, max_idle=2))
    lines = [Line(sender, elsewhere.port) for _ in range(2)]
    exchanges = [line.begin() for line in lines]
    lines.append(Line(sender, elsewhere.port))
    for line in lines[:2]:
        line.sock.sendall(EMPTY)
    assert all(comes(exchange) for exchange in exchanges)
    assert [line.is_kept for line in lines] == [True, True, False]
    sender.close()
    for line in lines:
        line.sock.close()
