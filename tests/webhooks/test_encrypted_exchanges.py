"""Encrypted requests that are written at once: records in pieces, messages of TLS that are no data, full buffers."""

import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from itertools import count, pairwise
from queue import Queue
from threading import Thread

import pytest

from tests.support.counterparts import program
from tests.support.receiver import Receiver, answering, closing, free_port
from tests.support.tls import Authority
from webapp.webhooks.connections import HttpConnection
from webapp.webhooks.exchanges import Exchange, wait
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LARGE = b"HTTP/1.1 200 OK\r\ncontent-length: 16000\r\n\r\n" + b"x" * 16000
numbers = count(1)


class Secure:
    """Both ends of an encrypted connection that the sender has kept. What the test gives is encrypted here, so that
    records can be cut."""

    def __init__(self, sender: Sender, authority: Authority, small: bool = False) -> None:
        self._sender = sender
        self._port = free_port()  # refuses what is sent once more
        self.webhook = next(numbers)
        self._plain_in, self._plain_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = authority.valid()
        context.num_tickets = 0  # they would end the kept connection
        self._end = context.wrap_bio(self._plain_in, self._plain_out, server_side=True)
        with socket.create_server(("127.0.0.1", 0)) as server:
            if small:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            ours = socket.socket()
            if small:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            ours.connect(server.getsockname())
            self.sock, _ = server.accept()
            for one in (ours, self.sock):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = Thread(target=self._shake_hands)
        thread.start()
        client = ssl.create_default_context(cafile=authority.ca_file)
        kept = HttpConnection(client.wrap_socket(ours, server_hostname="127.0.0.1"), self._key)
        thread.join(10)
        self.kept = kept
        sender._idle.give(kept)

    @property
    def _key(self) -> tuple[int, bool, str, int, None]:
        return self.webhook, True, "127.0.0.1", self._port, None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}/hook"

    @property
    def is_kept(self) -> bool:
        return self.kept in self._sender._idle._order

    def begin(self, body: bytes = b"{}") -> Exchange:
        exchange = self._sender.begin(self.webhook, self.url, body, {})
        assert exchange is not None
        return exchange

    def records(self, answer: bytes) -> bytes:
        self._end.write(answer)
        return self._plain_out.read()

    def read(self) -> bytes:
        """A request, or the next part of one."""
        while True:
            try:
                return self._end.read(100_000)
            except ssl.SSLWantReadError:
                self._plain_in.write(self.sock.recv(100_000))

    def _shake_hands(self) -> None:
        while True:
            try:
                self._end.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._plain_out.read())
                self._plain_in.write(self.sock.recv(100_000))
            else:
                self.sock.sendall(self._plain_out.read())
                return


@contextmanager
def secure_line(sender: Sender, authority: Authority, small: bool = False) -> Iterator[Secure]:
    line = Secure(sender, authority, small)
    try:
        yield line
    finally:
        line.sock.close()


@pytest.fixture
def line(sender: Sender, authority: Authority) -> Iterator[Secure]:
    with secure_line(sender, authority) as line:
        yield line


def comes(exchange: Exchange) -> Outcome | None:
    assert wait([exchange], 10) == [exchange]
    return exchange.poll()


def test_an_encrypted_connection_is_used_in_turn_by_exchanges_and_sends(sender: Sender, authority: Authority) -> None:
    with Receiver(authority.valid()) as receiver:
        receiver.behave(answering(200, b"ok"))
        for _ in range(3):
            assert sender.send(1, receiver.url, b"{}", {}).body == "ok"
            polled, finished = [sender.begin(1, receiver.url, b"{}", {}) for _ in range(2)]
            assert polled
            outcome = polled.poll()
            while outcome is None:
                outcome = comes(polled)
            assert outcome.body == "ok"
            assert finished is None  # the connection was in use
            finished = sender.begin(1, receiver.url, b"{}", {})
            assert finished
            assert finished.finish().body == "ok"
        assert [request.connection for request in receiver.requests] == [1] * 9


@pytest.mark.parametrize("polled", [1000, 3, 0])
@pytest.mark.parametrize("places", [[], [1], [5, 30, 60], list(range(0, 120, 9))], ids=len)
def test_records_that_come_in_pieces_make_one_answer(line: Secure, places: list[int], polled: int) -> None:
    exchange = line.begin()
    assert line.read().startswith(b"POST /hook ")
    records = line.records(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n") + line.records(b"hello")
    ends = sorted({0, len(records), *places} & {*range(len(records) + 1)})
    outcome = None
    for number, (start, end) in enumerate(pairwise(ends)):
        line.sock.sendall(records[start:end])
        if number < polled:
            assert outcome is None
            outcome = comes(exchange)
    assert (outcome or exchange.finish()).body == "hello"
    assert line.is_kept
    assert line.kept.sock.gettimeout() is None


def test_several_records_are_read_at_once_and_none_is_left_inside_tls(line: Secure) -> None:
    exchange = line.begin()
    line.sock.sendall(b"".join(line.records(LARGE[start : start + 4000]) for start in range(0, len(LARGE), 4000)))
    outcome = comes(exchange)
    while outcome is None and not exchange.ended:
        outcome = comes(exchange)
    assert (outcome or exchange.finish()).body == "x" * 16000
    assert line.is_kept


def test_a_request_of_several_records_does_not_begin_and_costs_no_connection(sender: Sender, line: Secure) -> None:
    assert sender.begin(line.webhook, line.url, b"x" * 17_000, {}) is None
    assert line.is_kept


def test_several_records_of_which_some_have_left_are_a_request(sender: Sender, line: Secure) -> None:
    def serve() -> None:
        assert line.read().startswith(b"POST ")
        line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.sock.close()

    thread = Thread(target=serve)
    thread.start()
    outcome = sender.send(line.webhook, line.url, b"x" * 10_000_000, {})
    thread.join(10)
    assert outcome.error is ErrorKind.REFUSED
    assert "ended a kept connection without an answer. The request could not be sent once more" in outcome.body


def test_a_record_that_does_not_fit_is_written_by_finish(sender: Sender, authority: Authority) -> None:
    with secure_line(sender, authority, small=True) as line:
        exchange = line.begin(b"x" * 16_000)
        assert exchange.ended
        assert line.kept.has_sent
        received: list[bytes] = []

        def serve() -> None:
            while sum(map(len, received)) < 16_000:
                received.append(line.read())
            line.sock.sendall(line.records(EMPTY))

        thread = Thread(target=serve)
        thread.start()
        assert exchange.finish().delivered
        thread.join(10)
        assert b"".join(received).endswith(b"\r\n\r\n" + b"x" * 16_000)
        assert line.is_kept


def test_an_encrypted_connection_that_ends_has_the_request_sent_once_more(sender: Sender, authority: Authority) -> None:
    with Receiver(authority.valid()) as receiver:
        receiver.queue(answering(), closing(), answering(201))
        assert sender.send(1, receiver.url, b"{}", {}).delivered
        exchange = sender.begin(1, receiver.url, b"{}", {})
        assert exchange is not None
        while not exchange.ended:
            assert comes(exchange) is None
        outcome = exchange.finish()
        assert outcome.code == 201
        assert outcome.first is not None
        assert outcome.first.error is ErrorKind.SENT_AGAIN


@pytest.mark.parametrize("end", [Exchange.finish, comes], ids=["finish", "poll"])
def test_the_deadline_holds_on_an_encrypted_connection(
    authority: Authority, end: Callable[[Exchange], Outcome | None]
) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, ca_file=authority.ca_file, deadline=0.3))
    with secure_line(sender, authority) as line:
        exchange = line.begin()
        line.sock.sendall(line.records(b"HTTP/1.1 200 OK\r\n")[:20])
        assert comes(exchange) is None
        outcome = end(exchange)
        assert outcome is not None
        assert (outcome.code, outcome.error) == (999, ErrorKind.TIMEOUT)
        assert line.kept.sock.fileno() == -1


# OpenSSL's own server, to which a person types answers and commands.


@contextmanager
def typed(authority: Authority, *options: str) -> Iterator[tuple[int, Callable[[str], None], "Queue[str]"]]:
    """Its port, a function that types a line, and the lines that it prints."""
    authority.valid()
    leaf = max(authority.directory.glob("leaf-*.pem"), key=lambda path: int(path.stem.removeprefix("leaf-")))
    port, lines = free_port(), Queue[str]()
    command = [program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(leaf), *options]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=0
    )
    assert process.stdin
    assert process.stdout

    def type_line(line: str) -> None:
        assert process.stdin
        process.stdin.write(line + "\n")
        process.stdin.flush()

    reader = Thread(target=lambda: [lines.put(line.strip()) for line in process.stdout or ()])
    reader.start()
    try:
        while lines.get(timeout=10) != "ACCEPT":
            pass
        yield port, type_line, lines
    finally:
        process.kill()
        process.wait(10)
        reader.join(10)
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize(
    ("options", "command"),
    [(["-tls1_2"], "R"), (["-tls1_3", "-num_tickets", "0"], "K"), (["-tls1_3", "-num_tickets", "0"], "k")],
    ids=["renegotiation", "both keys change", "one key changes"],
)
@pytest.mark.parametrize("polled", [True, False], ids=["poll", "finish"])
def test_messages_of_tls_itself_are_no_answer(
    sender: Sender, authority: Authority, options: list[str], command: str, polled: bool
) -> None:
    answer = ["HTTP/1.1 200 OK", "content-length: 0", ""]
    with typed(authority, *options) as (port, type_line, lines):

        def take() -> None:
            while not lines.get(timeout=10).startswith("{}"):
                pass
            for line in answer:
                type_line(line)

        def send() -> Outcome:
            first = Thread(target=take)
            first.start()
            outcome = sender.send(1, f"https://127.0.0.1:{port}/", b"{}\n", {})
            first.join(10)
            return outcome

        assert send().delivered
        exchange = sender.begin(1, f"https://127.0.0.1:{port}/", b"{}\n", {})
        assert exchange is not None
        while not lines.get(timeout=10).startswith("{}"):
            pass
        type_line(command)
        assert wait([exchange], 10) == [exchange]
        if polled:
            assert exchange.poll() is None
            assert not exchange.ended
        for line in answer:
            type_line(line)
        outcome = None
        while polled and outcome is None:
            wait([exchange], 10)
            outcome = exchange.poll()
        assert (outcome or exchange.finish()).delivered
        assert send().delivered
