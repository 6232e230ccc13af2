"""The E-mail tab in a browser: the preview follows what is typed, a test goes out, nothing is kept before Save; and all
of it without JavaScript."""

from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL, sign_in
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.interfaces import interfaces


def test_mails_are_written_seen_and_tried_with_javascript_and_without(
    site_app: Flask, page: Page, page_without_javascript: Page
) -> None:
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Written to")
        tab, interface_id = f"/interfaces/{interface.public_id}/edit/e-mail", interface.id
    for window in (page, page_without_javascript):
        sign_in(window)
        window.goto(tab)
    subject, preview = page.get_by_label("Subject of the notification"), page.locator("#preview")
    subject.fill("Call {{ nme }}")
    expect(preview.get_by_text("{{ nme }} is not known here.")).to_be_visible()
    subject.fill("Call {{ name }}")
    expect(preview.get_by_text("Call Ada Lovelace")).to_be_visible()
    expect(subject).to_be_focused()
    page.get_by_role("button", name="Send me a test of the notification").click()
    expect(page.get_by_role("status").get_by_text(f"On its way to {EMAIL}.")).to_be_visible()
    assert _saved(interface_id) is None
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    assert _saved(interface_id) == "Call {{ name }}"

    plain = page_without_javascript
    plain.get_by_label("Text of the answer").fill("Dear {{ name }}")
    plain.get_by_role("button", name="Preview").click()
    expect(plain.locator("#preview").get_by_text("Dear Ada Lovelace")).to_be_visible()
    plain.get_by_role("button", name="Send me a test of the answer").click()
    expect(plain.get_by_text(f"On its way to {EMAIL}.")).to_be_visible()
    expect(plain.get_by_label("Text of the answer")).to_have_value("Dear {{ name }}")


def _saved(interface_id: int) -> str | None:
    db.session.rollback()
    saved = db.session.scalar(select(Interface.notification_subject).where(Interface.id == interface_id))
    db.session.rollback()
    return saved
