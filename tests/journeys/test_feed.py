"""The pull feed over real sockets: hundreds wait beside few threads; `flask receive --forward` follows it."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from standardwebhooks import Webhook as Verifier

from tests.journeys.test_commands import refused
from tests.journeys.test_stalled_clients import POST, site_of, timed
from tests.support.api import key_for
from tests.support.factories import delivery_of, point_at, sign, submit
from tests.support.forked import Program, forking
from tests.support.receiver import Line, Receiver, closing, free_port
from tests.support.site import ROOT, Site
from tests.support.waiting import wait_until
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import ApiKey, Interface, Scope
from webapp.run import forwarding

FEEDS = 60  # with two processes of 8 threads each


@pytest.fixture
def fed(interface: Interface) -> Interface:
    point_at(interface, "http://127.0.0.1:9/")
    return interface


@pytest.fixture
def key(fed: Interface) -> str:
    return key_for(fed.account_id, Scope.READ)


@pytest.fixture
def names(fed: Interface) -> tuple[str, str]:
    """The ids of the interface and of its webhook, read before anything runs that the test could lock out."""
    return fed.public_id, fed.webhook.public_id


@pytest.fixture
def site(app: Flask, key: str, names: tuple[str, str]) -> Iterator[Site]:
    with site_of(app) as running:
        yield running


def ask(site: Site, key: str, query: str) -> HTTPConnection:
    connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("GET", f"/api/v1/events?{query}", headers={"Authorization": f"Bearer {key}"})
    return connection


def answer_of(connection: HTTPConnection) -> tuple[int, Any]:
    with contextlib.closing(connection), connection.getresponse() as answer:
        return answer.status, json.loads(answer.read())


def test_feeds_wait_beside_the_threads_and_a_lead_ends_the_wait(site: Site, names: tuple[str, str], key: str) -> None:
    path = f"/f/{names[0]}"
    start = answer_of(ask(site, key, "after=now"))[1]["next"]
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(contextlib.closing(ask(site, key, f"after={start}"))) for _ in range(FEEDS)]
        assert timed(site, path)[0] == 200  # all of them have come before it, and no thread is missing
        assert timed(site, path, POST)[0] == 303
        found = [answer_of(each) for each in waiting]
    assert {status for status, _ in found} == {200}
    assert len({each["data"][0]["webhook_id"] for _, each in found}) == 1
    status, page = answer_of(ask(site, key, f"after={found[0][1]['next']}&wait=1"))
    assert (status, page["data"]) == (200, [])


def test_a_key_that_ends_while_its_feed_waits_gets_no_lead(site: Site, names: tuple[str, str], key: str) -> None:
    waiting = ask(site, key, "after=now&wait=30")
    waiting.sock.settimeout(1)
    with pytest.raises(TimeoutError):  # it waits
        waiting.sock.recv(1, socket.MSG_PEEK)
    with transaction():
        db.session.query(ApiKey).one().expires_at = utcnow() - timedelta(seconds=1)
    assert timed(site, f"/f/{names[0]}", POST)[0] == 303
    waiting.sock.settimeout(60)
    assert answer_of(waiting)[0] == 401


# flask receive --forward ----------------------------------------------------------------------------------------------


class Forwarding:
    """`flask receive --forward` as a process."""

    def __init__(self, app: Flask, output: Path, key: str, *options: str) -> None:
        self.output = output
        command = ["-m", "flask", "--app", "webapp", "receive", *options]
        netrc = output.with_suffix(".netrc")  # requests would send this password and not the key, if it were let
        netrc.write_text("default login ada password secret\n")
        environ = {**os.environ, **app.config["ENVIRON"], "LEADHOOK_API_KEY": key, "NETRC": str(netrc)}
        with open(output, "wb") as file:
            self.process: Program = forking().start(command, ROOT, environ, file.fileno(), file.fileno())

    @property
    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def until(self, words: str) -> str:
        """The first line with these words."""
        return wait_until(lambda: next((line for line in self.lines if words in line), ""), words, timeout=60)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def forward(app: Flask, key: str, tmp_path: Path) -> Iterator[Callable[..., Forwarding]]:
    started: list[Forwarding] = []

    def start(*options: str) -> Forwarding:
        started.append(Forwarding(app, tmp_path / f"forward-{len(started)}", key, *options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_what_comes_is_forwarded_as_the_webhook_sends_it(
    site: Site,
    fed: Interface,
    names: tuple[str, str],
    key: str,
    forward: Callable[..., Forwarding],
    receiver: Receiver,
) -> None:
    _, secret = sign(fed)
    before = delivery_of(submit(fed)).message_id
    target = f"{receiver.origin}/hook"
    running = forward("--forward", target, "--from", site.url)
    running.until(f"Forwarding from {site.url} to {target}.")
    receiver.queue(closing())  # no answer: it is posted again
    delivery = delivery_of(submit(fed))
    [_, got] = receiver.wait_for(2)
    assert (got.method, got.path, got.body) == ("POST", "/hook", delivery.payload)
    assert got.headers["webhook-id"] == delivery.message_id
    assert got.headers["user-agent"].startswith("Leadhook/")
    Verifier(secret).verify(got.body, got.headers)
    line = running.until("answered 200")
    lead = json.loads(delivery.payload)["data"]["lead"]["id"]
    assert line[10:] == f"/hook  lead.created  {lead}  answered 200"
    assert "Trying again in 1 s." in running.until("does not answer")

    site.stop()  # the network fails, the lead comes meanwhile, and another answer than 200 is an answer
    site.web = None
    receiver.answer(status=500)
    later = delivery_of(submit(fed))
    running.until("/api/v1/events does not answer")
    site.start_web()
    running.until("answered 500")
    assert receiver.wait_for(3)[2].headers["webhook-id"] == later.message_id
    assert running.stop() == 0

    cursor = running.until("To go on here later: --after ").split()[-1]
    receiver.answer(status=200)
    missed = delivery_of(submit(fed))
    again = forward("--forward", target, "--from", site.url, "--after", cursor, "--webhook", names[1])
    assert receiver.wait_for(4)[3].headers["webhook-id"] == missed.message_id
    again.until("answered 200")
    assert again.stop(signal.SIGTERM) == 0
    assert before not in {each.headers["webhook-id"] for each in receiver.requests}
    for each in (running, again):
        assert key not in each.output.read_text()


def test_what_cannot_be_followed_is_said_in_a_sentence(
    app: Flask, site: Site, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEADHOOK_API_KEY", raising=False)
    ours = ("receive", "--forward", "http://127.0.0.1:9/", "--from", site.url)
    assert "LEADHOOK_API_KEY" in refused(app, *ours)
    file = tmp_path / "key"
    file.write_text("lhk_" + "x" * 43 + "\n")
    assert refused(app, *ours, "--key-file", str(file)).endswith("answered 401: There is no such API Key.")
    file.write_text(f"{key}\n")
    with_key = (*ours, "--key-file", str(file))
    assert "no cursor of a feed" in refused(app, *with_key, "--after", "x")
    assert "no webhook with this id" in refused(app, *with_key, "--webhook", "wh_x")
    assert "answered 404" in refused(app, *ours[:3], "--from", f"{site.url}/elsewhere", "--key-file", str(file))
    for option, address in (("--forward", "127.0.0.1:3000"), ("--from", "ftp://a"), ("--from", "https://")):
        changed = dict(zip(ours[1::2], ours[2::2], strict=True)) | {option: address}
        assert option in refused(app, "receive", *[part for pair in changed.items() for part in pair])


def test_a_leadhook_that_is_away_is_waited_for(forward: Callable[..., Forwarding]) -> None:
    running = forward("--forward", "http://127.0.0.1:9/", "--from", f"http://127.0.0.1:{free_port()}")
    running.until("Trying again in 2 s.")
    assert running.stop() == 0
    assert "Forwarding" not in running.output.read_text()


def test_the_answer_of_a_developers_program_is_read_to_its_end() -> None:
    """Else the program finds its connection reset, and many print that as an error."""
    found: list[Any] = []

    def answer_and_look(line: Line) -> bool:
        length = 300_000  # more than is read with the headers
        line.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length)
        try:
            line.sock.sendall(b"x" * length)
            found.append(line.sock.recv(1))
        except OSError as error:
            found.append(error)
        return False

    with Receiver() as receiver:
        receiver.queue(answer_and_look)
        event = {"body": "{}", "headers": {"content-type": "application/json", "webhook-id": "msg_1"}}
        assert forwarding._post(receiver.url, event) == "answered 200"
        wait_until(lambda: found, "a look at the connection")
    assert found == [b""]
