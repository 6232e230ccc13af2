"""Retry Webhook on a row: in place with htmx, by plain form post without JavaScript."""

import pytest
from flask import Flask
from playwright.sync_api import Page
from sqlalchemy import select

from tests.browser.conftest import EMAIL, sign_in
from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Lead, User
from webapp.services.interfaces import interfaces


@pytest.fixture
def failed_lead(site_app: Flask, site: object, receiver: Receiver) -> Lead:
    """A lead of a new interface whose receiver answered 500."""
    receiver.answer(status=500, body=b"the database is away")
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, f"Retrying {receiver.url}")
    point_at(interface, receiver.url, automatic_retries=False)
    lead = submit(interface, {"name": f"Visitor of {receiver.url}", "email": "ada@example.com"})
    wait_until(lambda: delivery_of(lead).status == "Failed", "the first try to fail")
    db.session.refresh(lead)
    db.session.expunge(lead)  # or reading its id would begin a transaction, which on SQLite locks the site out
    db.session.rollback()
    return lead


def test_a_failed_lead_is_retried_in_its_row_without_a_page_load(
    page: Page, failed_lead: Lead, receiver: Receiver
) -> None:
    sign_in(page)
    page.goto("/leads")
    row = page.locator(f"tr:has(a[href$='{failed_lead.public_id}'])")
    row.get_by_text("Failed").wait_for()
    row.get_by_text("500").wait_for()
    receiver.answer(body=b"taken")
    page.evaluate("window.sameDocument = true")
    row.get_by_role("button", name="Retry Webhook").click()
    row.get_by_text("Delivered").wait_for()
    row.get_by_text("200", exact=True).wait_for()
    row.get_by_text("taken").wait_for()
    assert page.evaluate("window.sameDocument") is True
    assert len(receiver.requests) == 2
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_the_row_says_queued_while_the_try_is_under_way(page: Page, failed_lead: Lead, receiver: Receiver) -> None:
    sign_in(page)
    page.goto("/leads")
    row = page.locator(f"tr:has(a[href$='{failed_lead.public_id}'])")
    receiver.answer(body=b"taken", delay=2)
    row.get_by_role("button", name="Retry Webhook").click()
    row.locator(".badge").get_by_text("Queued").wait_for()
    assert row.get_attribute("aria-busy") == "true"
    row.get_by_text("Delivered").wait_for()
    assert row.get_attribute("hx-trigger") is None


def test_without_javascript_a_form_post_does_the_same(
    page_without_javascript: Page, failed_lead: Lead, receiver: Receiver
) -> None:
    page = page_without_javascript
    sign_in(page)
    page.goto("/leads")
    row = page.locator(f"tr:has(a[href$='{failed_lead.public_id}'])")
    receiver.answer(body=b"taken")
    row.get_by_role("button", name="Retry Webhook").click()
    wait_until(lambda: delivery_of(failed_lead).status == "Delivered", "the retry to be delivered")
    page.goto("/leads")
    row.get_by_text("Delivered").wait_for()
    row.get_by_text("200", exact=True).wait_for()
