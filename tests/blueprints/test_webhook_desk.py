"""A webhook's page beside its settings: Examine my receiver, the queue, a shadow's comparison, Switch over."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.examined import Examined
from tests.support.factories import ADA, point_at, sign, submit
from tests.support.webhook_pages import HTMX, add, path
from webapp import jobs
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Delivery, DeliveryState, Interface, Webhook
from webapp.services import api_keys
from webapp.services.leads import examining
from webapp.services.webhooks import connections, webhooks
from webapp.services.webhooks.connections import Wanted

FORGED = "Your endpoint answered 200 to a forged lead: it does not verify signatures."


@pytest.fixture
def receivers(interface: Interface) -> Iterator[Examined]:
    point_at(interface, "http://127.0.0.1:9/")
    with Examined(sign(interface)[1]) as receivers:
        yield receivers


def plain(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def tab(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}/edit/lead-generation"


def examine(client: FlaskClient, interface: Interface, url: str) -> str:
    """The page of the verdict, once the worker's job is done."""
    point_at(interface, url)
    webhook = interface.webhook
    there = path(webhook, "/examination")
    webhook_id = webhook.id
    answer = client.post(there)
    assert (answer.status_code, answer.location) == (303, there)
    db.session.rollback()
    jobs.examine(webhook_id)
    return client.get(there).text


def test_the_button_stands_on_both_pages_with_its_warning(
    signed_in: FlaskClient, interface: Interface, receivers: Examined
) -> None:
    for page in (path(interface.webhook), tab(interface)):
        text = signed_in.get(page).text
        assert "Examine my receiver" in text
        assert 'data-dialog="examine"' in text
        assert "A receiver that does not verify may make eight records." in plain(text)


@pytest.mark.parametrize("authentication", [Authentication.NONE, Authentication.BEARER])
def test_without_a_signature_there_is_nothing_to_examine(
    signed_in: FlaskClient, interface: Interface, authentication: Authentication
) -> None:
    wanted = Wanted(authentication, secrets={"token": "a-token-of-the-crm"})
    webhook = add(interface, wanted=wanted)
    assert "Examine my receiver" not in signed_in.get(path(webhook)).text
    there = path(webhook, "/examination")
    assert "Choose an authentication with a signature first." in plain(signed_in.get(there).text)
    answer = signed_in.post(there)
    assert answer.status_code == 422
    assert "Choose an authentication with a signature first: without one" in plain(answer.text)


def test_a_receiver_that_verifies_gets_its_badge_everywhere(
    signed_in: FlaskClient, interface: Interface, receivers: Examined
) -> None:
    add(interface)  # with one webhook there is no list of them
    assert "Verified receiver" not in plain(signed_in.get(path(interface.webhook)).text)
    page = plain(examine(signed_in, interface, receivers.url("right")))
    assert "Verified receiver Your endpoint verifies signatures" in page
    assert page.count("Right") == 7
    assert page.count("Not clear") == 1
    assert "A lead with an empty signature Right 401 Answered 401. It refused it." in page
    for shown in (path(interface.webhook), tab(interface), "/interfaces"):
        assert "Verified receiver" in plain(signed_in.get(shown).text), shown
    assert "Examine again" in signed_in.get(tab(interface)).text


def test_a_receiver_that_takes_everything_is_told_so_in_words(
    signed_in: FlaskClient, interface: Interface, receivers: Examined
) -> None:
    page = plain(examine(signed_in, interface, receivers.url("verifies_nothing")))
    assert f"Not verified {FORGED} just now" in page
    assert page.count("Wrong") == 5
    assert f"Not verified {FORGED}" in plain(signed_in.get(tab(interface)).text)
    assert "Verified receiver" not in signed_in.get("/interfaces").text


def test_the_page_polls_until_there_is_a_verdict(
    signed_in: FlaskClient, interface: Interface, receivers: Examined
) -> None:
    point_at(interface, receivers.url("right"))
    webhook_id, there = interface.webhook.id, path(interface.webhook, "/examination")
    signed_in.post(there)
    part = signed_in.get(there, headers=HTMX).text
    assert "<main" not in part
    assert f'hx-get="{there}" hx-trigger="every 700ms"' in part
    assert "It is being examined" in signed_in.get(path(interface.webhook)).text
    again = signed_in.post(there)
    assert (again.status_code, "being examined right now" in again.text) == (422, True)
    db.session.rollback()
    jobs.examine(webhook_id)
    part = signed_in.get(there, headers=HTMX).text
    assert "hx-trigger" not in part
    assert "Verified receiver" in part


def test_one_that_no_worker_examined_can_be_examined_again(
    signed_in: FlaskClient, interface: Interface, receivers: Examined
) -> None:
    with transaction():
        webhook = db.session.get_one(Webhook, interface.webhook.id)
        webhook.examination = {"since": (utcnow() - examining.PATIENCE).isoformat()}
    page = signed_in.get(path(interface.webhook, "/examination")).text
    assert "No verdict" in page
    assert "hx-trigger" not in page
    assert signed_in.post(path(interface.webhook, "/examination")).status_code == 303


@pytest.mark.parametrize("change", ["rotated", "another URL"])
def test_it_is_offered_again_when_what_was_seen_is_not_about_it_any_more(
    signed_in: FlaskClient, interface: Interface, receivers: Examined, change: str
) -> None:
    examine(signed_in, interface, receivers.url("right"))
    token = db.session.scalars(select(ApiKey)).one()
    if change == "rotated":
        with transaction():
            api_keys.rotate(db.session.get_one(ApiKey, token.id), api_keys.LONGEST_OVERLAP)
    else:
        form = {"webhook_url": "http://127.0.0.1:9/", "authentication": "shared", "shared_token": token.public_id}
        assert signed_in.post(tab(interface), data={**form, "parallel_requests": "1"}).status_code == 303
    page = plain(signed_in.get(path(interface.webhook)).text)
    assert "It was not examined with the URL and the secret that it has now." in page
    assert "Verified receiver" not in page


def test_a_paused_webhook_is_not_examined_and_says_so(
    signed_in: FlaskClient, interface: Interface, receivers: Examined
) -> None:
    with transaction():
        webhooks.pause(db.session.get_one(Webhook, interface.webhook.id), "Paused by Alice.")
    answer = signed_in.post(path(interface.webhook, "/examination"))
    assert answer.status_code == 422
    assert "This webhook is paused. Resume it, then examine its receiver." in plain(answer.text)


def test_after_a_new_secret_of_its_own_the_way_to_the_examination_is_shown(
    signed_in: FlaskClient, interface: Interface
) -> None:
    wanted, _ = connections.with_new_secret(Wanted(Authentication.METALOCATOR), None)
    webhook = add(interface, wanted=wanted)
    answer = signed_in.post(path(webhook, "/secret"))
    assert path(webhook, "/examination") in answer.text


# The queue ----------------------------------------------------------------------------------------------------------


def test_a_queue_that_has_grown_is_shown_with_its_end(signed_in: FlaskClient, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/", rate=1)
    with transaction():
        interface_id = interface.id
    for _ in range(100):
        submit(db.session.get_one(Interface, interface_id))
    with transaction():
        for delivery in db.session.scalars(select(Delivery)):
            delivery.lead.received_at = utcnow().replace(year=2020)
    for page in (path(interface.webhook), tab(interface)):
        text = plain(signed_in.get(page).text)
        assert "100 leads wait to be sent At the pace of now, none will wait in about 2 min." in text
    assert "100 leads or more wait" in plain(signed_in.get("/interfaces").text)


def test_a_queue_that_grows_says_so(signed_in: FlaskClient, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/", rate=1)
    for _ in range(40):
        submit(interface)
    text = plain(signed_in.get(path(interface.webhook)).text)
    assert "40 leads wait to be sent The queue grows: more leads come in than are sent." in text


# A shadow -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shadow(interface: Interface) -> Webhook:
    point_at(interface, "http://127.0.0.1:9/first")
    return add(interface, name="New <b>CRM</b>", is_shadow=True)


def answered(codes: dict[int, int]) -> None:
    with transaction():
        for delivery in db.session.scalars(select(Delivery)):
            delivery.last_code = codes[delivery.webhook_id]
            delivery.state = DeliveryState.DELIVERED if delivery.last_code < 300 else DeliveryState.FAILED


def test_the_shadows_page_has_both_codes_side_by_side(
    signed_in: FlaskClient, interface: Interface, shadow: Webhook
) -> None:
    assert "No lead was sent to both yet." in signed_in.get(path(shadow)).text
    submit(interface)
    answered({interface.webhook.id: 200, shadow.id: 500})
    submit(interface, {**ADA, "name": "Grace"})
    page = plain(signed_in.get(path(shadow)).text)
    assert "Of the newest 2 leads: 0 the same, 1 different." in page
    assert "Grace – – –" in page
    assert "Ada Lovelace 200 500 Different" in page
    assert 'id="shadow-title"' not in signed_in.get(path(interface.webhook)).text


def test_switching_over_asks_first_and_then_does_it(
    signed_in: FlaskClient, interface: Interface, shadow: Webhook
) -> None:
    submit(interface)
    there = path(shadow, "/switch-over")
    for page in (path(shadow), there):
        text = plain(signed_in.get(page).text)
        assert "“ New <b>CRM</b> ” becomes the first webhook of this form" in text
        assert "1 lead that waits at “ Lead Webhook ” is still sent there, without mails about it." in text
    answer = signed_in.post(there, follow_redirects=True)
    assert "“New <b>CRM</b>” is the first webhook now. “Lead Webhook” is its shadow." in unescape(answer.text)
    db.session.expire_all()
    assert db.session.get_one(Interface, interface.id).webhook.id == shadow.id
    assert "https://hooks.example.com/services/T0/B0/x9y8" in signed_in.get(tab(interface)).text
    assert "Shadow" in plain(signed_in.get(tab(interface)).text)


def test_what_is_no_shadow_is_not_switched(signed_in: FlaskClient, interface: Interface, shadow: Webhook) -> None:
    for webhook in (interface.webhook, add(interface, name="Slack")):
        there = path(webhook, "/switch-over")
        assert "is not a shadow" in signed_in.get(there).text
        answer = signed_in.post(there)
        assert (answer.status_code, "This webhook is not a shadow" in answer.text) == (422, True)


def test_a_paused_shadow_is_not_switched_and_says_so(
    signed_in: FlaskClient, interface: Interface, shadow: Webhook
) -> None:
    with transaction():
        webhooks.pause(db.session.get_one(Webhook, shadow.id), "Paused by Alice.")
    answer = signed_in.post(path(shadow, "/switch-over"))
    assert (answer.status_code, "The shadow is paused. Resume it first." in answer.text) == (422, True)


def test_strangers_find_none_of_it(stranger: FlaskClient, interface: Interface, shadow: Webhook) -> None:
    ends: list[tuple[Any, str]] = [(stranger.get, "/examination"), (stranger.post, "/examination")]
    for ask, end in [*ends, (stranger.get, "/switch-over"), (stranger.post, "/switch-over")]:
        assert ask(path(shadow, end)).status_code == 404, end
