"""Webhooks with settings of their own: what their receivers get, and what becomes of leads that cannot be sent so."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.support.factories import ADA, point_at, sign, submit
from tests.support.receiver import Receiver
from tests.support.under_way import UnderWay
from webapp import jobs
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Lead, User, Webhook
from webapp.services.errors import Refused
from webapp.services.intake import capture, published_forms
from webapp.services.leads import leads
from webapp.services.webhooks import editing, webhooks
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.webhooks import signing


def added(interface: Interface, url: str, plan: Mapping[str, Any] | None = None, **wanted: Any) -> int:
    """Adds a webhook, and returns its id."""
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        return editing.add(live, Plan(url, wanted=Wanted(**wanted), **(plan or {}))).id


def sent(webhook_id: int) -> Delivery:
    """Drains the webhook; returns its newest delivery."""
    db.session.rollback()
    jobs.drain(webhook_id)
    with read_only():
        found = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc())
        delivery = db.session.scalars(found).first()
        assert delivery is not None
        db.session.expunge(delivery)
        return delivery


def test_a_receiver_gets_the_token_the_method_the_headers_and_the_format_that_were_set(
    interface: Interface, receiver: Receiver
) -> None:
    webhook_id = added(
        interface,
        receiver.url,
        authentication=Authentication.BEARER,
        secrets={"token": "abc.def"},
        custom_headers="X-Team: sales",
        stored={"method": "PUT", "format": "flat"},
    )
    submit(interface)
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    [request] = receiver.requests
    assert request.method == "PUT"
    assert request.headers["authorization"] == "Bearer abc.def"
    assert request.headers["x-team"] == "sales"
    assert json.loads(request.body)["email"] == ADA["email"]


def test_a_form_encoded_payload_says_so_and_is_signed_as_it_is(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    token, secret = sign(interface)
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        wanted = Wanted(Authentication.SHARED_TOKEN, {"format": "form"})
        editing.save(live.webhook, Plan(receiver.url, shared_token=token.public_id, wanted=wanted))
    submit(interface)
    assert sent(interface.webhook.id).content_type == "application/x-www-form-urlencoded"
    [request] = receiver.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    headers = request.headers
    signature = signing.sign([secret], headers["webhook-id"], int(headers["webhook-timestamp"]), request.body)
    assert headers["webhook-signature"] == signature


def test_a_lead_goes_only_to_the_webhooks_whose_condition_holds(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    rule = {"field": "message", "is": "contains", "value": "price"}
    webhook_id = added(interface, receiver.url, stored={"condition": {"match": "all", "rules": [rule]}})
    lead = submit(interface)
    assert [each.webhook.is_first for each in lead.deliveries] == [True]
    asks = submit(interface, {**ADA, "message": "What is the price?"})
    assert [each.webhook.is_first for each in asks.deliveries] == [True, False]
    assert sent(webhook_id).lead_id == asks.id


def test_a_lead_that_no_condition_lets_through_has_no_webhook(interface: Interface, receiver: Receiver) -> None:
    rule = {"field": "message", "is": "is", "value": "never"}
    added(interface, receiver.url, stored={"condition": {"match": "all", "rules": [rule]}})
    lead = submit(interface)
    assert (lead.no_webhook, lead.deliveries, lead.status) == (True, [], "No webhook")


TEMPLATE = '{"text": "{{ fields.name }}"}'


def test_a_lead_whose_payload_cannot_be_made_is_held_and_sent_once_the_template_is_mended(
    interface: Interface, receiver: Receiver
) -> None:
    number = '{"text": "{{ fields.message | number }}"}'
    webhook_id = added(interface, receiver.url, stored={"format": "template", "template": number})
    lead = submit(interface)
    held = sent(webhook_id)
    assert held.state == DeliveryState.ON_HOLD
    assert held.state_reason.startswith("The payload could not be made")
    assert receiver.requests == []
    with transaction():
        webhook = db.session.get_one(Webhook, webhook_id)
        wanted = Wanted(stored={"format": "template", "template": TEMPLATE})
        assert editing.save(webhook, Plan(receiver.url, wanted=wanted)) == 1
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    [request] = receiver.requests
    assert json.loads(request.body) == {"text": lead.name}


NUMBER = {"format": "template", "template": '{"text": "{{ fields.message | number }}"}'}


def saved(webhook_id: int, url: str, **stored: Any) -> int:
    with transaction():
        return editing.save(db.session.get_one(Webhook, webhook_id), Plan(url, wanted=Wanted(stored=stored)))


def test_a_lead_whose_payload_could_not_be_made_gets_leadhooks_json_once_the_template_is_taken_away(
    interface: Interface, receiver: Receiver
) -> None:
    webhook_id = added(interface, receiver.url, stored=NUMBER)
    lead = submit(interface)
    assert saved(webhook_id, receiver.url) == 1
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    [request] = receiver.requests
    assert json.loads(request.body)["data"]["lead"]["id"] == lead.public_id


def test_a_lead_whose_payload_still_cannot_be_made_stays_on_hold_with_the_reason(
    interface: Interface, receiver: Receiver
) -> None:
    webhook_id = added(interface, receiver.url, stored=NUMBER)
    submit(interface)
    assert saved(webhook_id, receiver.url, **{**NUMBER, "method": "PUT"}) == 0
    with transaction():
        webhooks.pause(db.session.get_one(Webhook, webhook_id), "Paused by Alice.")
        assert webhooks.resume(db.session.get_one(Webhook, webhook_id)) == 0
    held = sent(webhook_id)
    assert (held.state, held.state_reason[:27]) == (DeliveryState.ON_HOLD, "The payload could not be ma")
    assert receiver.requests == []


def test_no_empty_body_is_sent_even_by_a_webhook_without_settings_of_its_own(
    interface: Interface, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    lead = submit(interface)
    with transaction():
        db.session.execute(update(Delivery).where(Delivery.lead_id == lead.id).values(payload=b""))
    assert sent(interface.webhook.id).state == DeliveryState.ON_HOLD
    assert receiver.requests == []


def test_a_payload_that_is_made_while_its_batch_is_under_way_is_sent(interface: Interface, receiver: Receiver) -> None:
    webhook_id = added(interface, receiver.url, stored=NUMBER)
    lead = submit(interface)
    with transaction():
        leads.retry(interface.account_id, [lead.public_id], db.session.scalars(select(User.id)).one())
    under_way = UnderWay(webhook_id)
    saved(webhook_id, receiver.url)
    under_way.record()
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    assert [json.loads(request.body)["data"]["lead"]["id"] for request in receiver.requests] == [lead.public_id]


def test_a_payload_that_was_made_stays_as_it_is_when_the_template_is_changed(
    interface: Interface, receiver: Receiver
) -> None:
    webhook_id = added(interface, receiver.url, stored={"format": "template", "template": TEMPLATE})
    submit(interface)
    with transaction():
        wanted = Wanted(stored={"format": "template", "template": '{"other": 1}'})
        editing.save(db.session.get_one(Webhook, webhook_id), Plan(receiver.url, wanted=wanted))
    sent(webhook_id)
    assert [json.loads(request.body) for request in receiver.requests] == [{"text": ADA["name"]}]


def test_a_success_rule_decides_what_a_success_is(interface: Interface, receiver: Receiver) -> None:
    rule = {"body": {"is": "contains", "text": "accepted"}}
    webhook_id = added(interface, receiver.url, plan={"automatic_retries": False}, stored={"success": rule})
    submit(interface)
    delivery = sent(webhook_id)
    assert (delivery.state, delivery.last_code, delivery.last_error) == ("failed", 200, "not_accepted")


@pytest.mark.parametrize(
    ("wanted", "setting"),
    [
        ({"authentication": Authentication.BEARER}, "auth-bearer-token"),
        ({"stored": {"format": "template", "template": '{"a": "{{ fields.nmae }}"}'}}, "format-template-template"),
        ({"stored": {"format": "xml"}}, "format"),
        ({"stored": {"method": "GET"}}, "method"),
        ({"stored": {"condition": {"rules": [{"field": "shoe", "is": "is", "value": "44"}]}}}, "condition"),
        ({"custom_headers": "Host: example.com"}, "custom_headers"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_when_they_are_saved(
    interface: Interface, wanted: dict[str, Any], setting: str
) -> None:
    with pytest.raises(Refused) as refused:
        added(interface, "https://example.com/", **wanted)
    assert refused.value.field == setting


def test_secrets_stay_until_new_ones_are_given_and_are_stored_encrypted(
    interface: Interface, receiver: Receiver
) -> None:
    secret = {"authentication": Authentication.BEARER, "secrets": {"token": "first-token"}}
    webhook_id = added(interface, receiver.url, **secret)
    with transaction():
        webhook = db.session.get_one(Webhook, webhook_id)
        assert b"first-token" not in (webhook.secrets_encrypted or b"")
        editing.save(webhook, Plan(receiver.url, name="CRM", wanted=Wanted(Authentication.BEARER)))
    submit(interface)
    sent(webhook_id)
    assert receiver.requests[0].headers["authorization"] == "Bearer first-token"


def test_an_interface_has_twenty_webhooks_at_most(interface: Interface) -> None:
    for number in range(19):
        added(interface, f"https://example.com/{number}")
    with pytest.raises(Refused, match="20 webhooks at most"):
        added(interface, "https://example.com/one-more")


def test_a_removed_webhook_cancels_what_waits_and_gets_no_leads(interface: Interface, receiver: Receiver) -> None:
    webhook_id = added(interface, receiver.url)
    lead = submit(interface)
    with transaction():
        assert editing.remove(db.session.get_one(Webhook, webhook_id)) == 1
    assert sent(webhook_id).state_reason == "The webhook was removed."
    assert submit(interface).deliveries == []
    assert receiver.requests == []
    assert db.session.get_one(Lead, lead.id).status == "Cancelled"


def test_the_first_webhook_cannot_be_removed(interface: Interface) -> None:
    with pytest.raises(Refused, match="stays"), transaction():
        editing.remove(db.session.get_one(Interface, interface.id).webhook)


def test_spam_that_a_condition_lets_through_is_sent_and_can_be_sent_again(
    interface: Interface, receiver: Receiver
) -> None:
    rule = {"field": "spam", "is": "is", "value": "yes"}
    webhook_id = added(interface, receiver.url, stored={"condition": {"match": "all", "rules": [rule]}})
    assert submit(interface).deliveries == []
    with transaction():
        form = published_forms.get(interface.public_id)
        spam = capture.new_lead(form.interface, ADA, {}, spam="honeypot")
        capture.capture([capture.Submission(form, spam)])
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    with transaction():
        assert leads.retry(interface.account_id, [spam.public_id], user_id=1) == 1
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    assert len(receiver.requests) == 2
