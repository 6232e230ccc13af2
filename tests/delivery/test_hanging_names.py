"""256 webhooks whose name servers do not answer, beside healthy ones: nobody pays for them but their own account."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_network

import pytest
from flask import Flask
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.conftest import PASSWORD
from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.delivery import lanes, sending
from webapp.delivery.rings import FAST, SLOW, queues
from webapp.extensions import db
from webapp.log import Trouble
from webapp.models import DeliveryState, Interface, Lane, LeadLogEntry, User
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.people import users
from webapp.services.webhooks import webhooks
from webapp.webhooks import addresses
from webapp.webhooks.lookups import MOST, Lookups, NoTurn
from webapp.webhooks.outcome import ErrorKind
from webapp.webhooks.sender import Limits, Sender

pytestmark = pytest.mark.once


class SilentServer:
    """A name server on a real UDP socket that answers no question, until `give_up`."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def resolve(self, host: str, port: int, family: int = 0, kind: int = 0) -> list[tuple[object, ...]]:
        """Asks this server for names that end in .silent; all others are this machine."""
        if not host.endswith(".silent"):
            return [(socket.AF_INET, kind, 6, "", ("127.0.0.1", port))]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as question:
            question.settimeout(60)
            question.sendto(host.encode(), self.socket.getsockname())
            question.recv(512)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def give_up(self) -> None:
        """Ends the look-ups so far."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                _, asked_by = self.socket.recvfrom(512)
                self.socket.sendto(b"SERVFAIL", asked_by)


def limits(lookup_timeout: float) -> Limits:
    return Limits(lookup_timeout=lookup_timeout, deadline=10, allowed_networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def silent(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServer]:
    server = SilentServer()
    monkeypatch.setattr(addresses, "lookups", Lookups(MOST))
    app.extensions["leadhook_sender"] = Sender(limits(1), resolver=server.resolve)
    yield server
    server.give_up()
    server.socket.close()


def hang(silent: SilentServer, account_id: int, count: int = 256) -> set[object]:
    """Sends to so many hosts of an account whose names hang; what became of them."""
    sender = Sender(limits(0.5), resolver=silent.resolve)

    def send(number: int) -> object:
        try:
            return sender.send(10_000 + number, f"http://crm-{number}.silent/hook", b"{}", {}, account_id).error
        except NoTurn:
            return NoTurn

    with ThreadPoolExecutor(count) as pool:
        return set(pool.map(send, range(count)))


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    db.session.rollback()


def slow_since(interface: Interface) -> float | None:
    return db.session.scalars(select(Lane.slow_since).where(Lane.webhook_id == interface.webhook.id)).one()


@pytest.fixture
def neighbour(owner: User) -> Interface:
    """An interface of another account."""
    with transaction():
        other = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
        return interfaces.create(other.account_id, "Test drives")


def by_name(receiver: Receiver) -> str:
    return f"http://healthy.example:{receiver.port}/hook"


def test_a_healthy_webhook_of_another_account_is_sent_while_256_names_hang(
    app: Flask, interface: Interface, neighbour: Interface, receiver: Receiver, silent: SilentServer
) -> None:
    point_at(neighbour, by_name(receiver))
    lead = submit(neighbour)
    results = hang(silent, interface.account_id)
    assert results == {ErrorKind.TIMEOUT, NoTurn}
    drain(neighbour)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.last_code) == (DeliveryState.DELIVERED, 200)
    assert slow_since(neighbour) is None


def test_a_healthy_webhook_of_the_same_account_is_put_back_and_pays_nothing(
    app: Flask, interface: Interface, receiver: Receiver, silent: SilentServer
) -> None:
    point_at(interface, by_name(receiver))
    lead, second = submit(interface), submit(interface)
    hang(silent, interface.account_id)
    queues.redis.flushall()
    drain(interface)
    for one in (lead, second):
        delivery = delivery_of(one)
        assert (delivery.state, delivery.tries, delivery.attempts) == (DeliveryState.PENDING, 0, [])
    lane = db.session.scalars(select(Lane)).one()
    assert (lane.slow_since, lane.failures, lane.token, lane.lease_until) == (None, 0, None, 0.0)
    assert (len(queues.get(FAST)), len(queues.get(SLOW))) == (0, 1), "the other queue has a pace"
    assert sending.hanging.reason
    silent.give_up()
    wait_until(lambda: addresses.lookups.are_over, "the look-ups to end")
    with capture_logs() as logged:
        drain(interface)
    assert [delivery_of(one).last_code for one in (lead, second)] == [200, 200]
    assert [entry["event"] for entry in logged if "looked up" in entry["event"]] == ["hosts are looked up again"]
    assert not sending.hanging.reason


def test_parallel_requests_without_a_turn_are_all_put_back(
    app: Flask, interface: Interface, receiver: Receiver, silent: SilentServer
) -> None:
    point_at(interface, by_name(receiver), parallel_requests=4)
    several = [submit(interface) for _ in range(6)]
    hang(silent, interface.account_id)
    drain(interface)
    assert all(delivery_of(lead).attempts == [] for lead in several)
    assert slow_since(interface) is None


def test_a_retry_that_a_person_clicked_waits_for_its_turn(
    app: Flask, owner: User, interface: Interface, receiver: Receiver, silent: SilentServer
) -> None:
    point_at(interface, by_name(receiver))
    receiver.answer(500)
    lead = submit(interface)
    drain(interface)
    lead_id, account_id, owner_id = lead.public_id, owner.account_id, owner.id
    receiver.drop_connections()  # so that the name must be looked up again
    with transaction():
        assert leads.retry(account_id, [lead_id], owner_id) == 1
    hang(silent, account_id)
    drain(interface)
    delivery = delivery_of(lead)
    assert delivery.retry_at is not None
    assert len(delivery.attempts) == 1
    receiver.answer(200)
    silent.give_up()
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.retry_at, delivery.state, len(delivery.attempts)) == (None, DeliveryState.DELIVERED, 2)
    assert db.session.scalars(select(LeadLogEntry.action)).all() == ["resentwebhook"]


def test_a_hanging_name_itself_times_out_as_before(
    app: Flask, interface: Interface, neighbour: Interface, silent: SilentServer
) -> None:
    point_at(interface, "http://crm.silent/hook")
    lead = submit(interface)
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.last_code, delivery.last_error) == (999, ErrorKind.TIMEOUT)
    assert slow_since(interface) is not None


def test_who_saves_a_url_reads_that_other_names_hang(
    app: Flask, interface: Interface, neighbour: Interface, silent: SilentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(silent, interface.account_id)
    asked = {"resolver": silent.resolve}
    monkeypatch.setattr(webhooks, "resolve", lambda *given, **more: addresses.resolve(*given, **{**more, **asked}))
    warning = webhooks.check_reachable("http://healthy.example/hook", interface.account_id)
    assert "was not looked up" in warning
    assert webhooks.check_reachable("http://healthy.example/hook", neighbour.account_id) == ""


def test_the_log_is_not_flooded_by_two_accounts_whose_names_hang(
    app: Flask, interface: Interface, receiver: Receiver, silent: SilentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a minute, however the accounts and healthy hosts take turns; and one at the end."""
    point_at(interface, by_name(receiver))
    lead = submit(interface)
    trouble = Trouble("hosts are not looked up now", "hosts are looked up again")
    monkeypatch.setattr(sending, "hanging", trouble)
    hang(silent, interface.account_id)
    with capture_logs() as logged:
        for _ in range(5):
            drain(interface)
            trouble.report("name servers do not answer")  # as for the other account
        assert [each["event"] for each in logged] == ["hosts are not looked up now"]
        silent.give_up()
        wait_until(lambda: addresses.lookups.are_over, "the look-ups to end")
        drain(interface)
    assert delivery_of(lead).last_code == 200
    assert [each["event"] for each in logged] == ["hosts are not looked up now", "hosts are looked up again"]
