"""The honeypot is safe because of its name and its label: browsers that fill in an address leave it empty."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, CDPSession, Page
from sqlalchemy import select

from tests.browser.conftest import EMAIL, window
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Field, FieldType, User
from webapp.services.intake import visitor
from webapp.services.interfaces import interfaces

ADDRESS = {
    "NAME_FULL": "Ada Lovelace",
    "EMAIL_ADDRESS": "ada@example.com",
    "PHONE_HOME_WHOLE_NUMBER": "+442079460958",
    "COMPANY_NAME": "Analytical Engines Ltd",
    "ADDRESS_HOME_STREET_ADDRESS": "12 Example Street",
    "ADDRESS_HOME_CITY": "London",
    "ADDRESS_HOME_ZIP": "SW1Y 4JH",
    "ADDRESS_HOME_COUNTRY": "GB",
}
MORE = {"company": "organization", "street": "street-address", "city": "address-level2", "zip": "postal-code"}


@pytest.fixture
def form(site_app: Flask) -> str:
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Filled in")
        for key, autocomplete in MORE.items():
            more = {"key": key, "label": key.title(), "autocomplete": autocomplete, "position": 20}
            interface.fields.append(Field(type=FieldType.TEXT, **more))
        return f"/f/{interface.public_id}"


@pytest.fixture
def page(whole_chromium: Browser, site: Site) -> Iterator[Page]:
    with window(whole_chromium, site) as page:
        yield page


@pytest.fixture
def devtools(page: Page) -> Iterator[CDPSession]:
    session = page.context.new_cdp_session(page)
    yield session
    session.detach()


def autofill(page: Page, devtools: CDPSession, selector: str) -> None:
    """Has Chromium fill in an address, as if a person chose it below that field."""
    page.click(selector)
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    node = devtools.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    field = devtools.send("DOM.describeNode", {"nodeId": node})["node"]["backendNodeId"]
    fields = [{"name": name, "value": value} for name, value in ADDRESS.items()]

    def fill() -> bool:
        devtools.send("Autofill.trigger", {"fieldId": field, "address": {"fields": fields}})
        return bool(values(page)["city"] == "London")

    wait_until(fill, "the address", every=0.3)  # right after a page was loaded, Chromium may not know its fields yet


def values(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("Object.fromEntries(new FormData(document.forms[0]))")
    return found


def test_chromium_fills_in_every_field_but_the_honeypot(page: Page, devtools: CDPSession, form: str) -> None:
    page.goto(form)
    autofill(page, devtools, "#name")
    found = values(page)
    assert (found["name"], found["company"], found["zip"]) == ("Ada Lovelace", "Analytical Engines Ltd", "SW1Y 4JH")
    assert found[visitor.TRAP] == ""


@pytest.mark.parametrize("change", [("name", "company"), ("label", "Company")])
def test_another_name_or_label_of_the_honeypot_would_be_filled_in(
    page: Page, devtools: CDPSession, form: str, change: tuple[str, str]
) -> None:
    """So this test would notice it, and `autocomplete=off` does not help."""
    page.goto(form)
    page.evaluate(
        """([what, to]) => {
          for (const field of ["company"]) document.getElementById(field).closest(".lf-field").remove();
          const trap = document.querySelector(".lf-trap input");
          if (what === "name") trap.name = trap.id = to;
          else trap.labels[0].textContent = to;
        }""",
        list(change),
    )
    autofill(page, devtools, "#name")
    assert values(page)["company" if change[0] == "name" else visitor.TRAP] == "Analytical Engines Ltd"
