"""`flask receive`: its output and its answers, over real sockets."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from flask import Flask

from tests.support.forked import forking
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.models import User
from webapp.run.receiver import TOLERANCE, printable, read, verify
from webapp.services import api_keys
from webapp.webhooks.signing import sign

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
BODY = b'{"type":"lead.created","data":{"lead":{"id":"lead_01","fields":{"name":"Zo\\u00eb"}}}}'


class Running:
    """A `flask receive` in its own process; `printed` is its stdout so far."""

    def __init__(self, environ: dict[str, str], output: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.output = output
        command = ["-m", "flask", "--app", "webapp", "receive", "--port", str(self.port), *options]
        with open(output, "wb") as stdout:
            self.process = forking().start(command, ROOT, {**os.environ, **environ}, stdout.fileno())
        wait_until(lambda: "Receiving at" in self.printed, "the receiver to start", timeout=60)

    @property
    def printed(self) -> str:
        return self.output.read_text()

    @contextmanager
    def connected(self) -> Iterator[HTTPConnection]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.connect()
            yield connection
        finally:
            connection.close()

    def post(self, connection: HTTPConnection, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        connection.request("POST", "/leads?x=1", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture
def secret(owner: User) -> str:
    with transaction():
        return api_keys.create_shared_token(owner.account_id, None, "CRM")[1]


@pytest.fixture
def receive(app: Flask, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*options: str) -> Running:
        started.append(Running(app.config["ENVIRON"], tmp_path / f"receiver-{len(started)}", *options))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()


def signed(secret: str, body: bytes = BODY, message_id: str = "msg_1") -> dict[str, str]:
    now = int(time.time())
    signature = sign([secret], message_id, now, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": signature}


def test_it_prints_and_verifies_what_arrives_on_one_connection(receive: Callable[..., Running], secret: str) -> None:
    running = receive()
    with running.connected() as connection:
        first_socket = connection.sock

        assert running.post(connection, BODY, signed(secret)) == (200, "Received: signature verified (CRM).")
        assert running.post(connection, BODY, {}) == (200, "Received: unsigned.")
        assert running.post(connection, BODY + b" ", signed(secret))[1].startswith("Received: NOT verified: ")
        assert running.post(connection, b"no json\x1b[2J", {})[0] == 200
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Allow")) == (405, "POST")
        assert "Webhooks come by POST" in answer.read().decode()
        assert connection.sock is first_socket, "the connection was kept"

        lines = running.printed.splitlines()
        arrived = [line for line in lines if "  /leads?x=1  " in line]
        assert [line[10:] for line in arrived] == [
            "/leads?x=1  lead.created  lead_01  signature verified (CRM)",
            "/leads?x=1  lead.created  lead_01  unsigned",
            "/leads?x=1  lead.created  lead_01  NOT verified: no Shared Token made this signature",
            "/leads?x=1  -  -  unsigned",
        ]
        assert '          "name": "Zoë"' in lines
        assert "\x1b" not in running.printed


def test_it_answers_with_the_given_status_and_finishes_open_requests(
    receive: Callable[..., Running], secret: str
) -> None:
    running = receive("--status", "503", "--delay", "1", "--shared-token", "CRM")
    with running.connected() as connection:
        connection.request("POST", "/", BODY, signed(secret))
        wait_until(lambda: "signature verified (CRM)" in running.printed, "the delivery to be printed")
        running.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().status == 503
        assert running.process.wait(timeout=10) == 0


def test_a_code_without_a_body_has_none(receive: Callable[..., Running]) -> None:
    running = receive("--status", "204")
    with running.connected() as connection:
        assert running.post(connection, BODY, {}) == (204, "")
        assert running.post(connection, BODY, {}) == (204, "")


def test_a_body_that_is_too_long_or_of_unknown_length_is_refused(receive: Callable[..., Running]) -> None:
    running = receive()
    for headers, code in (({"Transfer-Encoding": "chunked"}, 411), ({"Content-Length": str(10**9)}, 413)):
        with running.connected() as connection:
            connection.putrequest("POST", "/")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            assert connection.getresponse().status == code


def test_a_token_created_later_verifies_without_a_restart(receive: Callable[..., Running], owner: User) -> None:
    running = receive()
    with transaction():
        secret = api_keys.create_shared_token(owner.account_id, None, "Later")[1]
    with running.connected() as connection:
        assert running.post(connection, BODY, signed(secret))[1] == "Received: signature verified (Later)."


SECRET = "whsec_" + "QUFB" * 8
NOW = 1_795_420_800


def verdict(now: float = NOW, **changes: str) -> str:
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW)}
    headers["webhook-signature"] = sign([SECRET], "msg_1", NOW, BODY)
    given = {name.replace("_", "-"): value for name, value in changes.items()}
    return verify({**headers, **given}, BODY, [("T", SECRET)], now)


def test_one_of_several_signatures_is_enough() -> None:
    good = sign([SECRET], "msg_1", NOW, BODY)
    assert verdict(webhook_signature=f"v1,AAAA v1a,x {good}") == "signature verified (T)"


@pytest.mark.parametrize("name", ["webhook_id", "webhook_timestamp"])
@pytest.mark.parametrize("value", ["", "a.b", "٣", "-1", "9" * 13, "é"])
def test_odd_headers_never_verify(name: str, value: str) -> None:
    assert verdict(**{name: value}).startswith("NOT verified: ")


@pytest.mark.parametrize("value", ["", "v1", "v1,", "é", "v1,é v1,AAAA"])
def test_odd_signatures_never_verify(value: str) -> None:
    assert verdict(webhook_signature=value) == "NOT verified: no Shared Token made this signature"


@pytest.mark.parametrize("late", [-TOLERANCE - 1, TOLERANCE + 1])
def test_a_timestamp_far_from_the_clock_is_not_verified(late: int) -> None:
    assert "301 s away" in verdict(now=NOW + late)
    assert verdict(now=NOW + TOLERANCE) == "signature verified (T)"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b'{"data":[]}', b'{"data":{"lead":"x"}}'])
def test_any_body_can_be_printed(body: bytes) -> None:
    event, lead, text = read(body)
    assert (event, lead) == ("-", "-")
    assert isinstance(text, str)


def test_output_cannot_control_a_terminal() -> None:
    assert printable("a\nb\x1b[1m\x9b\u202e") == "a\nb\\x1b[1m\\x9b\\x202e"
    forged = "x\n12:00:00  /demo  lead.created  lead_1  signature verified (CRM)"
    assert "\n" not in "".join(read(json.dumps({"type": forged, "data": {"lead": {"id": forged}}}).encode())[:2])
    assert read(json.dumps({"type": "\x1b]0;x\x07"}).encode())[0] == "\\x1b]0;x\\x07"
