"""What becomes of a lead, its lane and its webhook when a Success rule has judged an answer."""

from typing import Any

import pytest
from sqlalchemy import func, select

from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Receiver
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Lead, ReportEntry, ReportKind, User, WebhookState
from webapp.services.leads import lead_detail, leads
from webapp.webhooks.outcome import ErrorKind

MUST_SAY_OK = {"body": {"is": "contains", "text": "ok"}}


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    return interface


def deliver(interface: Interface, rule: dict[str, Any]) -> None:
    """Gives the webhook this rule, and sends what is due."""
    point_at(interface, interface.webhook.url or "", connection={"success": rule} if rule else None)
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def delivered(interface: Interface, rule: dict[str, Any]) -> Delivery:
    """A new lead's delivery after its first try."""
    lead = submit(interface)
    deliver(interface, rule)
    return delivery_of(lead)


def reported() -> list[ReportKind]:
    with read_autocommit() as connection:
        return list(connection.scalars(select(ReportEntry.kind).order_by(ReportEntry.id)))


def lane() -> Any:
    with read_autocommit() as connection:
        return connection.execute(select(Lane.failures, Lane.succeeded_at)).one()


def state(interface: Interface) -> tuple[WebhookState, str]:
    db.session.rollback()
    webhook = db.session.get_one(Interface, interface.id).webhook
    return webhook.state, webhook.state_reason


def test_a_200_that_the_rule_refuses_is_tried_again_and_reported(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(200, b"no")
    found = delivered(pointed, MUST_SAY_OK)
    assert (found.state, found.last_code, found.last_error) == (DeliveryState.PENDING, 200, ErrorKind.NOT_ACCEPTED)
    assert found.due_at is not None
    assert lead_detail.code_words(found.attempts[0]) == "OK, refused by the Success rule"
    assert reported() == [ReportKind.FAILED]
    assert lane() == (1, None)


def test_a_302_that_the_rule_takes_is_delivered(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(302, b"ok")
    found = delivered(pointed, {"codes": "302", **MUST_SAY_OK})
    assert (found.state, found.last_code, found.last_error) == (DeliveryState.DELIVERED, 302, None)
    assert lead_detail.code_words(found.attempts[0]) == "Found, accepted by the Success rule"
    assert lead_detail.response(found.attempts[0]).startswith("302 Found\n")
    assert reported() == []
    assert lane().failures == 0
    assert lane().succeeded_at is not None


def test_a_403_that_is_given_up_is_not_tried_again(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(403)
    found = delivered(pointed, {"give_up": "403"})
    assert (found.state, found.due_at, found.tries) == (DeliveryState.FAILED, None, 1)
    assert reported() == [ReportKind.FAILED]
    assert state(pointed)[0] == WebhookState.ACTIVE
    again = delivered(pointed, {})
    assert again.state == DeliveryState.PENDING


def test_an_answer_that_holds_keeps_the_lead_with_its_words(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(400, b"invalid_payload")
    rule = {"stops": [{"text": "invalid_payload", "then": "hold", "words": "Slack cannot read this payload."}]}
    found = delivered(pointed, rule)
    assert found.state == DeliveryState.ON_HOLD
    assert found.state_reason.startswith("Slack cannot read this payload. The lead is sent when")
    assert state(pointed)[0] == WebhookState.ACTIVE


def test_a_test_lead_fails_instead_of_being_held(pointed: Interface, receiver: Receiver, owner: User) -> None:
    receiver.answer(400)
    with transaction():
        leads.send_test(db.session.get_one(Interface, pointed.id), owner.id)
    deliver(pointed, {"stops": [{"code": 400, "then": "hold"}]})
    lead = db.session.scalars(select(Lead)).one()
    assert delivery_of(lead).state == DeliveryState.FAILED


def test_an_answer_that_pauses_holds_the_other_leads(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(404, b'{"code": 10015}')
    rule = {"stops": [{"code": 404, "text": "10015", "then": "pause", "words": "Discord has deleted this webhook."}]}
    first, other = submit(pointed), submit(pointed)
    deliver(pointed, rule)
    assert len(receiver.requests) == 1
    assert state(pointed) == (WebhookState.PAUSED, "Discord has deleted this webhook.")
    assert (delivery_of(first).state, delivery_of(other).state) == (DeliveryState.FAILED, DeliveryState.ON_HOLD)
    assert reported() == [ReportKind.FAILED, ReportKind.PAUSED]


def test_a_410_with_words_of_its_own_pauses_with_them(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(410, b"channel_is_archived")
    found = delivered(pointed, {"stops": [{"code": 410, "then": "pause", "words": "The channel is archived."}]})
    assert found.state == DeliveryState.FAILED
    assert state(pointed) == (WebhookState.PAUSED, "The channel is archived.")


def test_a_test_lead_pauses_nothing(pointed: Interface, receiver: Receiver, owner: User) -> None:
    receiver.answer(410)
    with transaction():
        leads.send_test(db.session.get_one(Interface, pointed.id), owner.id)
    deliver(pointed, {"stops": [{"code": 410, "then": "pause"}]})
    assert state(pointed)[0] == WebhookState.ACTIVE


def test_a_retry_by_hand_while_tries_are_due_leaves_them(pointed: Interface, receiver: Receiver, owner: User) -> None:
    receiver.answer(503)
    lead = submit(pointed)
    deliver(pointed, {})
    due_at = delivery_of(lead).due_at
    receiver.answer(403)
    with transaction():
        assert leads.retry(lead.account_id, [lead.public_id], owner.id) == 1
    deliver(pointed, {"give_up": "403"})
    found = delivery_of(lead)
    assert (found.state, found.due_at, found.tries) == (DeliveryState.PENDING, due_at, 1)


def test_ordinary_answers_are_recorded_as_before(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(410)
    found = delivered(pointed, {})
    assert found.last_error == ErrorKind.HTTP_4XX
    paused, reason = state(pointed)
    assert paused == WebhookState.PAUSED
    assert reason.startswith("The receiver answered 410 Gone")
    with read_autocommit() as connection:
        assert connection.scalar(select(func.count()).select_from(ReportEntry)) == 2
