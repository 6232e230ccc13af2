"""The Fields tab by keyboard alone, with its live preview; and every type of field before axe, with errors shown."""

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL, sign_in
from tests.support.axe import PHONE, violations
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, User
from webapp.services.interfaces import fields, interface_templates, interfaces


@pytest.fixture
def public_id(site_app: Flask) -> str:
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        return interfaces.create(owner.account_id, "Built by keyboard").public_id


def keys_of(public_id: str) -> list[str]:
    db.session.rollback()
    found = db.session.scalars(select(Interface).where(Interface.public_id == public_id)).one()
    keys = [field.key for field in found.fields]
    db.session.rollback()
    return keys


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until the focus is there, as a person does."""
    for _ in range(60):
        if focused(page) == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {name}; it is at {focused(page)}")


def test_a_form_is_built_by_keyboard_alone(page: Page, public_id: str) -> None:
    sign_in(page)
    page.goto(f"/interfaces/{public_id}/edit/fields")
    page.evaluate("window.sameDocument = true")
    preview = page.locator("#preview")

    tab_to(page, "Move Phone up")
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Phone is now 2 of 4.").wait_for()
    assert focused(page) == "Move Phone up", "the focus stays where the hand is"
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Phone is now 1 of 4.").wait_for()
    assert focused(page) == "Move Phone up"
    assert keys_of(public_id) == ["phone", "name", "email", "message"]

    tab_to(page, "Edit Email")
    page.keyboard.press("Enter")
    page.get_by_role("form", name="Settings of Email").wait_for()
    expect(page.locator("#label")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Work email")
    expect(preview).to_contain_text("Work email")
    assert "Work email" not in page.request.get(f"/f/{public_id}").text(), "it is not saved yet"
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Saved.").wait_for()
    expect(page.get_by_role("link", name="Edit Work email")).to_be_focused()

    tab_to(page, "add")
    page.keyboard.type("Radio")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#label")).to_be_focused()
    page.keyboard.type("Size")
    tab_to(page, "options")
    page.keyboard.type("Small\nLarge")
    expect(preview.get_by_role("radio", include_hidden=True)).to_have_count(2)
    page.get_by_role("button", name="Save").press("Enter")
    page.get_by_role("status").get_by_text("Size is on the form.").wait_for()
    assert keys_of(public_id) == ["phone", "name", "email", "message", "size"]

    tab_to(page, "Edit Size")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Remove…").press("Enter")
    page.get_by_role("dialog").get_by_text("No lead has an answer to it").wait_for()
    assert page.evaluate("window.sameDocument") is True
    page.get_by_role("button", name="Remove field").press("Enter")
    page.get_by_role("status").get_by_text("Size is off the form.").wait_for()
    assert keys_of(public_id) == ["phone", "name", "email", "message"]


def test_general_shows_a_look_before_it_is_saved(page: Page, public_id: str) -> None:
    sign_in(page)
    page.goto(f"/interfaces/{public_id}/edit")
    button = page.locator("#preview .lf-send")
    page.get_by_label("Accent colour").fill("#b91c1c")
    expect(button).to_have_css("background-color", "rgb(185, 28, 28)")
    page.get_by_label("Introduction").fill("Nicely put.")
    expect(page.locator("#preview")).to_contain_text("Nicely put.")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    page.goto(f"/f/{public_id}")
    expect(page.get_by_role("button", name="Send")).to_have_css("background-color", "rgb(185, 28, 28)")


def test_every_type_passes_axe_in_form_and_builder_with_errors_shown(page: Page, public_id: str) -> None:
    """On a desk and on a phone, in light and dark."""
    with transaction():
        interface = db.session.scalars(select(Interface).where(Interface.public_id == public_id)).one()
        interface.accent = "#ffdd00"  # no text could be read in it
        for kind in FieldType:
            given = {"label": f"A {kind}", "options": "One\nTwo", "statement": "Yes to [all](https://a.example/)."}
            fields.add(interface, kind, {**given, "help": "Some help", "placeholder": "Like this", "required": True})
        db.session.flush()
        ids = [field.id for field in interface.fields if field.type in ("select", "consent")]
    page.set_viewport_size(PHONE)
    page.goto(f"/f/{public_id}")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").wait_for()
    found = [f"errors {one}" for one in violations(page)]
    page.set_viewport_size(PHONE)
    sign_in(page)
    edit = f"/interfaces/{public_id}/edit"
    # Every page's own test looks at the form without errors, and at the tab with no field open.
    for path in (f"{edit}/texts", *(f"{edit}/fields/{field_id}" for field_id in ids)):
        page.goto(path)
        found += [f"{path} {one}" for one in violations(page, [PHONE])]
    page.goto(f"{edit}/fields/new?type=select")
    page.get_by_role("button", name="Save").click()  # what is wrong with it is shown
    page.locator(".field-error, :invalid").first.wait_for()
    found += [f"wrong field {one}" for one in violations(page)]
    assert found == []


def test_a_visitor_without_javascript_fills_in_every_type(page_without_javascript: Page, public_id: str) -> None:
    page = page_without_javascript
    with transaction():
        interface = db.session.scalars(select(Interface).where(Interface.public_id == public_id)).one()
        for template in (interface_templates.DEMO, interface_templates.NEWSLETTER):
            for field in template.fields():
                given = {name: getattr(field, name) for name in ("required", "statement", "label")}
                given["options"] = "\n".join(field.options or [])
                fields.add(interface, field.type, given)
    page.goto(f"/f/{public_id}")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("link", name="How large is your team? is needed.").click()
    expect(page.get_by_role("radio", name="Just me")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_role("checkbox", name="Midday").check()
    page.get_by_role("checkbox", name="Send me the newsletter").check()
    for textbox in page.get_by_role("textbox").all():
        if textbox.get_attribute("required") is not None:
            textbox.fill("ada@example.com")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("We will be in touch soon").wait_for()
