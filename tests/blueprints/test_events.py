"""The page of an account's events."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.factories import sign
from tests.support.people import as_user, join
from tests.support.receiver import Receiver
from webapp import jobs
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, Interface, Role, User, Webhook, WebhookState
from webapp.services.webhooks import operational, webhooks

ALL = ["delivery.failed", "webhook.paused", "webhook.recovered", "lead.spam"]


def saved(signed_in: FlaskClient, url: str, **more: object) -> Webhook:
    data = {"webhook_url": url, "events": ALL, "shared_token": "", **more}
    assert signed_in.post("/events", data=data).status_code == 303
    return db.session.scalars(select(Webhook).where(Webhook.interface_id.is_(None))).one()


def test_a_url_is_saved_signed_tried_and_removed(
    signed_in: FlaskClient, interface: Interface, receiver: Receiver
) -> None:
    token, _ = sign(interface)
    token_id = token.public_id
    webhook_id = saved(signed_in, receiver.url, shared_token=token_id, events=["lead.spam"]).id
    page = signed_in.get("/events").text
    assert receiver.url in page
    assert f'<option selected value="{token_id}">' in page
    signed_in.post("/events/test")
    db.session.rollback()
    jobs.drain(webhook_id)
    [request] = receiver.requests
    assert b'"type":"event.test"' in request.body
    assert "webhook-signature" in request.headers
    assert "Test event" in signed_in.get("/events").text
    signed_in.post("/events/remove")
    assert receiver.url not in signed_in.get("/events").text


def test_saving_again_changes_the_same_webhook(signed_in: FlaskClient, interface: Interface) -> None:
    first = saved(signed_in, "https://example.com/a").id
    assert saved(signed_in, "https://example.com/b").id == first


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"webhook_url": "", "events": ALL}, "Enter the URL"),
        ({"webhook_url": "ftp://example.com", "events": ALL}, "http"),
        ({"webhook_url": "https://example.com/", "events": []}, "Choose one event"),
        ({"webhook_url": "https://example.com/", "events": ["lead.created"]}, "Choose one event"),
        ({"webhook_url": "https://example.com/", "events": ALL, "shared_token": "key_x"}, "does not exist any more"),
    ],
)
def test_what_cannot_be_saved_is_refused_with_a_sentence(
    signed_in: FlaskClient, interface: Interface, data: dict[str, object], words: str
) -> None:
    answer = signed_in.post("/events", data=data)
    assert (answer.status_code, words in answer.text) == (422, True)
    assert operational.get(interface.account_id) is None


def test_a_paused_one_is_resumed_here(signed_in: FlaskClient, interface: Interface) -> None:
    webhook = saved(signed_in, "https://example.com/")
    with transaction():
        webhooks.pause(db.session.get_one(Webhook, webhook.id), "The receiver answered 410 Gone.")
    page = signed_in.get("/events").text
    assert "The receiver answered 410 Gone." in page
    assert "Send test event" not in page
    signed_in.post("/events/test")
    assert db.session.scalars(select(Delivery)).all() == []
    signed_in.post("/events/resume")
    assert db.session.get_one(Webhook, webhook.id, populate_existing=True).state == WebhookState.ACTIVE


@pytest.mark.parametrize("address", ["/events/test", "/events/resume", "/events/remove"])
def test_nothing_happens_without_a_url(signed_in: FlaskClient, interface: Interface, address: str) -> None:
    assert signed_in.post(address).status_code == 303


@pytest.mark.parametrize("role", [Role.EDITOR, Role.LEADS_ONLY])
def test_only_admins_see_it(app: Flask, owner: User, role: Role) -> None:
    assert as_user(app, join(owner, role)).get("/events").status_code == 403
