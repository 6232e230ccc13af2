"""From a lead to its receiver by name, on networks of the test's own with a real name server on port 53.

The receivers have public addresses there, so that nothing has to be allowed that a real installation does not allow.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from tests.support.factories import delivery_of, point_at, submit
from tests.support.name_server import Name, NameServer
from tests.support.own_network import needs_root, own_network
from tests.support.receiver import Receiver
from tests.support.reporting import drain, end_window, kinds, make_retries_due, reported, send_mail
from tests.support.waiting import wait_until
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import shared_names
from webapp.delivery.ledger import RELEASES
from webapp.delivery.shared_names import SharedNames
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, KnownHost, LateAnswer, Lead, Mail, User
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import webhooks
from webapp.webhooks import addresses
from webapp.webhooks.advice import with_step
from webapp.webhooks.lookups import MOST, Lookups
from webapp.webhooks.names import Names
from webapp.webhooks.outcome import ErrorKind
from webapp.webhooks.sender import Limits, Sender

PUBLIC, SECOND, SIX = "93.184.216.34", "93.184.216.35", "2606:4700::1111"
TRANSLATED, TRANSLATED_PRIVATE, OWN_PREFIX = "64:ff9b::5db8:d822", "64:ff9b::a01:203", "2a00:64::5db8:d822"
HOST = "crm.example"
REALLY_RESOLVE = webhooks.resolve  # tests/conftest.py replaces it

pytestmark = needs_root


def once(*values: object) -> Any:
    """A case in which the kind of database does not matter."""
    return pytest.param(*values, marks=pytest.mark.once)


def addresses_of(name: Name) -> str:
    return " ".join(name.a + name.aaaa)


@pytest.fixture
def server() -> Iterator[NameServer]:
    """In a network where these addresses are this machine's. The test's own thread is in it, too."""
    public = (PUBLIC, SECOND, SIX, TRANSLATED, TRANSLATED_PRIVATE, OWN_PREFIX)
    with own_network(*public), NameServer("127.0.0.1", 53) as server:
        yield server


class Machine:
    """A worker on that network, whose /etc is a directory of the test."""

    def __init__(self, app: Flask, server: NameServer, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = app
        self.server = server
        self.etc = etc
        self.monkeypatch = monkeypatch
        self.names = SharedNames(app)
        self.resolv_conf("nameserver 127.0.0.1\n")
        self.restarts()

    def resolv_conf(self, text: str) -> None:
        (self.etc / "resolv.conf").write_text(text)

    def sends_within(self, **limits: object) -> None:
        if sender := self.app.extensions.get("leadhook_sender"):
            sender.close()
        self.app.extensions["leadhook_sender"] = Sender(Limits(**limits), resolver=self.names)  # type: ignore[arg-type]

    def restarts(self, **limits: object) -> None:
        """As another process, or this one after a restart: it remembers nothing of its own."""
        self.monkeypatch.setattr(addresses, "lookups", Lookups(MOST))
        self.monkeypatch.setattr(shared_names, "look_up", Names(self.etc))
        self.sends_within(**limits)


@pytest.fixture
def machine(app: Flask, server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    etc = tmp_path / "etc"
    etc.mkdir()
    monkeypatch.setattr(webhooks, "resolve", REALLY_RESOLVE)
    return Machine(app, server, etc, monkeypatch)


@pytest.fixture
def receiver(server: NameServer) -> Iterator[Receiver]:
    with Receiver(host=PUBLIC) as receiver:
        yield receiver


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, by_name(receiver))
    return interface


def by_name(receiver: Receiver, host: str = HOST) -> str:
    return f"http://{host}:{receiver.port}/hook"


def again(interface: Interface) -> None:
    """The time of the next try has come."""
    make_retries_due()
    drain(interface)


def tries(lead: Lead) -> list[tuple[int, str | None]]:
    """Code and error of its attempts, the oldest first."""
    return [(attempt.code, attempt.error) for attempt in reversed(delivery_of(lead).attempts)]


# A passing DNS fault is not final ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        Name(a=["0.0.0.0"]),
        Name(aaaa=["::"]),
        Name(aaaa=["fe80::1"]),
        once(Name(a=["127.0.0.1"])),
        once(Name(a=["10.0.0.5", "192.168.1.1"])),
        once(Name(a=["0.0.0.0"], aaaa=["::"])),
        once(Name(aaaa=["fd00::1"])),
        once(Name(a=["169.254.169.254"])),
        once(Name(aaaa=[TRANSLATED_PRIVATE])),
    ],
    ids=addresses_of,
)
def test_one_bad_answer_is_a_failed_try_and_the_next_one_delivers(
    machine: Machine, pointed: Interface, receiver: Receiver, bad: Name
) -> None:
    machine.server.names[HOST] = bad
    lead = submit(pointed)
    drain(pointed)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.last_error, delivery.tries) == (DeliveryState.PENDING, ErrorKind.BLOCKED_NAME, 1)
    assert delivery.due_at
    assert not [address for address in bad.a + bad.aaaa if address in (delivery.last_response or "")]
    assert receiver.connections == 0
    machine.server.names[HOST] = Name(a=[PUBLIC])
    again(pointed)
    assert tries(lead) == [(999, "blocked_name"), (200, None)]
    assert delivery_of(lead).state == DeliveryState.DELIVERED
    assert machine.server.count(HOST) == 2, "one look-up for each try"
    [request] = receiver.requests
    assert b"ada@example.com" in request.body


@pytest.mark.parametrize(
    "mixed",
    [
        Name(a=[PUBLIC, "10.0.0.5"]),
        Name(a=["127.0.0.1", PUBLIC]),
        once(Name(a=[PUBLIC], aaaa=["fe80::1"])),
        once(Name(a=[PUBLIC], aaaa=["::"])),
        once(Name(a=["0.0.0.0", PUBLIC], aaaa=["::1", "fd00::1"])),
    ],
    ids=addresses_of,
)
def test_of_a_mixed_answer_the_good_address_gets_the_lead(
    machine: Machine, pointed: Interface, receiver: Receiver, mixed: Name
) -> None:
    machine.server.names[HOST] = mixed
    with (
        socket.create_server(("127.0.0.1", receiver.port)) as trap,
        socket.create_server(("::1", receiver.port), family=socket.AF_INET6) as trap_6,
    ):
        lead = submit(pointed)
        drain(pointed)
        for each in (trap, trap_6):
            each.settimeout(0)
            with pytest.raises(BlockingIOError):
                each.accept()
    assert tries(lead) == [(200, None)]
    assert len(receiver.requests) == 1


def test_a_refused_address_is_not_dialled_when_the_good_one_does_not_answer(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    """Rebinding with a mixed answer: the good address is made to refuse, so that the sender might try the other one."""
    machine.server.names[HOST] = Name(a=[PUBLIC, "127.0.0.1"])
    receiver.close()
    with socket.create_server(("127.0.0.1", receiver.port)) as trap:
        lead = submit(pointed)
        drain(pointed)
        again(pointed)
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert tries(lead) == [(999, "refused"), (999, "refused")]


def test_a_name_that_always_leads_to_a_refused_address_is_held_after_the_schedule_and_mailed(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    machine.server.names[HOST] = Name(a=["10.0.0.5"])
    lead = submit(pointed)
    drain(pointed)
    send_mail()
    assert reported() == [("failed", 1)]
    for _ in range(7):
        assert delivery_of(lead).state == DeliveryState.PENDING
        again(pointed)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.tries, delivery.due_at) == (DeliveryState.ON_HOLD, 8, None)
    words = f"The address of {HOST} is not public, and this installation does not allow it"
    assert delivery.state_reason == f"{with_step(words, ErrorKind.BLOCKED_NAME)} {RELEASES}"
    assert not [attempt for attempt in delivery.attempts if "10.0.0.5" in attempt.response]
    end_window(pointed)
    send_mail()
    assert "gave_up" in kinds()
    db.session.rollback()
    bodies = db.session.scalars(select(Mail.body_text)).all()
    assert any("held until the webhook is repaired" in " ".join(body.split()) for body in bodies)
    assert not [body for body in bodies if "10.0.0.5" in body]


def save_url(interface: Interface, url: str) -> int:
    with transaction():
        found = db.session.get_one(Interface, interface.id)
        return interfaces.update_lead_generation(found, url=url, authentication=Authentication.NONE, shared_token=None)


def test_a_new_url_releases_what_is_held(machine: Machine, pointed: Interface, receiver: Receiver) -> None:
    point_at(pointed, f"http://10.0.0.5:{receiver.port}/hook")
    lead = submit(pointed)
    drain(pointed)
    assert delivery_of(lead).state == DeliveryState.ON_HOLD
    assert save_url(pointed, receiver.url) == 1
    drain(pointed)
    assert delivery_of(lead).state == DeliveryState.DELIVERED
    assert len(receiver.requests) == 1


def test_retry_webhook_releases_what_is_held(
    machine: Machine, owner: User, pointed: Interface, receiver: Receiver
) -> None:
    point_at(pointed, by_name(receiver), automatic_retries=False)
    machine.server.names[HOST] = Name(a=["0.0.0.0"])
    lead = submit(pointed)
    drain(pointed)
    assert delivery_of(lead).state == DeliveryState.ON_HOLD, "without retries the schedule ends with the first try"
    for address, state in (("10.0.0.5", DeliveryState.ON_HOLD), (PUBLIC, DeliveryState.DELIVERED)):
        machine.server.names[HOST] = Name(a=[address])
        with transaction():
            assert leads.retry(owner.account_id, [lead.public_id], owner.id) == 1
        drain(pointed)
        assert delivery_of(lead).state == state
    assert delivery_of(lead).state_reason == ""
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.0.0.5/hook", "The address of 10.0.0.5 is not public"),
        once("http://[fe80::1]/hook", "The address of fe80::1 is not public"),
        once("http://0x7f.1/hook", "The address of 0x7f.1 is not public"),
        (f"http://{PUBLIC}:6379/hook", f"Port 6379 of {PUBLIC} is not a port for webhooks"),
        once(f"http://{HOST}:22/hook", f"Port 22 of {HOST} is not a port for webhooks"),
        once("http://[64:ff9b::10.1.2.3]/hook", "The address of 64:ff9b::10.1.2.3 is not public"),
    ],
)
def test_a_refused_address_or_port_in_the_url_is_held_at_once_and_mailed(
    machine: Machine, interface: Interface, signed_in: FlaskClient, url: str, words: str
) -> None:
    machine.server.names[HOST] = Name(a=[PUBLIC])
    point_at(interface, url)
    lead = submit(interface)
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.last_error, delivery.tries) == (DeliveryState.ON_HOLD, "blocked_address", 1)
    assert delivery.state_reason.startswith(words)
    assert delivery.state_reason.endswith(RELEASES)
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert RELEASES in page
    assert "Retry Webhook" in page
    send_mail()
    assert reported() == [("failed", 1)]


def test_a_test_lead_is_not_held(machine: Machine, owner: User, pointed: Interface) -> None:
    """On hold, it would be sent later as if it were a lead."""
    machine.server.names[HOST] = Name(a=["0.0.0.0"])
    with transaction():
        leads.send_test(db.session.get_one(Interface, pointed.id), owner.id)
    drain(pointed)
    db.session.rollback()
    assert db.session.scalars(select(Delivery.state)).all() == [DeliveryState.FAILED]


def test_a_retry_of_a_lead_that_waits_does_not_change_its_schedule(
    machine: Machine, owner: User, pointed: Interface
) -> None:
    machine.server.names[HOST] = Name(a=["0.0.0.0"])
    lead = submit(pointed)
    drain(pointed)
    before = delivery_of(lead)
    with transaction():
        leads.retry(owner.account_id, [lead.public_id], owner.id)
    drain(pointed)
    after = delivery_of(lead)
    assert (after.state, after.due_at, after.tries) == (DeliveryState.PENDING, before.due_at, 1)
    assert len(after.attempts) == 2


# Time limits inside each other ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, once(2)])
def test_a_lost_packet_is_no_failed_try(machine: Machine, pointed: Interface, receiver: Receiver, lost: int) -> None:
    machine.server.names[HOST] = Name(a=[PUBLIC])
    machine.server.loses = lambda number: number <= lost
    lead = submit(pointed)
    drain(pointed)
    assert tries(lead) == [(200, None)]
    assert delivery_of(lead).attempts[0].duration_ms < 2000
    send_mail()
    assert kinds() == []


def test_a_name_server_that_is_silent_on_aaaa_delays_a_lead_by_a_moment(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    machine.server.names[HOST] = Name(a=[PUBLIC], silent=("AAAA",))
    lead = submit(pointed)
    drain(pointed)
    assert tries(lead) == [(200, None)]
    assert delivery_of(lead).attempts[0].duration_ms < 1000


def test_an_answer_that_comes_after_the_try_is_there_for_the_next_one(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    machine.sends_within(lookup_timeout=0.3)
    machine.server.names[HOST] = Name(a=[PUBLIC], delay=0.6)
    lead = submit(pointed)
    drain(pointed)
    words = f"Timed out: no address was found for {HOST} port {receiver.port} within 0.3 s"
    assert delivery_of(lead).last_response == with_step(words)
    wait_until(lambda: addresses.lookups.are_over, "the answer")
    machine.server.loses = lambda number: True
    again(pointed)
    assert tries(lead) == [(999, "timeout"), (200, None)]


def test_an_answer_that_comes_after_the_try_is_there_for_another_process(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    """A lane that timed out goes to the slow queue, which has a process of its own."""
    machine.restarts(lookup_timeout=0.3)
    machine.server.names[HOST] = Name(a=[PUBLIC], delay=0.6)
    lead = submit(pointed)
    drain(pointed)
    wait_until(lambda: addresses.lookups.are_over, "the answer")
    machine.restarts()
    machine.server.loses = lambda number: True
    again(pointed)
    assert tries(lead) == [(999, "timeout"), (200, None)]
    assert delivery_of(lead).attempts[0].duration_ms < 2000


def test_a_late_answer_of_another_process_is_checked_and_forgotten_if_it_is_refused(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    machine.names.keep_late(HOST, ["127.0.0.1", "10.0.0.5"])
    machine.server.names[HOST] = Name(a=[PUBLIC])
    machine.server.loses = lambda number: True
    lead = submit(pointed)
    drain(pointed)
    assert tries(lead) == [(999, "blocked_name")]
    machine.server.loses = lambda number: False
    again(pointed)
    assert tries(lead)[-1] == (200, None)
    assert receiver.connections == 1


def test_late_answers_are_forgotten_after_a_minute(machine: Machine, interface: Interface) -> None:
    machine.names.keep_late("old.example", [PUBLIC])
    assert machine.names.late("old.example") == [PUBLIC]
    with transaction():
        db.session.execute(update(LateAnswer).values(until=now_sql() - 1))
    assert machine.names.late("old.example") == ()
    for addresses_now in ([PUBLIC], [SECOND, SIX]):
        machine.names.keep_late("new.example", addresses_now)
        assert machine.names.late("new.example") == addresses_now
    db.session.rollback()
    assert db.session.scalars(select(LateAnswer.host)).all() == ["new.example"]


def test_what_processes_share_is_read_while_another_one_writes(machine: Machine, interface: Interface) -> None:
    """Hundreds of tries that wait for name servers look there every second."""
    machine.names.keep_late(HOST, [PUBLIC])
    machine.names.add(HOST)
    with ThreadPoolExecutor(1) as pool, transaction():
        db.session.execute(update(LateAnswer).values(until=LateAnswer.until + 1))
        assert pool.submit(machine.names.late, HOST).result(10) == [PUBLIC]
        assert pool.submit(machine.names.knows, HOST).result(10)


def test_an_answer_in_time_writes_nothing(machine: Machine, pointed: Interface, receiver: Receiver) -> None:
    machine.server.names[HOST] = Name(a=[PUBLIC], delay=0.7)
    lead = submit(pointed)
    drain(pointed)
    assert tries(lead) == [(200, None)]
    db.session.rollback()
    assert db.session.scalars(select(LateAnswer.host)).all() == []
    assert db.session.scalars(select(KnownHost.name)).all() == [], "there is no search domain"


def test_a_wildcard_search_domain_gets_no_leads_of_others(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    with Receiver(host=SECOND) as wrong:
        machine.resolv_conf("nameserver 127.0.0.1\nsearch corp.example\noptions ndots:5\n")
        machine.server.names |= {"*.corp.example": Name(a=[SECOND]), HOST: Name(a=[PUBLIC])}
        first = submit(pointed)
        drain(pointed)
        receiver.drop_connections()
        del machine.server.names[HOST]  # its name server forgets it for a moment
        second = submit(pointed)
        drain(pointed)
        assert (wrong.connections, len(receiver.requests)) == (0, 1)
    assert (tries(first), tries(second)) == ([(200, None)], [(999, "dns")])


def test_a_host_that_another_process_found_gets_no_search_domain_either(
    machine: Machine, pointed: Interface, receiver: Receiver
) -> None:
    with Receiver(host=SECOND) as wrong:
        machine.resolv_conf("nameserver 127.0.0.1\nsearch corp.example\n")
        machine.server.names |= {"*.corp.example": Name(a=[SECOND]), HOST: Name(a=[PUBLIC])}
        submit(pointed)
        drain(pointed)
        machine.restarts()
        del machine.server.names[HOST]
        lead = submit(pointed)
        drain(pointed)
        assert (tries(lead), wrong.connections) == ([(999, "dns")], 0)
    db.session.rollback()
    assert db.session.scalars(select(KnownHost.name)).all() == [HOST]


def test_a_host_that_was_found_when_its_url_was_saved_gets_no_search_domain(
    machine: Machine, interface: Interface, receiver: Receiver, signed_in: FlaskClient
) -> None:
    """The process that saves is another one than the one that sends."""
    machine.resolv_conf("nameserver 127.0.0.1\nsearch corp.example\n")
    machine.server.names |= {"*.corp.example": Name(a=[SECOND]), HOST: Name(a=[PUBLIC])}
    given = {"webhook_url": by_name(receiver), "authentication": "none", "parallel_requests": "1"}
    saved = signed_in.post(f"/interfaces/{interface.public_id}/edit/lead-generation", data=given)
    assert saved.status_code == 303, saved.text
    machine.restarts()
    del machine.server.names[HOST]
    lead = submit(interface)
    drain(interface)
    assert tries(lead) == [(999, "dns")]


def test_no_search_domain_is_used_while_it_is_not_known_whether_a_host_was_found(
    machine: Machine, interface: Interface
) -> None:
    """As if the database went away between two statements."""
    machine.resolv_conf("nameserver 127.0.0.1\nsearch corp.example\n")
    machine.server.names |= {"crm.sales.corp.example": Name(a=[PUBLIC])}
    with transaction():
        db.session.execute(text("ALTER TABLE known_hosts RENAME TO away"))
    with pytest.raises(socket.gaierror):
        machine.names("crm.sales", 80)
    with transaction():
        db.session.execute(text("ALTER TABLE away RENAME TO known_hosts"))
    assert machine.names("crm.sales", 80)


def test_a_service_of_the_own_cluster_is_reached_by_its_search_domain(machine: Machine, interface: Interface) -> None:
    """As in Kubernetes: `crm.sales` is crm.sales.svc.cluster.local."""
    machine.resolv_conf(
        "nameserver 127.0.0.1\nsearch ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )
    machine.server.names["crm.sales.svc.cluster.local"] = Name(a=[PUBLIC])
    with Receiver(host=PUBLIC) as receiver:
        point_at(interface, by_name(receiver, "crm.sales"))
        lead = submit(interface)
        drain(interface)
        assert receiver.requests[0].headers["host"] == f"crm.sales:{receiver.port}"
    assert tries(lead) == [(200, None)]


@pytest.mark.once
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "does not resolve: the DNS has no such name"),
        (Name(), "does not resolve: the DNS has no address for it"),
        (
            Name(code=dns.rcode.SERVFAIL),
            "cannot be looked up at the moment: its name servers answer with errors, or not at all",
        ),
    ],
    ids=["no name", "no address", "error"],
)
def test_each_failure_of_a_name_says_why_and_what_to_do(
    machine: Machine, pointed: Interface, signed_in: FlaskClient, answer: Name | None, sentence: str
) -> None:
    if answer:
        machine.server.names[HOST] = answer
    lead = submit(pointed)
    drain(pointed)
    delivery, words = delivery_of(lead), with_step(f"The name {HOST} {sentence}")
    assert (delivery.last_error, delivery.last_response) == ("dns", words)
    assert words.endswith(".")
    assert delivery.state == DeliveryState.PENDING
    assert words in signed_in.get(f"/leads/{lead.public_id}").text


@pytest.mark.once
def test_50_names_whose_server_loses_every_fifth_packet_have_no_failed_try(
    machine: Machine, receiver: Receiver
) -> None:
    machine.server.loses = lambda number: number % 5 == 0
    hosts = [f"crm-{number}.example" for number in range(50)]
    machine.server.names = {host: Name(a=[PUBLIC], aaaa=["fe80::1"]) for host in hosts}
    sender = machine.app.extensions["leadhook_sender"]

    def send(number: int) -> tuple[int, str]:
        outcome = sender.send(number, by_name(receiver, hosts[number]), b"{}", {})
        return outcome.code, outcome.body

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(send, range(50))) == {(200, "")}
    assert len(receiver.requests) == 50


# NAT64 ---------------------------------------------------------------------------------------------------------------


def test_on_a_nat64_network_a_receiver_with_ipv4_only_is_saved_and_reached(
    machine: Machine, interface: Interface, signed_in: FlaskClient
) -> None:
    machine.server.names[HOST] = Name(aaaa=[TRANSLATED])
    with Receiver(host=TRANSLATED) as receiver:
        url = by_name(receiver)
        saved = signed_in.post(
            f"/interfaces/{interface.public_id}/edit/lead-generation",
            data={"webhook_url": url, "authentication": "none", "parallel_requests": "1"},
        )
        assert saved.status_code == 303, saved.text
        lead = submit(interface)
        drain(interface)
        assert len(receiver.requests) == 1
    assert tries(lead) == [(200, None)]


def test_a_private_address_behind_nat64_is_reached_only_where_its_network_is_allowed(
    machine: Machine, interface: Interface
) -> None:
    machine.server.names[HOST] = Name(aaaa=[TRANSLATED_PRIVATE])
    with Receiver(host=TRANSLATED_PRIVATE) as receiver:
        point_at(interface, by_name(receiver), automatic_retries=False)
        for networks, error in (
            ("64:ff9b::/96", "blocked_name"),
            ("192.168.0.0/16", "blocked_name"),
            ("10.0.0.0/8", None),
        ):
            machine.sends_within(allowed_networks=(ip_network(networks),))
            lead = submit(interface)
            drain(interface)
            assert tries(lead)[-1][1] == error, networks
        assert len(receiver.requests) == 1


def test_the_prefix_that_the_operator_names_is_used(machine: Machine, interface: Interface) -> None:
    machine.server.names[HOST] = Name(aaaa=["2a00:64::a01:203"])
    with Receiver(host=OWN_PREFIX) as receiver:
        point_at(interface, by_name(receiver))
        machine.sends_within(nat64=IPv6Network("2a00:64::/96"))
        lead = submit(interface)
        drain(interface)
        assert tries(lead) == [(999, "blocked_name")]
        machine.server.names[HOST] = Name(aaaa=[OWN_PREFIX])
        again(interface)
        assert tries(lead)[-1] == (200, None)
        assert len(receiver.requests) == 1
    config = machine.app.extensions["leadhook_config"]
    machine.app.extensions["leadhook_config"] = replace(config, nat64_prefix=IPv6Network("2a00:64::/96"))
    assert webhooks.check_reachable(by_name(receiver)) == ""
    machine.server.names[HOST] = Name(aaaa=["2a00:64::a01:203"])
    with pytest.raises(Refused, match="is not public"):
        webhooks.check_reachable(by_name(receiver))
