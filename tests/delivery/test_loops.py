"""A webhook that leads to a Leadhook form: real posts between real servers, and none goes round for ever."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.support.factories import ADA, delivery_of, point_at, submit
from tests.support.installations import Installation, listening
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver, answering
from webapp.db.transactions import disconnect, transaction
from webapp.delivery import lanes, ledger
from webapp.extensions import db
from webapp.ids import message_id
from webapp.models import Authentication, DeliveryState, Interface, Lane, User, WebhookState
from webapp.services.interfaces import interfaces
from webapp.services.leads import lead_detail, leads

MINE = "The Lead Webhook URL is a form of this Leadhook"
TOLD = {"leadhook-hops": "5"}


@pytest.fixture
def here(make_app: AppMaker) -> Iterator[Installation]:
    with listening(make_app()) as installation:
        yield installation


@pytest.fixture
def there(
    make_app: AppMaker, template_database: str, postgres: Postgres | None, tmp_path: Path
) -> Iterator[Installation]:
    """An installation with a database of its own."""
    home, more = tmp_path / "there", {}
    home.mkdir()
    name = postgres.borrow(template_database) if postgres else ""
    if postgres:
        more["DATABASE_URL"] = postgres.url(name)
    else:
        (home / "leadhook.sqlite3").write_bytes(Path(template_database).read_bytes())
    app = make_app(LEADHOOK_HOME=str(home), **more)
    with listening(app) as installation:
        yield installation
    with app.app_context():
        disconnect()
    if postgres:
        postgres.give_back(name, template_database)


def post(url: str, **headers: str) -> tuple[int, Any]:
    """A visitor's post; code and JSON of the answer."""
    asked = Request(url, json.dumps(ADA).encode(), {"Content-Type": "application/json", **headers})
    with urlopen(asked, timeout=20) as answer:
        return answer.status, json.load(answer)


def test_a_webhook_that_leads_to_its_own_form_by_another_name_makes_no_second_lead(here: Installation) -> None:
    here.point_at(here.form_url("localhost"))
    assert post(here.form_url())[0] == 201
    for _ in range(3):
        here.drain()
    assert len(here.leads()) == 1
    [delivery] = here.deliveries()
    assert (delivery.state, delivery.last_code, delivery.tries) == (DeliveryState.ON_HOLD, 508, 1)
    assert delivery.state_reason == ledger.LOOP_REASON
    assert "leads back to a form of the same Leadhook" in (delivery.last_response or "")
    assert delivery.due_at is None, "no try follows"


def test_two_installations_that_send_to_each_other_come_to_an_end(here: Installation, there: Installation) -> None:
    here.point_at(there.form_url())
    there.point_at(here.form_url())
    post(here.form_url())
    for _ in range(6):
        here.drain()
        there.drain()
    assert [lead.source.get("hops") for lead in here.leads()] == [None, 2, 4]
    assert [lead.source.get("hops") for lead in there.leads()] == [1, 3]
    states = [delivery.state for delivery in here.deliveries()]
    assert states == [DeliveryState.DELIVERED, DeliveryState.DELIVERED, DeliveryState.ON_HOLD]
    assert "five webhooks" in (here.deliveries()[-1].last_response or "")
    assert {delivery.state for delivery in there.deliveries()} == {DeliveryState.DELIVERED}


def test_what_is_sent_on_says_how_often_and_what_a_visitor_sent_does_not(
    here: Installation, there: Installation, receiver: Receiver
) -> None:
    here.point_at(there.form_url())
    there.point_at(receiver.url)
    post(here.form_url())
    here.drain()
    there.drain()
    [sent_on] = receiver.wait_for(1)
    assert sent_on.headers["leadhook-hops"] == "1"
    here.point_at(receiver.url)
    post(here.form_url())
    here.drain()
    assert "leadhook-hops" not in receiver.wait_for(2)[1].headers


# What a sender makes of the answers ----------------------------------------------------------------------------------


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    db.session.rollback()


@pytest.mark.parametrize(
    "path", ["/f/{}", "/f/{}?from=webhook", "/%66/{}", "/a/../f/{}", "//f/{}", "/f/{}/thank-you", "/f/if_of_nobody"]
)
def test_a_stored_url_that_is_our_own_form_is_not_sent_to(
    app: Flask, interface: Interface, path: str, client: FlaskClient
) -> None:
    ours = app.extensions["leadhook_config"].public_url
    point_at(interface, ours + path.format(interface.public_id))
    lead = submit(interface)
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.attempts) == (DeliveryState.ON_HOLD, [])
    assert delivery.state_reason.startswith(MINE)


def test_held_leads_go_out_when_the_url_is_repaired(app: Flask, interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    receiver.queue(answering(508, headers=TOLD.items()))
    lead = submit(interface)
    drain(interface)
    assert delivery_of(lead).state == DeliveryState.ON_HOLD
    with transaction():
        found = db.session.get_one(Interface, interface.id)
        released = interfaces.update_lead_generation(
            found, url=f"{receiver.url}/new", authentication=Authentication.NONE, shared_token=None
        )
    assert released == 1
    drain(interface)
    assert delivery_of(lead).state == DeliveryState.DELIVERED
    assert receiver.requests[-1].path.endswith("/new")


def test_a_508_of_another_server_is_tried_again(interface: Interface, receiver: Receiver) -> None:
    """Shared hosting answers 508 while a site uses too much of its server."""
    point_at(interface, receiver.url)
    receiver.answer(508, b"Resource Limit Is Reached")
    lead = submit(interface)
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.last_code, delivery.state_reason) == (DeliveryState.PENDING, 508, "")
    assert delivery.due_at is not None


@pytest.mark.parametrize("code", [400, 429, 500, 503, 409])
def test_the_header_alone_means_nothing(interface: Interface, receiver: Receiver, code: int) -> None:
    point_at(interface, receiver.url)
    receiver.answer(code, headers=TOLD.items())
    lead = submit(interface)
    drain(interface)
    assert delivery_of(lead).state == DeliveryState.PENDING


def test_a_test_lead_fails_and_says_why(app: Flask, owner: User, interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    receiver.answer(508, headers=[("Leadhook-Hops", "1")])
    with transaction():
        delivery = leads.send_test(db.session.get_one(Interface, interface.id), owner.id)
        lead = delivery.lead
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.state_reason) == (DeliveryState.FAILED, ledger.LOOP_REASON)


def test_a_retry_that_is_refused_again_is_held_again(owner: User, interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    receiver.answer(508, headers=TOLD.items())
    lead = submit(interface)
    drain(interface)
    lead_id, account_id, owner_id = lead.public_id, owner.account_id, owner.id
    with transaction():
        assert leads.retry(account_id, [lead_id], owner_id) == 1
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.retry_at, delivery.tries) == (DeliveryState.ON_HOLD, None, 1)
    assert len(delivery.attempts) == 2
    receiver.answer(200)
    with transaction():
        assert leads.retry(account_id, [lead_id], owner_id) == 1
    drain(interface)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.state_reason) == (DeliveryState.DELIVERED, "")


def test_the_other_leads_of_a_batch_are_sent(interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    receiver.queue(answering(200), answering(508, headers=TOLD.items()), answering(200))
    several = [submit(interface) for _ in range(3)]
    drain(interface)
    states = [delivery_of(lead).state for lead in several]
    assert states == [DeliveryState.DELIVERED, DeliveryState.ON_HOLD, DeliveryState.DELIVERED]
    lane = db.session.scalars(select(Lane)).one()
    assert (lane.failures, lane.slow_since) == (0, None)
    assert lane.webhook.state == WebhookState.ACTIVE


@pytest.mark.parametrize("hops", [1, 4])
def test_the_page_of_a_lead_shows_what_was_sent(
    app: Flask, signed_in: FlaskClient, interface: Interface, receiver: Receiver, hops: int
) -> None:
    point_at(interface, receiver.url)
    sent = {"webhook-id": message_id(), "leadhook-hops": str(hops - 1)}
    assert app.test_client().post(f"/f/{interface.public_id}", json=ADA, headers=sent).status_code == 201
    drain(interface)
    assert receiver.requests[0].headers["leadhook-hops"] == str(hops)
    lead = db.session.scalars(select(lead_detail.Lead)).one()
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert f"leadhook-hops: {hops}" in page
    assert f"by {hops} webhook" in page
