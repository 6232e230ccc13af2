"""Reports of interfaces with several webhooks: each is about one of them, and names it."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.conftest import AppMaker
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver
from tests.support.reporting import end_window, kinds, make_retries_due, send_mail
from tests.support.smtp import MailServer
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Lane, Mail, ReportEntry, User, Webhook
from webapp.services.reports import reports
from webapp.services.webhooks import editing, webhooks
from webapp.services.webhooks.editing import Plan


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def app(make_app: AppMaker, server: MailServer) -> Iterator[Flask]:
    app = make_app(**server.environ)
    with app.app_context():
        yield app


@pytest.fixture
def failing() -> Iterator[Receiver]:
    with Receiver() as receiver:
        receiver.answer(status=503, body=b"away")
        yield receiver


def add(interface: Interface, url: str, name: str, **more: Any) -> Webhook:
    with transaction():
        return editing.add(interface, Plan(url=url, name=name, **more))


def drain(interface: Interface) -> None:
    db.session.rollback()
    ids = [webhook.id for webhook in interface.webhooks]
    db.session.rollback()
    for webhook_id in ids:
        lanes.drain(webhook_id)


def subjects(server: MailServer) -> list[str]:
    return [str(mail.message["Subject"]) for mail in server.received]


def test_a_report_names_the_webhook_that_fails(
    interface: Interface, receiver: Receiver, failing: Receiver, server: MailServer
) -> None:
    """And when it recovers, and when it is paused."""
    point_at(interface, receiver.url)
    slack = add(interface, failing.url, "Slack & friends")
    submit(interface)
    drain(interface)
    send_mail()
    failing.answer()
    make_retries_due()
    drain(interface)
    end_window(interface)
    send_mail()
    with transaction():
        webhooks.pause(db.session.merge(slack), "Paused by Alice.")
    send_mail()
    what = "Contact sales (Slack & friends)"
    assert subjects(server) == [
        f"Webhook failing: {what}, 1 lead",
        f"Webhook recovered: {what}",
        f"Webhook paused: {what}",
    ]
    for mail in server.received:
        assert "Slack & friends: http://127.0.0.1" in mail.text
        assert "<strong>Slack &amp; friends</strong>" in mail.html
    assert f"/webhooks/{slack.public_id}" in server.received[2].text
    assert "No lead of this webhook is marked Failed." in server.received[1].text


def test_a_webhook_without_a_name_beside_others_is_the_lead_webhook(
    interface: Interface, receiver: Receiver, failing: Receiver, server: MailServer
) -> None:
    point_at(interface, failing.url)
    add(interface, receiver.url, "Slack")
    submit(interface)
    drain(interface)
    send_mail()
    assert subjects(server) == ["Webhook failing: Contact sales (Lead Webhook), 1 lead"]
    assert "status=" not in server.received[0].text  # a lead that is retried may have failed elsewhere


def test_beside_a_shadow_the_only_webhook_needs_no_name(
    interface: Interface, failing: Receiver, server: MailServer
) -> None:
    point_at(interface, failing.url)
    add(interface, failing.url, "Shadow", is_shadow=True)
    submit(interface)
    drain(interface)
    send_mail()
    assert len(failing.requests) == 2
    assert subjects(server) == ["Webhook failing: Contact sales, 1 lead"]


def test_a_shadow_is_never_reported(
    interface: Interface, receiver: Receiver, failing: Receiver, server: MailServer
) -> None:
    """Not when it fails, is paused by hand or by a 410."""
    point_at(interface, receiver.url)
    shadow = add(interface, failing.url, "Shadow", is_shadow=True)
    submit(interface)
    drain(interface)
    failing.answer(status=410)
    make_retries_due()
    drain(interface)
    db.session.expire_all()
    assert db.session.get_one(Webhook, shadow.id).state == "paused"
    with transaction():
        webhooks.resume(db.session.get_one(Webhook, shadow.id))
        webhooks.pause(db.session.get_one(Webhook, shadow.id), "Paused by Alice.")
    send_mail()
    assert (subjects(server), kinds(), db.session.query(Mail).count()) == ([], [], 0)


def test_a_webhook_that_became_a_shadow_is_not_reported_any_more(
    interface: Interface, receiver: Receiver, failing: Receiver, server: MailServer
) -> None:
    point_at(interface, receiver.url)
    slack = add(interface, failing.url, "Slack")
    submit(interface)
    drain(interface)
    with transaction():
        db.session.get_one(Webhook, slack.id).is_shadow = True
    send_mail()
    db.session.expire_all()
    assert (subjects(server), kinds(), db.session.query(ReportEntry).count()) == ([], [], 0)
    assert db.session.get_one(Webhook, slack.id).report_due_at is None


def test_the_accounts_own_webhook_is_not_reported_when_it_is_paused(
    owner: User, receiver: Receiver, server: MailServer
) -> None:
    with transaction():
        events = Webhook(account_id=owner.account_id, url=receiver.url, is_first=False, lane=Lane())
        db.session.add(events)
        db.session.flush()
        webhook_id = events.id
    db.session.rollback()
    with transaction():
        webhook = db.session.get_one(Webhook, webhook_id)
        assert webhook.is_quiet
        reports.note_paused(webhook, "Paused by Alice.")
    send_mail()
    assert subjects(server) == []
