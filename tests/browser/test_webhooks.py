"""A second webhook, by the labels: with its own authentication, payload and condition; tried before it is saved."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import EMAIL, reload_until_shown, sign_in
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.interfaces import interfaces


@pytest.fixture
def interface() -> Interface:
    with transaction():
        owner = db.session.query(User).filter_by(email=EMAIL).one()
        return interfaces.create(owner.account_id, "Two webhooks")


def test_a_second_webhook_gets_the_leads_of_its_condition_in_its_own_format(
    page: Page, interface: Interface, receiver: Receiver
) -> None:
    with Receiver() as first:
        point_at(interface, first.url)
        submit(interface, {"name": "Ada Lovelace", "email": "ada@example.com", "message": "The price?"})
        first.wait_for(1, timeout=60)
        add_another(page, interface, receiver)
        page.get_by_role("button", name="Try on the last 20 leads").click()
        tried = page.get_by_role("region", name="Tried on the last leads")
        tried.get_by_text("1 of 1 lead would be sent there.").wait_for()
        tried.get_by_text("How they would be sent").click()
        expect(tried).to_contain_text("authorization: •••")
        assert receiver.requests == []
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved.").first.wait_for()

        page.get_by_role("button", name="Send test lead").click()
        page.get_by_text("Delivered: 200 OK").wait_for()
        for message in ("The price?", "Hello"):
            submit(interface, {"name": "Grace Hopper", "email": "grace@example.com", "message": message})
        first.wait_for(3)
    test, lead = receiver.wait_for(2)
    assert {request.headers["authorization"] for request in (test, lead)} == {"Bearer crm-token-0123456789"}
    assert json.loads(lead.body)["message"] == "The price?"
    row = page.get_by_role("row", name="Grace Hopper")
    reload_until_shown(page, row.get_by_text("Delivered"))
    assert row.count() == 1, "the other lead has no price in it"


def add_another(page: Page, interface: Interface, receiver: Receiver) -> None:
    """Adds a webhook and fills in its page, without saving it."""
    edit = f"/interfaces/{interface.public_id}/edit"
    db.session.rollback()  # on SQLite, the site could not write
    sign_in(page)
    page.goto(f"{edit}/lead-generation")
    page.get_by_role("link", name="Add another webhook").click()
    page.get_by_label("Name").fill("CRM")
    page.get_by_label("Lead Webhook URL").fill(receiver.url)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="CRM").wait_for()
    token = page.get_by_label("Bearer token", exact=True)
    expect(token).to_be_hidden()
    page.get_by_label("Lead Webhook Authentication").select_option(label="Bearer token")
    token.fill("crm-token-0123456789")
    page.get_by_label("Payload format").select_option(label="Flat JSON")
    page.get_by_label("Field of rule 1").select_option(label="Message")
    page.get_by_label("Comparison of rule 1").select_option(label="contains")
    page.get_by_label("Value of rule 1").fill("price")
