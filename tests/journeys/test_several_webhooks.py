"""One lead to several webhooks, up to each receiver: what one of them does changes nothing for the others."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from standardwebhooks import Webhook as StandardWebhook

from tests.conftest import AppMaker
from tests.journeys.conftest import Workers
from tests.support.factories import ADA, point_at, sign, submit
from tests.support.mailing import notify
from tests.support.receiver import Received, Receiver, answering
from tests.support.smtp import MailServer
from tests.support.waiting import wait_until
from webapp.db.transactions import read_only, transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Lane, Lead, Mail, User, Webhook
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import editing, webhooks
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

TEMPLATE = json.dumps({"text": "New lead: {{ lead.fields.name }}"})
# By the name of the webhook: what it wants.
KINDS: dict[str, Wanted] = {
    "CRM": Wanted(Authentication.BEARER, {"method": "PUT"}, secrets={"token": "a-bearer-token-of-the-crm"}),
    "Flat": Wanted(Authentication.BASIC, {"format": "flat"}, options={"user": "ada"}, secrets={"password": "é:+ %"}),
    "Form": Wanted(Authentication.HEADER, {"format": "form"}, {"name": "X-Key"}, {"value": "a-key-in-a-header"}),
    "Events": Wanted(Authentication.METALOCATOR, {"format": "cloudevents"}, secrets={"secret": "a-metalocator-token"}),
}


@pytest.fixture
def smtp() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def app(make_app: AppMaker, smtp: MailServer) -> Iterator[Flask]:
    app = make_app(RETRY_SCHEDULE="1,3600", **smtp.environ)
    with app.app_context():
        yield app


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Receiver()) for _ in range(5)]


def add(interface: Interface, url: str, name: str, **more: Any) -> Webhook:
    with transaction():
        return editing.add(interface, Plan(url=url, name=name, **more))


@pytest.fixture
def five(interface: Interface, receivers: list[Receiver]) -> Interface:
    """An interface with five ordinary webhooks."""
    point_at(interface, receivers[0].url)
    for number, receiver in enumerate(receivers[1:], start=2):
        add(interface, receiver.url, f"Webhook {number}")
    return interface


def drain(interface: Interface) -> None:
    """Sends what is due to every webhook, as workers do."""
    db.session.rollback()
    ids = [webhook.id for webhook in interface.webhooks]
    db.session.rollback()
    for webhook_id in ids:
        lanes.drain(webhook_id)
    db.session.rollback()
    db.session.expire_all()


def states(lead_id: int) -> list[str]:
    """The state of each of a lead's deliveries; it leaves no transaction open, or workers would wait for it."""
    db.session.rollback()
    with read_only():
        of_lead = select(Delivery.state).where(Delivery.lead_id == lead_id).order_by(Delivery.id)
        found = [str(state) for state in db.session.scalars(of_lead)]
    db.session.rollback()
    return found


def counted(model: Any) -> int:
    db.session.rollback()
    number = db.session.scalar(select(func.count()).select_from(model)) or 0
    db.session.rollback()
    return number


def test_one_lead_reaches_five_webhooks_of_five_kinds_and_two_that_fail_are_tried_again(
    signed_in: FlaskClient, interface: Interface, receivers: list[Receiver], workers: Workers, smtp: MailServer
) -> None:
    notify(interface, "sales@example.com")
    point_at(interface, receivers[0].url)
    _, secret = sign(interface)
    for receiver, (name, wanted) in zip(receivers[1:], KINDS.items(), strict=True):
        add(interface, receiver.url, name, wanted=wanted)
    for receiver in (receivers[1], receivers[3]):
        receiver.queue(answering(503, b"away"))
    lead = submit(interface)
    lead_id, public_id, name = lead.id, lead.public_id, interface.name
    flat = interface.webhooks[2].public_id
    db.session.rollback()
    workers.start()
    for receiver, number in zip(receivers, (1, 2, 1, 2, 1), strict=True):
        receiver.wait_for(number, timeout=60)
    wait_until(lambda: states(lead_id) == ["delivered"] * 5, "five deliveries")
    assert [len(receiver.requests) for receiver in receivers] == [1, 2, 1, 2, 1]
    at_once, again = [receivers[number].requests[0].at for number in (0, 2, 4)], [receivers[1].requests[1].at]
    assert max(at_once) < min(again)
    _verify([receiver.requests for receiver in receivers], secret, public_id, name)

    page = signed_in.get(f"/leads/{public_id}").text
    assert page.count('class="timeline"') == 5
    assert page.count('<span class="strong">503 ') == 2
    assert "5 of 5 delivered" in page
    assert "5 of 5 delivered" in signed_in.get("/leads").text
    signed_in.post(f"/leads/{public_id}/retry", data={"chosen": "1", "webhook": flat})
    receivers[2].wait_for(2, timeout=30)
    wait_until(lambda: states(lead_id) == ["delivered"] * 5, "the retry to be recorded")
    assert [len(receiver.requests) for receiver in receivers] == [1, 2, 2, 2, 1]
    wait_until(lambda: "sales@example.com" in repr([mail.recipients for mail in smtp.received]), "the notification")
    assert sum(mail.recipients == ["sales@example.com"] for mail in smtp.received) == 1
    db.session.rollback()
    notifications = select(func.count()).select_from(Mail).where(Mail.kind == "lead_notification")
    found = db.session.scalar(notifications)
    db.session.rollback()  # on SQLite the workers wait for an open transaction, also to end
    assert found == 1


def _verify(requests: list[list[Received]], secret: str, lead_id: str, interface_name: str) -> None:
    """Each receiver reads its own kind; both requests of one that failed have the same bytes and id."""
    (signed,), crm, (flat,), form, (event,) = requests
    document = StandardWebhook(secret).verify(signed.body, signed.headers)
    assert document["data"]["lead"]["id"] == lead_id
    assert {request.headers["authorization"] for request in crm} == {"Bearer a-bearer-token-of-the-crm"}
    assert {request.method for request in crm} == {"PUT"}
    assert json.loads(crm[0].body) == document
    assert flat.headers["authorization"].startswith("Basic ")
    assert json.loads(flat.body)["email"] == ADA["email"]
    assert {request.headers["x-key"] for request in form} == {"a-key-in-a-header"}
    assert form[0].headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert parse_qs(form[0].body.decode())["email"] == [ADA["email"]]
    assert event.headers["content-type"].startswith("application/cloudevents+json")
    assert json.loads(event.body)["specversion"] == "1.0"
    assert event.headers["x-metalocator-webhook-signature"]
    for first, second in (crm, form):
        assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert len({each[0].headers["webhook-id"] for each in requests}) == 5


def test_a_webhook_that_fails_and_one_that_pauses_change_nothing_for_the_others(
    five: Interface, receivers: list[Receiver]
) -> None:
    failing, gone = receivers[1], receivers[3]
    failing.answer(status=500)
    gone.answer(status=410)
    found = [submit(five).id for _ in range(3)]
    drain(five)
    for lead_id in found[1:]:
        assert states(lead_id) == ["delivered", "pending", "delivered", "held", "delivered"]
    later = submit(five).id
    drain(five)
    assert states(later) == ["delivered", "pending", "delivered", "held", "delivered"]
    assert [len(receiver.requests) for receiver in receivers] == [4, 4, 4, 1, 4]
    lanes_of = db.session.scalars(select(Lane).order_by(Lane.webhook_id)).all()
    assert [lane.failures > 0 for lane in lanes_of] == [False, True, False, True, False]
    assert [webhook.state for webhook in five.webhooks] == ["active", "active", "active", "paused", "active"]
    gone.answer()
    with transaction():
        webhooks.resume(five.webhooks[3])
    drain(five)
    assert states(later) == ["delivered", "pending", "delivered", "delivered", "delivered"]
    assert [len(receiver.requests) for receiver in receivers[::2]] == [4, 4, 4]


def test_a_pause_by_hand_holds_only_the_leads_of_its_webhook(five: Interface, receivers: list[Receiver]) -> None:
    waiting = submit(five).id
    with transaction():
        webhooks.pause(five.webhooks[2], "Paused by Alice.")
    assert states(waiting) == ["pending", "pending", "held", "pending", "pending"]
    lead = submit(five).id
    drain(five)
    assert states(lead) == states(waiting) == ["delivered", "delivered", "held", "delivered", "delivered"]
    assert len(receivers[2].requests) == 0


def test_a_webhook_that_is_removed_cancels_its_own_deliveries_and_says_so(
    signed_in: FlaskClient, five: Interface, receivers: list[Receiver]
) -> None:
    lead = submit(five)
    lead_id, public_id = lead.id, lead.public_id
    with transaction():
        assert editing.remove(five.webhooks[2]) == 1
    drain(five)
    assert states(lead_id) == ["delivered", "delivered", "cancelled", "delivered", "delivered"]
    assert len(receivers[2].requests) == 0
    page = signed_in.get(f"/leads/{public_id}").text
    assert "The webhook was removed." in page
    assert "4 of 5 delivered" in page
    later = submit(five).id
    assert len(states(later)) == 4
    with transaction(), pytest.raises(Refused, match="stays"):
        editing.remove(five.webhooks[0])


def test_an_interface_has_twenty_webhooks_at_most_and_all_of_them_get_the_lead(five: Interface) -> None:
    for number in range(6, 21):
        add(five, f"http://127.0.0.1:9/{number}", f"Webhook {number}")
    with pytest.raises(Refused, match="20 webhooks at most"):
        add(five, "http://127.0.0.1:9/21", "One too many")
    db.session.rollback()
    assert states(submit(five).id) == ["pending"] * 20
    with transaction():
        editing.remove(db.session.get_one(Interface, five.id).webhooks[-1])
    add(five, "http://127.0.0.1:9/21", "In its place")


def test_a_deleted_interface_cancels_what_waits_for_any_of_its_webhooks(
    five: Interface, receivers: list[Receiver]
) -> None:
    waits = submit(five).id
    with transaction():
        webhooks.pause(five.webhooks[1], "Paused by Alice.")
        assert interfaces.waiting(five) == 5
    with transaction():
        assert interfaces.archive(five) == 5
    drain(five)
    assert states(waits) == ["cancelled"] * 5
    assert [len(receiver.requests) for receiver in receivers] == [0] * 5


def test_a_lead_taken_out_of_spam_goes_to_all_webhooks_once_and_is_mailed_once(
    five: Interface, receivers: list[Receiver], owner: User
) -> None:
    notify(five, "sales@example.com")
    with transaction():
        lead = Lead(account_id=owner.account_id, interface=five, fields=dict(ADA), source={}, spam="honeypot")
        db.session.add(lead)
    for _ in range(2):
        with transaction():
            leads.not_spam(owner.account_id, lead.public_id, owner.id)
    lead_id = lead.id
    drain(five)
    assert states(lead_id) == [DeliveryState.DELIVERED] * 5
    assert [len(receiver.requests) for receiver in receivers] == [1] * 5
    assert counted(Mail) == 1
