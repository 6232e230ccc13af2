"""How a webhook is sent: its bytes, its connection, its deadline. Real sockets, with short deadlines."""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_network
from itertools import repeat
from pathlib import Path
from threading import Event

import pytest

from tests.support.receiver import Line, Receiver, answering, closing, dripping, hanging, raw
from tests.support.tls import Authority
from webapp.webhooks.advice import with_step
from webapp.webhooks.connectors import METHODS
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.sender import Limits, Sender

BODY = b'{"name":"Ada"}'
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
DEADLINE = 0.5
LATE = 1.5  # a busy machine may be this many seconds late; without the deadline these requests would never end


def limits(**changes: object) -> Limits:
    return Limits(**{"deadline": DEADLINE, "allowed_networks": LOOPBACK, **changes})


@contextmanager
def sending(resolver: Callable[..., object] = socket.getaddrinfo, **changes: object) -> Iterator[Sender]:
    sender = Sender(limits(**changes), resolver=resolver)
    yield sender
    sender.close()


@pytest.fixture
def sender() -> Iterator[Sender]:
    with sending() as sender:
        yield sender


@pytest.fixture
def unhurried() -> Iterator[Sender]:
    """For tests that are not about time, so that a busy machine does not fail them."""
    with sending(deadline=15) as sender:
        yield sender


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def post(sender: Sender, url: str, webhook: int = 1, body: bytes = BODY) -> Outcome:
    return sender.send(webhook, url, body, {"webhook-id": "msg_1"})


def to_loopback(*arguments: object) -> list[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", arguments[1]))]


def test_the_receiver_gets_these_bytes_and_these_headers(unhurried, receiver):
    outcome = unhurried.send(1, f"{receiver.url}?a=b#c", BODY, {"webhook-id": "msg_1", "webhook-signature": "v1,abc"})
    [request] = receiver.requests
    assert outcome.delivered
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", BODY)
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": "Leadhook/1.0 (sends leads)",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-signature": "v1,abc",
        "content-length": str(len(BODY)),
    }


def test_a_given_header_replaces_the_senders_own(unhurried, receiver):
    unhurried.send(1, receiver.url, BODY, {"Content-Type": "application/json; charset=utf-8"})
    assert receiver.requests[0].headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("method", METHODS)
def test_a_request_may_have_another_method(unhurried, receiver, method):
    for _ in range(2):
        assert unhurried.send(1, receiver.url, BODY, {}, method=method).delivered
    assert [(one.method, one.path, one.body, one.connection) for one in receiver.requests] == [
        (method, "/hook", BODY, 1)
    ] * 2


def test_a_method_cannot_add_a_line(unhurried, receiver):
    outcome = unhurried.send(1, receiver.url, BODY, {}, method="PUT /other HTTP/1.1\r\nx: y\r\nPOST")
    assert outcome.error is ErrorKind.BAD_RESPONSE
    assert receiver.requests == []


def test_a_sender_with_less_time_shares_the_connections(unhurried, receiver):
    assert post(unhurried, receiver.url).delivered
    shorter = unhurried.within(0.25)
    assert (shorter.deadline, unhurried.deadline, unhurried.within(60).deadline) == (0.25, 15, 15)
    assert post(shorter.within(10).within(5), receiver.url).delivered
    receiver.queue(hanging())
    assert post(shorter, receiver.url).body.startswith("Timed out: no complete response within 0.25 s")
    assert [request.connection for request in receiver.requests] == [1, 1, 1]


def test_proxies_netrc_and_cookies_are_not_used(unhurried, receiver, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    receiver.answer(headers=[("set-cookie", "a=b")])
    assert post(unhurried, receiver.url).delivered
    assert post(unhurried, receiver.url).delivered
    assert all(not {"authorization", "cookie"} & request.headers.keys() for request in receiver.requests)


def test_a_large_payload_arrives_whole(unhurried, receiver):
    body = b"x" * 262_144
    assert post(unhurried, receiver.url, body=body).delivered
    assert receiver.requests[0].body == body


def test_a_webhook_keeps_its_connection_and_does_not_share_it(unhurried, receiver):
    for webhook in (1, 1, 2, 1, 2):
        assert post(unhurried, receiver.url, webhook).delivered
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 1, 2]


def test_a_changed_url_gets_a_new_connection(unhurried, receiver):
    with Receiver() as other:
        post(unhurried, receiver.url)
        post(unhurried, other.url)
        assert (len(receiver.requests), len(other.requests)) == (1, 1)


@pytest.mark.parametrize("stale", ["idle_seconds", "age_seconds"])
def test_a_connection_that_is_idle_too_long_or_too_old_is_not_reused(receiver, stale):
    with sending(deadline=15, **{stale: 0}) as sender:
        post(sender, receiver.url)
        post(sender, receiver.url)
    assert [request.connection for request in receiver.requests] == [1, 2]


def test_the_longest_idle_connection_is_closed_when_there_are_too_many(receiver):
    with sending(deadline=15, max_idle=2) as sender:
        for webhook in (1, 2, 3, 3, 2, 1):
            post(sender, receiver.url, webhook)
    assert [request.connection for request in receiver.requests] == [1, 2, 3, 3, 2, 4]


def test_a_closed_sender_keeps_no_connection(receiver):
    with sending(deadline=15) as sender:
        post(sender, receiver.url)
    assert post(sender, receiver.url).delivered
    assert post(sender, receiver.url).delivered
    assert [request.connection for request in receiver.requests] == [1, 2, 3]


def test_when_a_kept_connection_closes_before_the_response_the_request_is_sent_again_on_a_new_one(unhurried, receiver):
    receiver.queue(answering(), closing())
    assert post(unhurried, receiver.url).delivered
    assert post(unhurried, receiver.url).delivered
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


def test_when_a_new_connection_closes_the_request_is_not_sent_again(unhurried, receiver):
    receiver.queue(answering(), closing(), closing())
    assert post(unhurried, receiver.url).delivered
    assert post(unhurried, receiver.url).error is ErrorKind.RESET
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


def test_when_a_kept_connection_closes_within_the_response_the_request_is_not_sent_again(unhurried, receiver):
    receiver.queue(answering(), raw(b"HTTP/1.1 200 O"))
    post(unhurried, receiver.url)
    assert post(unhurried, receiver.url).error is ErrorKind.RESET
    assert len(receiver.requests) == 2


def test_when_a_kept_connection_times_out_the_request_is_not_sent_again(sender, receiver):
    receiver.queue(answering(), hanging())
    post(sender, receiver.url)
    assert post(sender, receiver.url).error is ErrorKind.TIMEOUT
    assert len(receiver.requests) == 2


def test_bytes_after_a_response_are_never_read_as_the_next_response(unhurried, receiver):
    receiver.queue(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 201 No\r\n\r\n", keep_open=True))
    assert post(unhurried, receiver.url).code == 200
    assert post(unhurried, receiver.url).code == 200
    assert [request.connection for request in receiver.requests] == [1, 2]


def test_bytes_that_arrive_while_a_connection_is_idle_are_never_read_as_the_next_response(unhurried, receiver):
    read = Event()

    def answer_twice(line: Line) -> bool:
        line.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        read.wait(10)
        line.sock.sendall(b"HTTP/1.1 201 Late\r\ncontent-length: 0\r\n\r\n")
        return True

    receiver.queue(answer_twice)
    assert post(unhurried, receiver.url).code == 200
    read.set()
    [idle] = unhurried._idle._order
    select.select([idle.sock], [], [], 10)
    assert post(unhurried, receiver.url).code == 200
    assert [request.connection for request in receiver.requests] == [1, 2]


def timed(sender: Sender, url: str, body: bytes = BODY) -> Outcome:
    """Sends, and checks the wall-clock duration against the deadline."""
    started = time.monotonic()
    outcome = post(sender, url, body=body)
    assert DEADLINE - 0.05 <= time.monotonic() - started < DEADLINE + LATE
    assert outcome.duration_ms == pytest.approx(DEADLINE * 1000, abs=LATE * 1000)
    return outcome


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "behaviour",
    [
        hanging(),
        hanging(OK),
        dripping([OK, *repeat(b"x-drip: 1\r\n", 2000)], 0.02),
        dripping(repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 2000), 0.02),
    ],
    ids=["silence", "half an answer", "dripped headers", "dripped interim answers"],
)
def test_without_complete_headers_the_deadline_is_a_timeout(sender, receiver, behaviour):
    receiver.queue(behaviour)
    outcome = timed(sender, receiver.url)
    assert (outcome.code, outcome.error) == (999, ErrorKind.TIMEOUT)
    assert outcome.body == with_step("Timed out: no complete response within 0.5 s")


@pytest.mark.parametrize(
    "head",
    [b"", b"content-length: 9000\r\n", b"transfer-encoding: chunked\r\n"],
    ids=["until closed", "sized", "chunked"],
)
def test_once_the_headers_are_complete_the_code_counts_and_the_deadline_cuts_the_body(sender, receiver, head):
    piece = b"1\r\nx\r\n" if b"chunked" in head else b"x"
    receiver.queue(dripping([OK + head + b"\r\n", *repeat(piece, 2000)], 0.02))
    outcome = timed(sender, receiver.url)
    assert outcome.delivered
    assert outcome.truncated
    assert set(outcome.body) == {"x"}
    assert post(sender, receiver.url).delivered
    assert receiver.connections == 2


def test_a_receiver_that_does_not_read_is_cut_off_at_the_deadline(sender):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        outcome = timed(sender, f"http://127.0.0.1:{deaf.getsockname()[1]}/", body=b"x" * 30_000_000)
    assert outcome.error is ErrorKind.TIMEOUT


def test_a_tls_handshake_that_hangs_ends_at_the_connect_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent, sending(connect_timeout=0.2, deadline=15) as sender:
        port = silent.getsockname()[1]
        outcome = post(sender, f"https://127.0.0.1:{port}/")
    assert outcome.body == with_step(f"Timed out: no encrypted connection to 127.0.0.1 port {port} within 0.2 s")
    assert outcome.error is ErrorKind.TIMEOUT
    assert outcome.duration_ms < 200 + LATE * 1000


def test_a_lookup_that_hangs_ends_at_its_own_limit():
    never = Event()
    with sending(resolver=lambda *arguments: never.wait(10) and [], lookup_timeout=0.2, deadline=15) as sender:
        outcome = post(sender, "https://crm.example/")
    never.set()
    assert outcome.body == with_step("Timed out: no address was found for crm.example port 443 within 0.2 s")
    assert outcome.error is ErrorKind.TIMEOUT
    assert outcome.duration_ms < 200 + LATE * 1000


def test_a_lookup_does_not_last_longer_than_the_deadline():
    never = Event()
    with sending(resolver=lambda *arguments: never.wait(10) and [], lookup_timeout=5, deadline=0.2) as sender:
        outcome = post(sender, "https://crm.example/")
    never.set()
    assert "within 0.2 s." in outcome.body
    assert outcome.duration_ms < 200 + LATE * 1000


def test_a_slow_encrypted_response_is_cut_off_at_the_deadline(authority):
    with Receiver(authority.valid()) as receiver, sending(ca_file=authority.ca_file) as sender:
        receiver.queue(hanging(OK), dripping([OK + b"\r\n", *repeat(b"x", 2000)], 0.02))
        assert timed(sender, receiver.url).error is ErrorKind.TIMEOUT
        cut = timed(sender, receiver.url)
    assert (cut.code, cut.truncated) == (200, True)


def test_a_deadline_of_a_finished_request_does_not_end_the_connection_later(receiver):
    with sending(deadline=1) as sender:
        assert post(sender, receiver.url).delivered
        Event().wait(1.1)  # until the deadline is past
        assert post(sender, receiver.url).delivered
    assert receiver.connections == 1


def test_many_deadlines_at_once_are_all_kept(receiver):
    receiver.behave(hanging())
    with ThreadPoolExecutor(32) as threads, sending() as sender:
        started = time.monotonic()
        outcomes = list(threads.map(lambda webhook: post(sender, receiver.url, webhook), range(32)))
        assert time.monotonic() - started < DEADLINE + 2 * LATE
    assert {outcome.error for outcome in outcomes} == {ErrorKind.TIMEOUT}


def test_a_forked_process_keeps_its_own_deadlines(receiver):
    receiver.queue(answering(), hanging())
    script = f"""
import ipaddress, os
from webapp.webhooks.sender import Limits, Sender
limits = Limits(deadline=0.5, allowed_networks=(ipaddress.ip_network("127.0.0.0/8"),))
assert Sender(limits).send(1, "{receiver.url}", b"", {{}}).delivered
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0 if Sender(limits).send(1, "{receiver.url}", b"", {{}}).error == "timeout" else 1)
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", script], env=environment, timeout=30).returncode == 0


def test_128_threads_send_at_once(receiver):
    with ThreadPoolExecutor(128) as threads, sending(deadline=30, connect_timeout=30) as sender:
        outcomes = list(threads.map(lambda number: post(sender, receiver.url, number % 64), range(1280)))
    assert all(outcome.delivered for outcome in outcomes)
    assert len(receiver.requests) == 1280


def test_a_blocked_address_is_never_reached(receiver):
    with sending(allowed_networks=()) as sender:
        outcome = post(sender, receiver.url)
    assert (outcome.code, outcome.error, outcome.headers) == (999, ErrorKind.BLOCKED_ADDRESS, ())
    assert outcome.body == with_step("The address of 127.0.0.1 is not public, and this installation does not allow it")
    assert receiver.connections == 0


def test_host_header_sni_and_certificate_use_the_name_and_the_connection_uses_the_checked_address(authority):
    names = []
    context = authority.context(names=("crm.example",))
    context.sni_callback = lambda sock, name, context: names.append(name)
    with (
        Receiver(context) as receiver,
        sending(deadline=15, resolver=to_loopback, ca_file=authority.ca_file) as sender,
    ):
        assert post(sender, f"https://CRM.example.:{receiver.port}/").delivered
        assert post(sender, f"https://crm.example:{receiver.port}/").delivered
    assert names == ["crm.example", "crm.example"]
    assert receiver.requests[1].headers["host"] == f"crm.example:{receiver.port}"


def test_encrypted_connections_are_reused_too(authority):
    with Receiver(authority.valid()) as receiver, sending(deadline=15, ca_file=authority.ca_file) as sender:
        for _ in range(3):
            assert post(sender, receiver.url).delivered
    assert receiver.connections == 1
