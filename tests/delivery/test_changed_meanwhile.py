"""Settings and fields that change between a lead's arrival and its sending: no lead is sent empty, held for nothing, or
sent with the secret of another receiver."""

import json
from typing import Any

import pytest
from sqlalchemy import update

from tests.delivery.test_connecting import added, sent
from tests.support.factories import ADA, point_at, submit
from tests.support.lanes import taken
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.delivery import examining as examinations
from webapp.delivery.sending import Sending
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Webhook
from webapp.services.errors import Refused
from webapp.services.interfaces import fields, interfaces
from webapp.services.leads import examining
from webapp.services.webhooks import editing, rotating
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

NO_NUMBER = {"format": "template", "template": '{"text": "{{ fields.message | number }}"}'}
TEMPLATE = {"format": "template", "template": '{"name": "{{ fields.name }}", "text": "{{ fields.message }}"}'}
CONDITION = {"condition": {"match": "all", "rules": [{"field": "message", "is": "empty", "value": ""}]}}
WITHOUT_MESSAGE = {key: value for key, value in ADA.items() if key != "message"}


def saved(webhook_id: int, url: str, **wanted: Any) -> int:
    with transaction():
        return editing.save(db.session.get_one(Webhook, webhook_id), Plan(url, wanted=Wanted(**wanted)))


def removed(interface: Interface, key: str) -> None:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        fields.remove(live, next(field for field in live.fields if field.key == key))


@pytest.mark.parametrize("custom_headers", ["", "X-Team: sales"])
def test_a_held_lead_is_sent_as_json_once_its_template_is_taken_away(
    interface: Interface, receiver: Receiver, custom_headers: str
) -> None:
    webhook_id = added(interface, receiver.url, stored=NO_NUMBER, custom_headers=custom_headers)
    submit(interface)
    assert sent(webhook_id).state == DeliveryState.ON_HOLD
    assert saved(webhook_id, receiver.url, custom_headers=custom_headers) == 1
    assert sent(webhook_id).state == DeliveryState.DELIVERED
    [request] = receiver.requests
    assert json.loads(request.body)["data"]["lead"]["fields"]["name"] == ADA["name"]


def test_a_delivery_without_a_payload_is_held_and_never_sent(interface: Interface, receiver: Receiver) -> None:
    """As after a save that could not make all of many payloads."""
    point_at(interface, receiver.url)
    submit(interface)
    with transaction():
        db.session.execute(update(Delivery).values(payload=b""))
    webhook_id = interface.webhook.id
    assert sent(webhook_id).state == DeliveryState.ON_HOLD
    assert receiver.requests == []
    assert saved(webhook_id, receiver.url) == 1
    assert sent(webhook_id).state == DeliveryState.DELIVERED


@pytest.mark.parametrize("stored", [TEMPLATE, CONDITION])
@pytest.mark.parametrize("is_carried", [True, False])
def test_a_field_that_is_removed_holds_no_lead(
    interface: Interface, receiver: Receiver, stored: dict[str, Any], is_carried: bool
) -> None:
    if is_carried:  # then its row is kept
        submit(interface)
    webhook_id = added(interface, receiver.url, stored=stored)
    removed(interface, "message")
    submit(interface, WITHOUT_MESSAGE)
    assert sent(webhook_id).state == DeliveryState.DELIVERED


@pytest.mark.parametrize("stored", [TEMPLATE, CONDITION])
def test_other_settings_can_be_saved_after_it_and_a_new_template_cannot_name_it(
    interface: Interface, receiver: Receiver, stored: dict[str, Any]
) -> None:
    point_at(interface, receiver.url)
    saved(interface.webhook.id, receiver.url, stored=stored)
    removed(interface, "message")
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        none = Authentication.NONE
        interfaces.update_lead_generation(live, url=receiver.url + "/new", authentication=none, shared_token=None)
        assert (live.webhook.url, live.webhook.connection) == (receiver.url + "/new", stored)
    other = {"format": "template", "template": '{"other": "{{ fields.message }}"}'}
    with pytest.raises(Refused, match="message"):
        saved(interface.webhook.id, receiver.url, stored=other)


def test_a_new_secret_never_goes_to_the_url_from_before(interface: Interface, receiver: Receiver) -> None:
    with Receiver() as old:
        wish = {"authentication": Authentication.BEARER}
        webhook_id = added(interface, old.url, secrets={"token": "of-the-old-receiver"}, **wish)
        submit(interface)
        db.session.rollback()
        _, batch = taken(webhook_id)
        saved(webhook_id, receiver.url, secrets={"token": "of-the-new-receiver"}, **wish)
        db.session.rollback()
        Sending(batch, lambda: False).run()
        assert old.requests == []
    assert [request.headers["authorization"] for request in receiver.requests] == ["Bearer of-the-new-receiver"]


def test_a_verdict_about_a_secret_that_was_replaced_meanwhile_is_not_kept(
    interface: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        plan, _ = editing.with_new_secret(interface.webhook, Plan(receiver.url, wanted=Wanted(Authentication.V1A)))
        webhook_id = editing.add(db.session.get_one(Interface, interface.id), plan).id
    with transaction():
        examining.begin(db.session.get_one(Webhook, webhook_id))
    db.session.rollback()
    letters = examining.letters_of(webhook_id)
    db.session.rollback()
    send = examinations._outcomes

    def rotated_meanwhile(*given: Any) -> Any:
        found = send(*given)
        with transaction():
            rotating.rotate(db.session.get_one(Webhook, webhook_id))
        return found

    monkeypatch.setattr(examinations, "_outcomes", rotated_meanwhile)
    examinations.examine(webhook_id, letters)
    assert receiver.requests
    assert db.session.get_one(Webhook, webhook_id, populate_existing=True).examination is None
