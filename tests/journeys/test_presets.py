"""A webhook that is filled in with a preset: from its page to its receiver, and back with the receiver's answer."""

import json
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.factories import ADA, submit
from tests.support.filled_forms import form_of
from tests.support.receiver import Receiver
from webapp import jobs
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, Interface, Webhook
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.presets.catalogue import PRESETS
from webapp.webhooks.success_rules import SuccessRule


@pytest.fixture
def webhook(interface: Interface, receiver: Receiver) -> Webhook:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        return editing.add(live, Plan(receiver.url, "Sales", automatic_retries=True))


def filled_in(client: FlaskClient, webhook: Webhook, preset: str, **changes: str) -> Any:
    """Saves the page as the preset fills it in, with what the operator has to replace."""
    page = client.get(f"/webhooks/{webhook.public_id}?preset={preset}")
    sent = {**form_of(page.text, "settings"), **changes}
    answer = client.post(
        f"/webhooks/{webhook.public_id}", data={name: own(text, preset) for name, text in sent.items()}
    )
    db.session.expire_all()
    return answer


def own(text: str, preset: str) -> str:
    """With values of one's own where the preset has words to replace."""
    for word in PRESETS[preset].fill_in:
        text = text.replace(word, "00Dx1")
    return text


def delivered(webhook: Webhook) -> Delivery:
    webhook_id = webhook.id
    db.session.rollback()
    jobs.drain(webhook_id)
    db.session.expire_all()
    newest = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc())
    delivery = db.session.scalars(newest).first()
    assert delivery is not None
    return delivery


def test_a_lead_reaches_slack_as_blocks_and_an_archived_channel_pauses_the_webhook(
    signed_in: FlaskClient, interface: Interface, webhook: Webhook, receiver: Receiver
) -> None:
    assert filled_in(signed_in, webhook, "slack").status_code == 303
    receiver.answer(200, b"ok", [("content-type", "text/plain")])
    submit(interface)
    assert delivered(webhook).state == "delivered"
    [request] = receiver.requests
    assert request.headers["content-type"] == "application/json"
    message = json.loads(request.body)
    assert message["text"] == f"New lead: {ADA['name']}"
    assert {"type": "mrkdwn", "text": f"*Email*\n{ADA['email']}"} in message["blocks"][1]["fields"]
    receiver.answer(410, b"channel_is_archived", [("content-type", "text/plain")])
    submit(interface)
    assert delivered(webhook).state == "failed", "and it goes out with Retry Webhook"
    assert (webhook.state, len(receiver.requests)) == ("paused", 2)
    assert "The Slack channel is archived." in unescape(signed_in.get(f"/webhooks/{webhook.public_id}").text)


def test_a_form_for_salesforce_is_refused_by_a_header_although_the_code_is_200(
    signed_in: FlaskClient, interface: Interface, webhook: Webhook, receiver: Receiver
) -> None:
    assert filled_in(signed_in, webhook, "salesforce_web_to_lead").status_code == 303
    receiver.answer(200, b"", [("is-processed", "true Exception:common.exception.SalesforceGenericException")])
    submit(interface)
    delivery = delivered(webhook)
    assert (delivery.state, delivery.last_code) == ("held", 200)
    [request] = receiver.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"oid=00Dx1&" in request.body


def test_the_url_for_discord_asks_it_to_wait(signed_in: FlaskClient, webhook: Webhook, receiver: Receiver) -> None:
    assert filled_in(signed_in, webhook, "discord").status_code == 303
    assert webhook.url == f"{receiver.url}?wait=true"


SECRETS = {
    "header": {"auth-header-value": "abc"},
    "oauth2": {
        "auth-oauth2-token_url": "https://login.example.com/token",
        "auth-oauth2-client_id": "id",
        "auth-oauth2-client_secret": "abc",
    },
}


def test_every_preset_fills_in_a_page_that_can_be_saved(signed_in: FlaskClient, webhook: Webhook) -> None:
    for name, preset in PRESETS.items():
        answer = filled_in(signed_in, webhook, name, **SECRETS.get(preset.authentication, {}))
        assert answer.status_code == 303, answer.text
        stored = webhook.connection or {}
        assert (stored["preset"], stored["format"]) == (name, preset.format)
        assert json.loads(stored.get("template", "null")) == json.loads(own(preset.template, name) or "null")
        assert stored.get("encode", "json") == preset.encode
        assert SuccessRule.of(stored["success"]) == SuccessRule.of(preset.answer)


def test_a_template_with_a_mistake_is_shown_with_its_place_and_nothing_is_saved(
    signed_in: FlaskClient, webhook: Webhook
) -> None:
    broken = '{\n  "text": "{{ fields.emial }}"\n}'
    answer = filled_in(signed_in, webhook, "slack", **{"format-template-template": broken})
    assert answer.status_code == 422
    expected = "Line 2, column 15, in text: “emial” is not known in fields. Did you mean “email”?"
    assert expected in unescape(answer.text)
    assert webhook.connection is None
