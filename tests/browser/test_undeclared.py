"""A page has a form of its own, with more than ours asks for and a wrong address: all of it arrives once corrected."""

from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL
from tests.support.site import Site
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Lead, User
from webapp.services.interfaces import interfaces

MARKUP = """<!doctype html><meta charset="utf-8"><title>Host</title>
<form method="post" action="{}" enctype="multipart/form-data"><input name="name" value="Ada">
<input name="email" value="bad">
<input name="message" value="Hi"><input name="company" value="Brightwater “Solar” & <Söhne>"><input name="referrer"
value="A friend told me"><input type="checkbox" name="topics[]" value="sun" checked><input type="file" name="cv">
<button>Go</button></form>"""


def test_undeclared_answers_arrive_with_the_corrected_form(site_app: Flask, site: Site, page: Page) -> None:
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Shown again")
        address, interface_id = f"/f/{interface.public_id}", interface.id
    page.route("http://host.test/*", lambda route: route.fulfill(body=MARKUP.format(site.url + address)))
    page.goto("http://host.test/contact")
    page.set_input_files("[name=cv]", {"name": "cv.txt", "mimeType": "text/plain", "buffer": b"Hello"})
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/thank-you")
    db.session.rollback()
    lead = db.session.scalars(select(Lead).where(Lead.interface_id == interface_id)).one()
    assert lead.undeclared == {
        "company": "Brightwater “Solar” & <Söhne>",
        "topics[]": ["sun"],
        "referrer": "A friend told me",
        "cv": {"file": "cv.txt", "size": 5},
    }
    db.session.rollback()
