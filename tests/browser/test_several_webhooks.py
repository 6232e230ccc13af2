"""A lead that three webhooks got: the list, its page and the dialog of Retry Webhook, by what a person reads there."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import inspect, select

from tests.browser.conftest import EMAIL, sign_in
from tests.support.axe import violations
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Delivery, Lead, User
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan


@pytest.fixture
def receivers() -> Iterator[dict[str, Receiver]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Receiver()) for name in ("Lead Webhook", "CRM", "Slack")}


@pytest.fixture
def lead(site_app: Flask, site: object, receivers: dict[str, Receiver]) -> Lead:
    """It failed at the CRM, whose receiver answered 500, and reached the others."""
    receivers["CRM"].answer(status=500, body=b"the database is away")
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, f"Several {receivers['CRM'].url}")
    point_at(interface, receivers["Lead Webhook"].url)
    with transaction():
        for name in ("CRM", "Slack"):
            editing.add(interface, Plan(url=receivers[name].url, name=name, automatic_retries=False))
    lead = submit(interface, {"name": f"Visitor of {receivers['CRM'].url}", "email": "ada@example.com"})
    wait_until(lambda: statuses(lead) == ["delivered", "failed", "delivered"], "an outcome of each webhook")
    db.session.refresh(lead)
    db.session.expunge(lead)  # as in test_retrying.py
    db.session.rollback()
    return lead


def statuses(lead: Lead) -> list[str]:
    [lead_id] = inspect(lead).identity or ()
    db.session.rollback()
    with read_only():
        found = db.session.scalars(select(Delivery.state).where(Delivery.lead_id == lead_id).order_by(Delivery.id))
        states = [str(state) for state in found]
    db.session.rollback()
    return states


def test_retry_on_a_row_asks_which_and_sends_what_is_ticked(
    page: Page, lead: Lead, receivers: dict[str, Receiver]
) -> None:
    sign_in(page)
    page.goto("/leads")
    row = page.locator(f"tr:has(a[href$='{lead.public_id}'])")
    row.get_by_text("Failed", exact=True).wait_for()
    row.get_by_text("2 of 3 delivered").wait_for()
    receivers["CRM"].answer()
    row.get_by_role("button", name="Retry Webhook").click()
    dialog = page.get_by_role("dialog", name="Retry which webhooks?")
    expect(dialog.get_by_label("CRM")).to_be_checked()
    expect(dialog.get_by_label("Slack")).not_to_be_checked()
    dialog.get_by_label("Slack").check()
    dialog.get_by_role("button", name="Retry the ticked ones").click()
    page.get_by_text("Queued: 2 webhooks of").wait_for()
    row.get_by_text("3 of 3 delivered").wait_for()
    assert {name: len(receiver.requests) for name, receiver in receivers.items()} == {
        "Lead Webhook": 1,
        "CRM": 2,
        "Slack": 2,
    }


def test_each_timeline_has_a_button_that_sends_to_its_webhook_in_place(
    page: Page, lead: Lead, receivers: dict[str, Receiver]
) -> None:
    sign_in(page)
    page.goto(f"/leads/{lead.public_id}")
    crm = page.get_by_role("region", name="CRM", exact=True)
    crm.get_by_text("500 Internal Server Error").first.wait_for()
    receivers["CRM"].answer()
    page.evaluate("window.sameDocument = true")
    page.get_by_role("button", name="Retry Webhook at CRM").click()
    crm.get_by_text("200 OK").first.wait_for()
    page.get_by_text("3 of 3 delivered").first.wait_for()
    assert page.evaluate("window.sameDocument") is True
    expect(page.get_by_role("region", name="Slack", exact=True).get_by_text("1 attempt", exact=True)).to_be_visible()
    assert [len(receiver.requests) for receiver in receivers.values()] == [1, 2, 1]


def test_without_javascript_the_same_choice_is_a_page(
    page_without_javascript: Page, lead: Lead, receivers: dict[str, Receiver]
) -> None:
    page = page_without_javascript
    sign_in(page)
    page.goto(f"/leads/{lead.public_id}")
    receivers["CRM"].answer()
    page.get_by_role("button", name="Retry Webhook", exact=True).click()
    page.get_by_role("heading", name="Retry which webhooks?").wait_for()
    page.get_by_role("button", name="Retry the ticked ones").click()
    wait_until(lambda: statuses(lead) == ["delivered"] * 3, "the retry to be delivered")
    assert [len(receiver.requests) for receiver in receivers.values()] == [1, 2, 1]


def test_the_interfaces_page_has_one_row_with_the_worst_webhook(page: Page, lead: Lead) -> None:
    sign_in(page)
    page.goto("/interfaces?q=Several")
    row = page.locator("tbody tr").first
    row.get_by_text("Failing", exact=True).wait_for()
    row.get_by_text("and 2 more webhooks").wait_for()


def test_its_page_and_the_dialog_pass_axe_on_a_desk_and_on_a_phone(page: Page, lead: Lead) -> None:
    sign_in(page)
    for address in (f"/leads/{lead.public_id}", "/leads", "/interfaces"):
        page.goto(address)
        assert violations(page) == [], address
    page.goto(f"/leads/{lead.public_id}")  # on a phone
    page.get_by_role("button", name="Retry Webhook", exact=True).click()
    page.get_by_role("dialog").wait_for()
    assert violations(page) == []
