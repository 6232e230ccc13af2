"""A kept connection that ends without an answer: one try, two requests, and an outcome for each of them."""

import select
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_network
from threading import Thread

import pytest

from tests.support.receiver import Behaviour, Line, Receiver, answering, closing, hanging, raw, resetting
from tests.support.tls import Authority
from webapp.ids import attempt_id, attempt_id_after
from webapp.webhooks import sender as sender_module
from webapp.webhooks.advice import with_step
from webapp.webhooks.connections import HttpConnection
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
LINGER_0 = struct.pack("ii", 1, 0)


@pytest.fixture
def secure(authority: Authority) -> Iterator[Receiver]:
    with Receiver(authority.valid()) as receiver:
        yield receiver


def post(sender: Sender, url: str, body: bytes = b"{}") -> Outcome:
    return sender.send(1, url, body, {"webhook-id": "msg_1"})


def words(receiver: Receiver) -> str:
    return f"127.0.0.1 port {receiver.port} ended a kept connection without an answer."


def test_the_request_is_sent_once_more_and_both_have_an_outcome(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(answering(), closing(), answering(202, b"accepted"))
    assert post(sender, receiver.url).first is None
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.body, outcome.delivered) == (202, "accepted", True)
    assert outcome.first is not None
    assert (outcome.first.code, outcome.first.error) == (999, ErrorKind.SENT_AGAIN)
    assert outcome.first.body == f"{words(receiver)} The request was sent once more, on a new connection."
    assert outcome.first.first is None
    assert [request.connection for request in receiver.requests] == [1, 1, 2]
    assert receiver.requests[1].headers == receiver.requests[2].headers


def test_each_of_the_two_outcomes_has_its_own_time(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(answering(), raw(b"", delay=0.2), answering(delay=0.1))
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    assert outcome.first is not None
    assert 200 <= outcome.first.duration_ms < 1500
    assert 100 <= outcome.duration_ms < 1500


@pytest.mark.parametrize("end", [closing(), resetting()], ids=["FIN", "RST"])
@pytest.mark.parametrize("kind", ["receiver", "secure"])
def test_it_makes_no_difference_how_the_connection_ends(
    sender: Sender, kind: str, end: Behaviour, request: pytest.FixtureRequest
) -> None:
    receiver: Receiver = request.getfixturevalue(kind)
    receiver.queue(answering(), end)
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    assert outcome.delivered
    assert outcome.first is not None
    assert outcome.first.body.startswith(words(receiver))
    assert len(receiver.requests) == 3


def test_a_try_sends_two_requests_at_most(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(answering(), closing(), closing())
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.error) == (999, ErrorKind.RESET)
    closed = f"127.0.0.1 port {receiver.port} closed the connection before its response was complete"
    assert outcome.body == with_step(closed)
    assert outcome.first is not None
    assert len(receiver.requests) == 3


def test_two_kept_connections_that_end_cost_one_repeat_for_each_try(sender: Sender, receiver: Receiver) -> None:
    receiver.queue(answering(), closing(), answering(), closing())
    outcomes = [post(sender, receiver.url) for _ in range(3)]
    assert [outcome.first is not None for outcome in outcomes] == [False, True, True]
    assert len(receiver.requests) == 5


def test_the_second_request_has_only_what_is_left_of_the_deadline(receiver: Receiver) -> None:
    sender = Sender(Limits(allowed_networks=LOOPBACK, deadline=1))
    receiver.queue(answering(), raw(b"", delay=0.6), hanging())
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    sender.close()
    assert outcome.first is not None
    assert outcome.error is ErrorKind.TIMEOUT
    assert outcome.first.duration_ms + outcome.duration_ms < 1900


def test_a_connection_found_closed_before_sending_is_no_request(sender: Sender, receiver: Receiver) -> None:
    post(sender, receiver.url)
    [idle] = sender._idle._order
    receiver.drop_connections()
    select.select([idle.sock], [], [], 10)
    outcome = post(sender, receiver.url)
    assert outcome.delivered
    assert outcome.first is None
    assert len(receiver.requests) == 2


def test_a_connection_that_breaks_before_the_first_byte_is_sent_is_no_request(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(sender, receiver.url)
    [idle] = sender._idle._order
    idle.sock.shutdown(socket.SHUT_WR)  # what a sender meets whose receiver resets just after it looked
    monkeypatch.setattr(HttpConnection, "is_quiet", lambda self: True)
    outcome = post(sender, receiver.url)
    assert outcome.delivered
    assert outcome.first is None
    assert len(receiver.requests) == 2


def test_a_large_request_that_is_cut_on_its_way_is_a_request(sender: Sender) -> None:
    """Its beginning reached the receiver. Ten megabytes do not fit into the buffers: sending fails in between."""
    parts: list[int] = []

    def serve() -> None:
        for size in (2, 10_000_000):
            line, _ = server.accept()
            with line:
                if size == 2:
                    answer_whole(line, size)
                    parts.append(len(line.recv(1000)))
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
                else:
                    answer_whole(line, size)

    def answer_whole(line: socket.socket, size: int) -> None:
        received = b""
        while len(received.partition(b"\r\n\r\n")[2]) < size:
            received += line.recv(1_000_000)
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert post(sender, url).delivered
        outcome = post(sender, url, body=b"x" * 10_000_000)
        thread.join(10)
    assert parts == [1000]
    assert outcome.delivered
    assert outcome.first is not None
    assert outcome.first.error is ErrorKind.SENT_AGAIN


def test_an_answer_that_has_begun_is_not_asked_for_again(sender: Sender, receiver: Receiver) -> None:
    for begin in (b"HTTP/1.1 200 O", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: y\r\n"):
        receiver.clear()
        receiver.queue(answering(), raw(begin))
        post(sender, receiver.url)
        outcome = post(sender, receiver.url)
        assert (outcome.error, outcome.first) == (ErrorKind.RESET, None)
        assert len(receiver.requests) == 2


def test_if_no_new_connection_opens_one_request_has_left_and_the_sentence_says_both(
    sender: Sender, receiver: Receiver
) -> None:
    def end_for_good(line: Line) -> bool:
        receiver._server.shutdown(socket.SHUT_RDWR)
        receiver._server.close()
        return False

    receiver.queue(answering(), end_for_good)
    post(sender, receiver.url)
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.error, outcome.first) == (999, ErrorKind.REFUSED, None)
    refused = with_step(f"Connection refused by 127.0.0.1 port {receiver.port}")
    assert outcome.body == f"{words(receiver)} The request could not be sent once more: {refused}"
    assert len(receiver.requests) == 2


def test_a_name_that_has_no_turn_for_the_second_request_does_not_hide_the_first(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*arguments: object) -> None:
        raise NoTurn

    receiver.queue(answering(), closing())
    post(sender, receiver.url)
    monkeypatch.setattr(sender_module, "resolve", resolve)
    outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.error, outcome.first) == (999, ErrorKind.RESET, None)
    assert outcome.body.endswith("could not be sent once more: too many look-ups of names do not end at the moment")


def test_a_name_without_a_turn_is_not_tried_where_nothing_was_sent(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*arguments: object) -> None:
        raise NoTurn

    post(sender, receiver.url)
    [idle] = sender._idle._order
    receiver.drop_connections()
    select.select([idle.sock], [], [], 10)
    monkeypatch.setattr(sender_module, "resolve", resolve)
    with pytest.raises(NoTurn):
        post(sender, receiver.url)


def test_a_certificate_that_went_bad_meanwhile_is_said(sender: Sender, authority: Authority) -> None:
    context = authority.valid()
    with Receiver(context) as receiver:

        def expire(line: Line) -> bool:
            authority.expired()  # writes the newest leaf
            leaves = authority.directory.glob("leaf-*.pem")
            context.load_cert_chain(max(leaves, key=lambda path: int(path.stem.removeprefix("leaf-"))))
            return False

        receiver.queue(answering(), expire)
        post(sender, receiver.url)
        outcome = post(sender, receiver.url)
        assert (outcome.error, outcome.first) == (ErrorKind.TLS, None)
        assert outcome.body.startswith(words(receiver))
        assert outcome.body.endswith(with_step("The certificate of 127.0.0.1 has expired"))
        assert len(receiver.requests) == 2


@pytest.mark.parametrize("last", ["0", "z"])
def test_the_id_of_the_second_attempt_sorts_directly_after_the_first(last: str) -> None:
    first = f"att_01hf7yat00{'z' * 15}{last}"
    second = attempt_id_after(first)
    assert first < second
    assert len(second) == len(first)
    assert [*sorted([second, first])] == [first, second]


def test_no_other_attempt_comes_between_the_two() -> None:
    firsts = [attempt_id() for _ in range(1000)]
    both = sorted(name for first in firsts for name in (first, attempt_id_after(first)))
    assert all(attempt_id_after(both[place]) == both[place + 1] for place in range(0, len(both), 2))
