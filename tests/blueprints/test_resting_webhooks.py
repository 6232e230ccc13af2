"""The pages of a webhook that rests because its receiver asked, and the choice of Automatic."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from tests.conftest import sign_in
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver, answering
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import AuditEntry, Interface, Lane, Lead, User
from webapp.services.interfaces import interfaces
from webapp.services.people import users


@pytest.fixture
def resting(interface: Interface, receiver: Receiver) -> Lead:
    """A lead that waits for the end of its webhook's rest."""
    point_at(interface, receiver.url)
    receiver.queue(answering(429, headers=[("Retry-After", "1800")]))
    submit(interface)
    drain(interface)
    return submit(interface)


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def tab(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}/edit/lead-generation"


def ends_at() -> str:
    """As pages show it."""
    lane = db.session.scalars(select(Lane).execution_options(populate_existing=True)).one()
    assert lane.resting_until
    shown = lane.resting_until.strftime("%H:%M")
    db.session.rollback()
    return shown


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_page_says_until_when_it_rests_and_why(signed_in: FlaskClient, interface: Interface, resting: Lead) -> None:
    page = text_of(signed_in.get(tab(interface)).text)
    assert f"Resting until {ends_at()} UTC because the receiver asked." in page
    assert "Resting" in text_of(signed_in.get("/interfaces").text)
    assert f"until {ends_at()} , as the receiver asked" in text_of(signed_in.get("/interfaces").text)


def test_the_list_can_be_filtered_by_it(signed_in: FlaskClient, interface: Interface, resting: Lead) -> None:
    assert "Contact sales" in signed_in.get("/interfaces?health=Resting").text
    assert "Contact sales" not in signed_in.get("/interfaces?health=Healthy").text


def test_try_now_sends_one_lead_and_then_the_others(
    signed_in: FlaskClient, interface: Interface, receiver: Receiver, resting: Lead
) -> None:
    answer = signed_in.post(f"/interfaces/{interface.public_id}/try-now")
    assert (answer.status_code, answer.location) == (303, tab(interface))
    page = text_of(signed_in.get(answer.location).text)
    assert "One lead is tried now." in page
    assert "Resting until" not in page
    drain(interface)
    assert len(receiver.requests) == 2
    actions = db.session.scalars(select(AuditEntry.action)).all()
    assert "interface.tried_now" in actions


def test_try_now_without_a_rest_says_so_and_changes_nothing(signed_in: FlaskClient, interface: Interface) -> None:
    answer = signed_in.post(f"/interfaces/{interface.public_id}/try-now")
    assert "The webhook does not rest any more." in signed_in.get(answer.location).text


def test_a_stranger_cannot_end_a_rest(stranger: FlaskClient, interface: Interface, resting: Lead) -> None:
    assert stranger.post(f"/interfaces/{interface.public_id}/try-now").status_code == 404
    assert ends_at()


def test_a_user_who_only_sees_leads_cannot_end_a_rest(app: Flask, interface: Interface, resting: Lead) -> None:
    with transaction():
        dora = users.create_owner("dora@example.com", "correct horse battery", "Brightwater Solar")
        dora.account_id, dora.role = interface.account_id, "leads-only"
    answer = sign_in(app, "dora@example.com").post(f"/interfaces/{interface.public_id}/try-now")
    assert answer.status_code == 403


def test_the_leads_page_says_why_a_lead_waits_and_lets_it_be_retried(
    signed_in: FlaskClient, interface: Interface, receiver: Receiver, resting: Lead
) -> None:
    public_id, until = resting.public_id, ends_at()
    for address in ("/leads", f"/leads/{public_id}/row"):
        row = signed_in.get(address, headers={"HX-Request": "true"}).text
        assert f"resting until {until}" in text_of(row).replace(" ,", ",")
        assert "on its way" not in row
    page = signed_in.get(f"/leads/{public_id}")
    assert f"Next attempt at {until}" in text_of(page.text)
    assert "The webhook rests because the receiver asked" in text_of(page.text)
    assert "Retry Webhook" in page.text
    assert "hx-trigger=" not in page.text, "it does not poll for half an hour"
    signed_in.post(f"/leads/{public_id}/retry")
    drain(interface)
    assert receiver.requests[-1].path == "/hook"
    assert "Delivered" in signed_in.get(f"/leads/{public_id}").text


def test_a_retry_that_is_due_earlier_is_shown_for_the_end_of_the_rest(
    signed_in: FlaskClient, interface: Interface, resting: Lead
) -> None:
    with transaction():
        db.session.execute(update(Lane).values(rests_until=now_sql() + 3500))
    assert f"(next {ends_at()} )" in text_of(signed_in.get("/leads").text)


def test_when_the_rest_is_over_the_pages_say_nothing_of_it(
    signed_in: FlaskClient, interface: Interface, resting: Lead
) -> None:
    with transaction():
        db.session.execute(update(Lane).values(rests_until=now_sql() - 1))
    for address in (tab(interface), "/interfaces", "/leads", f"/leads/{resting.public_id}"):
        assert "esting until" not in signed_in.get(address).text


def test_a_paused_webhook_that_rests_shows_the_pause(
    signed_in: FlaskClient, interface: Interface, resting: Lead
) -> None:
    signed_in.post(f"/interfaces/{interface.public_id}/pause")
    page = text_of(signed_in.get(tab(interface)).text)
    assert "The webhook is paused" in page
    assert "Resting until" not in page


# Automatic -----------------------------------------------------------------------------------------------------------


def chosen(page: str) -> str:
    [control] = re.findall(r'<select[^>]*name="parallel_requests".*?</select>', page, re.DOTALL)
    [value] = re.findall(r'<option selected value="([^"]+)"', control)
    return str(value)


def save(client: FlaskClient, interface: Interface, parallel_requests: str) -> int:
    sent = {"webhook_url": "https://93.184.216.34/", "authentication": "none", "parallel_requests": parallel_requests}
    code = client.post(tab(interface), data=sent).status_code
    db.session.expire_all()
    return int(code)


def test_a_new_webhook_is_automatic(signed_in: FlaskClient, interface: Interface) -> None:
    assert interface.webhook.is_automatic
    page = signed_in.get(tab(interface)).text
    assert chosen(page) == "automatic"
    assert "Automatic sends one lead at a time." in text_of(page)


@pytest.mark.parametrize(("value", "stored"), [("1", (1, False)), ("16", (16, False)), ("automatic", (1, True))])
def test_each_choice_is_stored_and_shown(
    signed_in: FlaskClient, interface: Interface, value: str, stored: tuple[int, bool]
) -> None:
    assert save(signed_in, interface, value) == 303
    assert (interface.webhook.parallel_requests, interface.webhook.is_automatic) == stored
    assert chosen(signed_in.get(tab(interface)).text) == value


def test_a_stored_1_stays_1_and_its_page_offers_automatic(signed_in: FlaskClient, interface: Interface) -> None:
    point_at(interface, "https://93.184.216.34/", automatic_parallel=False)
    page = signed_in.get(tab(interface)).text
    assert chosen(page) == "1"
    assert '<option value="automatic">Automatic</option>' in page
    assert save(signed_in, interface, "1") == 303
    assert not interface.webhook.is_automatic


@pytest.mark.parametrize("value", ["AUTOMATIC", "auto", "1.0", " 1", "-1", "1,2", "\x00", "on"])
def test_another_value_is_refused_with_words(signed_in: FlaskClient, interface: Interface, value: str) -> None:
    point_at(interface, "https://93.184.216.34/", parallel_requests=3)
    assert save(signed_in, interface, value) == 422
    assert interface.webhook.parallel_requests == 3


def test_the_service_takes_none_for_automatic_and_refuses_wrong_numbers(interface: Interface, owner: User) -> None:
    from webapp.models import Authentication
    from webapp.services.errors import Refused

    for number in (0, 17, -1):
        with pytest.raises(Refused, match="whole number from 1 to 16"), transaction():
            interfaces.update_lead_generation(
                interface, url=None, authentication=Authentication.NONE, shared_token=None, parallel_requests=number
            )
