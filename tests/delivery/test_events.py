"""Events of an account: which are sent, what they say, and that there are none about themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.support.factories import ADA, captured, point_at, submit
from tests.support.receiver import Receiver, free_port
from tests.support.under_way import UnderWay
from webapp import jobs
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lane, Lead, Webhook
from webapp.services.errors import Refused
from webapp.services.intake import capture, published_forms
from webapp.services.webhooks import editing, operational, webhooks
from webapp.services.webhooks.editing import Plan
from webapp.services.webhooks.operational import EventPlan


@pytest.fixture
def operator_url(interface: Interface, receiver: Receiver) -> str:
    """The receiver gets the events; the interface's own webhook points nowhere."""
    with transaction():
        operational.save(interface.account_id, EventPlan(receiver.url, None))
    point_at(interface, f"http://127.0.0.1:{free_port()}/", automatic_retries=False)
    return receiver.url


def drain(webhook_id: int) -> None:
    """Without a transaction of ours, which would lock out the drain on SQLite."""
    db.session.rollback()
    jobs.drain(webhook_id)


def events_sent(interface: Interface, receiver: Receiver) -> list[dict[str, Any]]:
    webhook = operational.get(interface.account_id)
    assert webhook is not None
    drain(webhook.id)
    return [json.loads(request.body) for request in receiver.requests]


def fail(interface: Interface) -> Lead:
    lead = submit(interface)
    drain(interface.webhook.id)
    return lead


def test_a_lead_that_is_not_tried_again_makes_an_event(
    interface: Interface, receiver: Receiver, operator_url: str
) -> None:
    lead = fail(interface)
    [event] = events_sent(interface, receiver)
    assert event["type"] == "delivery.failed"
    assert event["data"]["lead"] == {"id": lead.public_id}
    assert event["data"]["interface"] == {"id": interface.public_id, "name": interface.name}
    assert event["data"]["delivery"]["error"] == "refused"
    assert "127.0.0.1" not in json.dumps(event)


def test_a_lead_that_is_tried_again_makes_none(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    point_at(interface, interface.webhook.url or "", automatic_retries=True)
    fail(interface)
    assert events_sent(interface, receiver) == []


def test_a_pause_makes_an_event_with_its_reason(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    with transaction():
        webhooks.pause(db.session.get_one(Interface, interface.id).webhook, "Paused by Alice.")
    [event] = events_sent(interface, receiver)
    assert (event["type"], event["data"]["reason"]) == ("webhook.paused", "Paused by Alice.")


def test_spam_makes_an_event(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    with transaction():
        form = published_forms.get(interface.public_id)
        lead = capture.new_lead(form.interface, ADA, {}, spam="honeypot")
        capture.capture([capture.Submission(form, lead)])
    [event] = events_sent(interface, receiver)
    assert (event["type"], event["data"]["lead"]["id"]) == ("lead.spam", lead.public_id)


def test_only_the_chosen_events_are_sent(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    with transaction():
        operational.save(interface.account_id, EventPlan(receiver.url, None, ["webhook.paused"]))
    fail(interface)
    assert events_sent(interface, receiver) == []


def test_the_events_own_failures_make_no_event_and_no_mail(interface: Interface, operator_url: str) -> None:
    with transaction():
        webhook = operational.save(interface.account_id, EventPlan(f"http://127.0.0.1:{free_port()}/", None))
        webhook.automatic_retries = False
        webhook_id = webhook.id
    fail(interface)
    drain(webhook_id)
    with read_only():
        found = db.session.scalars(select(Delivery).where(Delivery.webhook_id == webhook_id)).all()
        assert [(each.event, each.state) for each in found] == [("delivery.failed", "failed")]
        assert db.session.get_one(Webhook, webhook_id).report_due_at is None


def test_a_shadow_makes_no_event_and_no_mail(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        live.webhook.url = receiver.url
        shadow = editing.add(live, Plan(f"http://127.0.0.1:{free_port()}/", is_shadow=True, automatic_retries=False))
        shadow_id = shadow.id
    with transaction():
        lead_id = captured(interface.public_id, ADA).id
    first_id = interface.webhook.id
    drain(shadow_id)
    drain(first_id)
    with read_only():
        assert db.session.get_one(Webhook, shadow_id).report_due_at is None
        lead = db.session.get_one(Lead, lead_id)
        assert (lead.status, len(lead.deliveries), len(lead.counted)) == ("Delivered", 2, 1)
        db.session.rollback()
    assert [event["type"] for event in events_sent(interface, receiver)] == ["lead.created"]


def test_no_event_is_written_for_an_account_without_a_url(interface: Interface) -> None:
    point_at(interface, f"http://127.0.0.1:{free_port()}/", automatic_retries=False)
    fail(interface)
    with read_only():
        assert db.session.scalars(select(Delivery.event)).all() == [None]


def test_a_removed_url_cancels_what_waits(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    fail(interface)
    with transaction():
        webhook = operational.get(interface.account_id)
        assert webhook is not None
        assert operational.remove(webhook) == 1
    assert operational.get(interface.account_id) is None


@pytest.mark.parametrize("plan", [EventPlan("ftp://example.com", None), EventPlan("https://example.com", None, [])])
def test_a_plan_that_cannot_be_used_is_refused(interface: Interface, plan: EventPlan) -> None:
    with pytest.raises(Refused):
        operational.save(interface.account_id, plan)


def test_an_event_has_the_shape_that_the_docs_show(interface: Interface, receiver: Receiver, operator_url: str) -> None:
    fail(interface)
    [event] = events_sent(interface, receiver)
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert _shape(event) == _shape(shown)


def _shape(value: Any) -> Any:
    return {key: _shape(part) for key, part in value.items()} if isinstance(value, dict) else type(value)


def events_written() -> int:
    with read_only():
        return len(db.session.scalars(select(Delivery.id).where(Delivery.event == "delivery.failed")).all())


def test_a_record_that_is_made_again_writes_no_second_event(interface: Interface, operator_url: str) -> None:
    """As after a COMMIT whose answer was lost, with the lane still locked."""
    for _ in range(3):
        submit(interface)
    under_way = UnderWay(interface.webhook.id)
    under_way.record(keeps=True)
    assert events_written() == 3
    under_way.record(keeps=True)
    assert events_written() == 3


def test_a_record_that_lost_its_lane_writes_no_event(interface: Interface, operator_url: str) -> None:
    submit(interface)
    late = UnderWay(interface.webhook.id)
    with transaction():
        db.session.execute(update(Lane).values(lease_until=0.0))
    drain(interface.webhook.id)
    assert events_written() == 1
    late.record()
    assert events_written() == 1


def test_a_delivery_that_was_cancelled_while_it_was_sent_makes_no_event(
    interface: Interface, receiver: Receiver, operator_url: str
) -> None:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        plan = Plan(f"http://127.0.0.1:{free_port()}/", automatic_retries=False)
        webhook_id = editing.add(live, plan).id
    submit(interface)
    under_way = UnderWay(webhook_id)
    with transaction():
        assert editing.remove(db.session.get_one(Webhook, webhook_id)) == 1
    under_way.record()
    assert events_written() == 0
