"""A visitor's mishaps: whatever the browser does, it is one lead, and it is not lost."""

import pytest
from flask import Flask
from playwright.sync_api import Page, Route, expect
from sqlalchemy import func, select

from tests.browser.conftest import EMAIL
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead, User
from webapp.services.interfaces import interfaces


@pytest.fixture
def form(site_app: Flask) -> str:
    """The address of a new form."""
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        return f"/f/{interfaces.create(owner.account_id, 'Twice').public_id}"


def leads(form: str) -> int:
    with transaction():
        of_form = select(func.count()).select_from(Lead).join(Interface)
        return db.session.scalar(of_form.where(Interface.public_id == form.removeprefix("/f/"))) or 0


def fill_in(page: Page, form: str) -> None:
    page.goto(form)
    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Message").fill("Hello")


def is_thanked(page: Page) -> None:
    expect(page.get_by_role("heading", name="Your answers were sent")).to_be_visible()


def test_a_double_click_and_a_reload_of_the_thank_you(page: Page, form: str) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    fill_in(page, form)
    page.get_by_role("button", name="Send").dblclick()
    is_thanked(page)
    posts = len(sent)  # some browsers send both
    assert posts
    page.reload()
    is_thanked(page)
    assert len(sent) == posts
    assert leads(form) == 1


def test_a_connection_that_is_lost_after_the_form_was_sent(page: Page, form: str) -> None:
    def lose(route: Route) -> None:
        route.fetch(max_redirects=0)  # it arrives, and its answer does not
        route.abort("connectionreset")

    fill_in(page, form)
    page.route("**/f/*", lose)
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Send").click()
    assert leads(form) == 1
    page.unroute("**/f/*")
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.reload()  # what the browser's own page about the error offers: it sends the form again
    is_thanked(page)
    assert len(posts) == 1
    assert leads(form) == 1


def test_going_back_to_write_something_else_is_another_lead(page: Page, form: str) -> None:
    fill_in(page, form)
    page.get_by_role("button", name="Send").click()
    is_thanked(page)
    page.go_back()
    page.get_by_label("Message").fill("And another thing")
    page.get_by_role("button", name="Send").click()
    is_thanked(page)
    assert leads(form) == 2
