"""Examine my receiver, by the labels: the dialog, the verdict that appears, and the badge."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import EMAIL, sign_in
from tests.support.examined import Examined
from tests.support.factories import point_at, sign
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.interfaces import interfaces


@pytest.fixture
def interface() -> Interface:
    with transaction():
        owner = db.session.query(User).filter_by(email=EMAIL).one()
        return interfaces.create(owner.account_id, "Examined")


@pytest.fixture
def receivers(interface: Interface) -> Iterator[Examined]:
    with Examined(sign(interface, "Examined")[1]) as receivers:
        point_at(interface, receivers.url("right"))
        yield receivers


def test_a_receiver_that_verifies_is_examined_and_gets_its_badge(
    page: Page, interface: Interface, receivers: Examined
) -> None:
    tab = f"/interfaces/{interface.public_id}/edit/lead-generation"
    db.session.rollback()
    sign_in(page)
    page.goto(tab)
    page.get_by_role("link", name="Examine my receiver").click()
    dialog = page.get_by_role("dialog", name="Examine this receiver?")
    dialog.get_by_text("A receiver that does not verify may make eight records.").wait_for()
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("link", name="Examine my receiver").click()
    dialog.get_by_role("button", name="Examine", exact=True).click()
    page.get_by_text("Your endpoint verifies signatures").wait_for()
    row = page.get_by_role("row", name="A lead signed with another token")
    row.get_by_text("Answered 401. It refused it.").wait_for()
    expect(page.get_by_role("row")).to_have_count(9)
    page.get_by_role("link", name="Webhook", exact=True).click()
    page.locator(".head").get_by_text("Verified receiver").wait_for()
    page.goto(tab)
    page.get_by_role("link", name="Examine again").wait_for()
