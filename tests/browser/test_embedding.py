"""Forms in pages of another origin, by all three ways: strict policy, no cookies, no JavaScript, single-page sites."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Frame, Page, expect
from sqlalchemy import select

from tests.browser.conftest import CHROMIUM, EMAIL, SWITCHES
from tests.support.host import Host
from tests.support.site import Site
from tests.support.waiting import wait_until
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Field, FieldType, Interface, Lead, User
from webapp.services.interfaces import form_look, interfaces

QUERY = "?utm_source=news&utm_campaign=spring&gclid=g1"
HOST_JS = """
const heard = [];
document.addEventListener("leadhook:submitted", (event) => {
  heard.push(event.detail.interface + " in " + event.target.parentElement.id);
  document.title = heard.join(", ");
});
document.getElementById("later")?.addEventListener("click", () => {
  history.pushState({}, "", "/pricing");
  const place = document.createElement("div");
  place.id = "third";
  place.dataset.interface = document.getElementById("first").dataset.interface;
  place.setAttribute("data-hidden-plan", "pro");
  document.body.append(place);
});
"""


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.stop()


@pytest.fixture
def public_id(site_app: Flask, host: Host) -> str:
    """An interface with a hidden field, that this host alone may embed."""
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Embedded")
        interface.fields.append(Field(type=FieldType.HIDDEN, key="plan", label="Plan", position=9))
        interface.allowed_sites, interface.updated_at = [host.url], utcnow()
        return interface.public_id


@pytest.fixture
def page_without_cookies(chromium: Browser, tmp_path: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page of a browser that blocks all cookies and site data; and what its console complained about."""
    (tmp_path / "Default").mkdir()
    settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
    launch = chromium.browser_type.launch_persistent_context
    context = launch(str(tmp_path), executable_path=CHROMIUM, args=SWITCHES, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(15_000)
    page, errors = context.pages[0], list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page, errors
    context.close()


def leads_of(public_id: str) -> list[Lead]:
    db.session.rollback()
    query = select(Lead).join(Interface).where(Interface.public_id == public_id).order_by(Lead.id)
    found = list(db.session.scalars(query))
    db.session.rollback()
    return found


def fill_in(form: Page | Frame, name: str) -> None:
    form.get_by_label("Name").fill(name)
    form.get_by_label("Email").fill("ada@example.com")
    form.get_by_label("Message").fill("Hello")
    form.get_by_role("button", name="Send").click()


def frame_in(page: Page, place: str) -> Frame:
    frame = page.locator(f"#{place} iframe").element_handle().content_frame()
    assert frame
    return frame


def height_of(page: Page, place: str) -> int:
    return int(page.locator(f"#{place} iframe").get_attribute("height") or 0)


def test_the_script_in_a_page_with_a_strict_policy_and_without_cookies(
    page_without_cookies: tuple[Page, list[str]], site: Site, host: Host, public_id: str
) -> None:
    """Two forms on one page and a third that a single-page site mounts later; each fits, is told of, and is tracked."""
    page, errors = page_without_cookies
    policy = f"default-src 'none'; script-src 'self' {site.url}; frame-src {site.url}"
    forms = "".join(
        f'<div id="{place}" data-interface="{public_id}" data-title="Contact" data-hidden-plan="{plan}"></div>'
        for place, plan in (("first", "free"), ("second", "team"))
    )
    host.pages["/host.js"] = (HOST_JS, "")
    host.pages["/"] = (
        f"<!doctype html><title>Prices</title><body>{forms}<button id=later>Later</button>"
        f"<script src=/host.js></script><script async src={site.url}/embed.js></script>",
        policy,
    )
    page.goto(f"{host.url}/{QUERY}")
    page.wait_for_selector("#second iframe")
    blocked = "() => { try { return typeof localStorage; } catch (error) { return error.name; } }"
    assert page.evaluate(blocked) == "SecurityError"
    page.dispatch_event("#later", "click")  # frames that find their height move it from under a pointer
    for place in ("first", "second", "third"):
        frame = frame_in(page, place)
        frame.get_by_role("button", name="Send").wait_for()
        expect(page.locator(f"#{place} iframe")).not_to_have_attribute("height", "600")
        inside = "document.body.offsetHeight"
        wait_until(lambda: height_of(page, place) == frame.evaluate(inside) > 300, "the frame to fit")  # noqa: B023
        high = height_of(page, place)
        if place == "second":
            frame.get_by_role("button", name="Send").click()  # with nothing in it: the form comes again, higher
            wait_until(lambda: height_of(page, "second") > high, "the frame to grow")  # noqa: B023
            frame = frame_in(page, place)
        fill_in(frame, f"Ada of {place}")
        frame.get_by_role("heading", name="Your answers were sent").wait_for()
        expect(page).to_have_title(re.compile(f"{public_id} in {place}$"))
        wait_until(lambda: height_of(page, place) < high, "the frame to shrink")  # noqa: B023
    assert page.title().count(public_id) == 3
    leads = leads_of(public_id)
    assert [(lead.name, lead.fields["plan"], lead.spam) for lead in leads] == [
        ("Ada of first", "free", None),
        ("Ada of second", "team", None),
        ("Ada of third", "pro", None),
    ]
    for lead in leads:
        source = lead.source
        assert source["page_url"] == f"{host.url}/pricing", "where the visitor was when they typed"
        assert (source["utm"]["source"], source["utm"]["campaign"]) == ("news", "spring")
        assert source["click_ids"] == {"gclid": "g1"}
    assert leads[0].source["page_title"] == "Prices"
    assert page.context.cookies() == []
    assert [error for error in errors if "status of 4" not in error] == []


def test_an_iframe_and_plain_html_without_javascript_and_a_site_that_is_not_allowed(
    page_without_javascript: Page, site: Site, host: Host, public_id: str
) -> None:
    page, address = page_without_javascript, f"{site.url}/f/{public_id}"
    host.pages["/frame"] = (
        f'<!doctype html><div id="frame"><iframe src="{address}?plan=pro" title="Contact" height="640"></iframe></div>',
        f"default-src 'none'; frame-src {site.url}",
    )
    host.pages["/noscript"] = (
        f'<!doctype html><div id="frame" data-interface="{public_id}"><noscript><iframe src="{address}"></iframe>'
        "</noscript></div>",
        f"default-src 'none'; frame-src {site.url}",
    )
    host.pages["/plain"] = (
        f'<!doctype html><form method="post" action="{address}?utm_source=plain">'
        '<label>Name <input name="name"></label>'
        '<label>Email <input name="email"></label><label>Message <textarea name="message"></textarea></label>'
        '<input type="hidden" name="plan" value="team"><input name="_website" hidden><button>Send</button></form>',
        f"default-src 'none'; form-action {site.url}",
    )
    for path in ("/frame", "/noscript"):
        page.goto(f"{host.url}{path}")
        fill_in(frame_in(page, "frame"), f"Ada of {path}")
        page.frame_locator("#frame iframe").get_by_role("heading", name="Your answers were sent").wait_for()
    page.goto(f"{host.url}/plain")
    fill_in(page, "Ada of /plain")
    expect(page.get_by_role("heading", name="Your answers were sent")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Your answers were sent")).to_be_visible()
    leads = leads_of(public_id)
    assert [(lead.name, lead.fields["plan"]) for lead in leads] == [
        ("Ada of /frame", "pro"),
        ("Ada of /noscript", ""),
        ("Ada of /plain", "team"),
    ]
    assert {lead.source["page_url"] for lead in leads} == {f"{host.url}/"}
    assert leads[2].source["utm"]["source"] == "plain"
    assert page.context.cookies() == []


def test_fetch_from_an_allowed_page_and_from_another(chromium: Browser, host: Host, site: Site, public_id: str) -> None:
    host.pages["/"] = ("<!doctype html>", "")
    page = chromium.new_page()
    send = """async (address) => {
      const body = JSON.stringify({ name: "Ada", email: "ada@example.com", message: "Hello", plan: "api" });
      const headers = { "Content-Type": "application/json" };
      try { return (await (await fetch(address, { method: "POST", headers, body })).json()).id; } catch { return "no"; }
    }"""
    page.goto(host.url)
    answer = page.evaluate(send, f"{site.url}/f/{public_id}")
    elsewhere = host.url.replace("localhost", "127.0.0.1")
    page.goto(elsewhere)
    refused = page.evaluate(send, f"{site.url}/f/{public_id}")
    page.close()
    assert (answer, refused) == (leads_of(public_id)[0].public_id, "no")
    assert len(leads_of(public_id)) == 1


def test_a_form_in_a_frame_asks_for_three_files_with_its_logo_too(
    page: Page, site: Site, host: Host, public_id: str
) -> None:
    """The page of the form, its stylesheet, its script."""
    with transaction():
        interface = db.session.scalars(select(Interface).where(Interface.public_id == public_id)).one()
        picture = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'
        form_look.set_logo(interface, picture)
    host.pages["/"] = (f'<!doctype html><iframe id="form" src="{site.url}/f/{public_id}"></iframe>', "")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(host.url)
    logo = page.frame_locator("#form").locator("img.lf-logo")
    expect(logo).to_be_visible()
    assert logo.evaluate("(image) => image.complete && image.naturalWidth") == 40
    assert len([address for address in asked if address.startswith(site.url)]) == 3, asked


def test_a_frame_in_a_page_that_is_not_allowed_stays_empty(
    chromium: Browser, site: Site, host: Host, public_id: str
) -> None:
    host.pages["/"] = (f'<!doctype html><iframe id="form" src="{site.url}/f/{public_id}"></iframe>', "")
    page = chromium.new_page()
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text) if "frame-ancestors" in message.text else None)
    page.goto(host.url)
    expect(page.frame_locator("#form").get_by_role("button", name="Send")).to_be_visible()
    page.goto(host.url.replace("localhost", "127.0.0.1"))  # another site, with the same page
    wait_until(lambda: bool(refusals), "the browser to refuse")
    assert page.frame_locator("#form").get_by_role("button", name="Send").count() == 0
    page.close()
