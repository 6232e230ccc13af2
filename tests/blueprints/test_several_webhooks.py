"""The pages of leads that several webhooks take: the row, the timelines, and the dialog of Retry Webhook."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from tests.support.factories import captured, point_at, submit
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Lead, Webhook
from webapp.services.leads import lead_detail
from webapp.services.webhooks import editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

HTMX = {"HX-Request": "true"}
SECRET = "a-secret-that-no-page-shows"


def add(interface: Interface, url: str, name: str, **more: Any) -> Webhook:
    with transaction():
        return editing.add(interface, Plan(url=url, name=name, **more))


@pytest.fixture
def three(interface: Interface, receiver: Receiver) -> Interface:
    """An interface with three webhooks at one receiver."""
    point_at(interface, f"{receiver.origin}/first")
    add(interface, f"{receiver.origin}/crm", "CRM <b>", automatic_retries=False)
    add(interface, f"{receiver.origin}/slack", "Slack")
    return interface


def settle(lead: Lead, **by_name: DeliveryState) -> None:
    """Gives the deliveries to the webhooks of these names a state; the others are delivered."""
    with transaction():
        for delivery in db.session.scalars(select(Delivery).where(Delivery.lead_id == lead.id)):
            label = delivery.webhook.label.split()[0].lower()
            delivery.state, delivery.tries = by_name.get(label, DeliveryState.DELIVERED), 1
            delivery.last_code = 200 if delivery.state == DeliveryState.DELIVERED else 503
    db.session.rollback()


def deliver(interface: Interface) -> None:
    ids = [webhook.id for webhook in interface.webhooks]
    db.session.rollback()
    for webhook_id in ids:
        lanes.drain(webhook_id)
    db.session.rollback()
    db.session.expire_all()


def plain(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def clicked() -> list[str]:
    db.session.rollback()
    found = db.session.scalars(select(Delivery).where(Delivery.retry_at.is_not(None)).order_by(Delivery.id))
    return [delivery.webhook.label for delivery in found]


def test_the_row_has_the_worst_state_and_how_many_were_delivered(signed_in: FlaskClient, three: Interface) -> None:
    lead = submit(three)
    settle(lead, crm=DeliveryState.FAILED)
    page = signed_in.get("/leads").text
    assert page.count(f'<tr id="{lead.public_id}"') == 1
    assert "2 of 3 delivered" in page
    assert "Failed" in plain(page[page.index("<tbody>") :])


def test_the_page_has_a_timeline_for_each_webhook_by_its_name(signed_in: FlaskClient, three: Interface) -> None:
    lead = submit(three)
    deliver(three)
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert page.count('class="timeline"') == 3
    for name in ("Lead Webhook", "CRM &lt;b&gt;", "Slack"):
        title = rf'<h2 id="webhook-title-wh_\w+" dir="auto"><a href="/webhooks/wh_\w+">{name}</a></h2>'
        assert re.search(title, page), name
        assert f'Retry Webhook<span class="sr"> at {name}</span>' in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_with_one_webhook_the_page_names_none(signed_in: FlaskClient, interface: Interface, receiver: Receiver) -> None:
    point_at(interface, receiver.url)
    lead = submit(interface)
    deliver(interface)
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert '<h2 id="webhook-title" dir="auto">Webhook</h2>' in page
    assert "delivered" not in plain(page).replace("Delivered", "")
    assert page.count("Retry Webhook") == 1
    assert "leads/_choose" not in page
    assert 'name="webhook"' not in page


def test_retry_on_a_row_asks_which_webhooks_and_ticks_what_was_not_delivered(
    signed_in: FlaskClient, three: Interface
) -> None:
    lead = submit(three)
    settle(lead, crm=DeliveryState.FAILED)
    row = signed_in.get("/leads").text
    assert 'hx-target="#confirm"' in row[row.index("<tbody>") :]
    answer = signed_in.post(f"/leads/{lead.public_id}/retry", headers={**HTMX, "HX-Target": "dialog#confirm"})
    assert answer.headers["HX-Trigger"] == '{"showdialog": "confirm"}'
    boxes = re.findall(r'<input type="checkbox"[^>]*>', answer.text)
    assert [" checked" in box for box in boxes] == [False, True, False]
    assert "CRM &lt;b&gt;" in answer.text
    assert clicked() == []
    whole = signed_in.post(f"/leads/{lead.public_id}/retry").text
    assert "<main" in whole
    assert len(re.findall(r'<input type="checkbox"[^>]*name="webhook"', whole)) == 3


def test_the_chosen_webhooks_are_sent_to_and_no_others(signed_in: FlaskClient, three: Interface) -> None:
    lead = submit(three)
    settle(lead, crm=DeliveryState.FAILED)
    ids = [webhook.public_id for webhook in three.webhooks]
    form = {"chosen": "1", "webhook": [ids[0], ids[2]], "next": "/leads?status=failed"}
    answer = signed_in.post(f"/leads/{lead.public_id}/retry", data=form)
    assert answer.location == "/leads?status=failed"
    assert "Queued: 2 webhooks of Ada Lovelace are being sent again." in signed_in.get("/leads").text
    assert clicked() == ["Lead Webhook", "Slack"]


def test_a_choice_of_none_or_of_another_leads_webhook_sends_nothing(signed_in: FlaskClient, three: Interface) -> None:
    lead = submit(three)
    settle(lead)
    for ids, words in (([], "Select the webhooks"), (["wh_unknown", "\x00"], "It was not sent to this webhook.")):
        signed_in.post(f"/leads/{lead.public_id}/retry", data={"chosen": "1", "webhook": ids})
        assert words in signed_in.get("/leads").text
    assert clicked() == []


def test_the_button_of_a_timeline_sends_to_its_webhook_in_place(
    signed_in: FlaskClient, three: Interface, receiver: Receiver
) -> None:
    lead = submit(three)
    settle(lead, slack=DeliveryState.FAILED)
    slack = three.webhooks[2].public_id
    form, headers = {"chosen": "1", "webhook": slack}, {**HTMX, "HX-Target": "div#lead"}
    answer = signed_in.post(f"/leads/{lead.public_id}/retry", data=form, headers=headers)
    assert answer.text.strip().startswith('<div id="lead" aria-busy="true"')
    deliver(three)
    [sent] = receiver.wait_for(1)
    assert sent.path == "/slack"
    poll = re.search(r'hx-get="([^"]+)"', answer.text)[1].replace("&amp;", "&")  # type: ignore[index]
    outcome = signed_in.get(poll, headers=HTMX)
    assert outcome.headers["HX-Trigger"] == '{"toast": "Ada Lovelace: Delivered, 200, 3 of 3 delivered"}'
    assert "hx-trigger" not in outcome.text


def test_a_row_polls_until_all_webhooks_have_an_outcome_and_shows_each(
    signed_in: FlaskClient, three: Interface
) -> None:
    lead = submit(three)
    row = signed_in.get(f"/leads/{lead.public_id}/row", headers=HTMX).text
    for number, webhook in enumerate(three.webhooks, start=1):
        assert 'hx-trigger="every 1s"' in row
        poll = re.search(r'hx-get="([^"]+)"', row)[1].replace("&amp;", "&")  # type: ignore[index]
        assert signed_in.get(poll, headers=HTMX).status_code == 204
        webhook_id = webhook.id
        db.session.rollback()
        lanes.drain(webhook_id)
        row = signed_in.get(poll, headers=HTMX).text
        assert f"{number} of 3 delivered" in row
    assert "hx-trigger" not in row


def test_while_one_webhook_is_being_sent_to_the_others_can_be_retried(signed_in: FlaskClient, three: Interface) -> None:
    lead = submit(three)
    settle(lead, crm=DeliveryState.FAILED)
    with transaction():
        slack = update(Delivery).where(Delivery.webhook_id == three.webhooks[2].id)
        db.session.execute(slack.values(state=DeliveryState.PENDING, tries=0))
    row = signed_in.get(f"/leads/{lead.public_id}/row", headers=HTMX).text
    assert "Retry Webhook" in row
    assert 'hx-trigger="every 1s"' in row
    dialog = signed_in.post(f"/leads/{lead.public_id}/retry", headers={**HTMX, "HX-Target": "dialog#confirm"}).text
    assert "It is being sent right now." in dialog
    assert [" disabled" in box for box in re.findall(r"<input type=\"checkbox\"[^>]*>", dialog)] == [False, False, True]


def test_ticked_leads_say_how_many_leads_and_webhooks(signed_in: FlaskClient, three: Interface) -> None:
    ids = []
    for states in ({"crm": DeliveryState.FAILED}, {"crm": DeliveryState.FAILED, "slack": DeliveryState.FAILED}):
        lead = submit(three)
        settle(lead, **states)
        ids.append(lead.public_id)
    page = signed_in.post("/leads/retry", data={"lead": ids}).text
    assert "Retry 3 webhooks of 2 leads?" in page
    signed_in.post("/leads/retry", data={"lead": ids, "confirmed": "1"})
    assert "Queued: 3 webhooks of 2 leads are being sent again." in signed_in.get("/leads").text
    assert clicked() == ["CRM <b>", "CRM <b>", "Slack"]


SCHEMES: list[tuple[Wanted, str]] = [
    (Wanted(Authentication.BEARER, secrets={"token": SECRET}), "authorization: •••"),
    (Wanted(Authentication.BASIC, options={"user": "ada"}, secrets={"password": SECRET}), "authorization: •••"),
    (Wanted(Authentication.HEADER, options={"name": "X-Key"}, secrets={"value": SECRET}), "x-key: •••"),
    (Wanted(Authentication.QUERY, options={"name": "key"}, secrets={"value": SECRET}), "/kind?key=•••"),
    (Wanted(Authentication.METALOCATOR, secrets={"secret": SECRET}), "x-metalocator-webhook-signature: •••"),
    (Wanted(Authentication.SIGNATURE, secrets={"secret": SECRET}), "x-signature: •••"),
    (Wanted(custom_headers=f"X-Team: {SECRET}"), "x-team: •••"),
]


@pytest.mark.parametrize(("wanted", "shown"), SCHEMES, ids=[shown for _, shown in SCHEMES])
def test_the_request_is_shown_as_it_was_sent_and_no_secret_with_it(
    signed_in: FlaskClient, interface: Interface, receiver: Receiver, wanted: Wanted, shown: str
) -> None:
    point_at(interface, f"{receiver.origin}/first")
    stored = {"method": "PUT", "format": "form"}
    add(interface, f"{receiver.origin}/kind", "Kind", wanted=Wanted(**{**wanted.__dict__, "stored": stored}))
    lead = submit(interface)
    deliver(interface)
    assert SECRET in repr(receiver.requests) or "signature" in shown or "basic" in repr(receiver.requests).lower()
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert shown in page.lower()
    assert '<span class="k">PUT</span>' in page
    assert "content-type: application/x-www-form-urlencoded" in page
    assert "application/x-www-form-urlencoded, " in page
    assert SECRET not in page


def test_the_curl_command_has_the_method_and_type_and_no_secret(interface: Interface, receiver: Receiver) -> None:
    """A body that begins with @ is not taken for a file."""
    wanted = Wanted(Authentication.BEARER, {"method": "PATCH", "format": "form"}, secrets={"token": SECRET})
    add(interface, receiver.url, "Kind", wanted=wanted)
    with transaction():
        [delivery] = captured(interface.public_id, {"name": "Ada"}).deliveries
        command = lead_detail.curl(delivery, None)
        assert command
        assert command.startswith(f"curl -i --globoff -X PATCH {receiver.url} ")
        assert "-H 'content-type: application/x-www-form-urlencoded'" in command
        assert "--data-raw" in command
        assert "authorization" not in command
        delivery.payload = b""
        assert lead_detail.curl(delivery, None) is None
