"""Every way of posting with every kind of value: the table of docs/forms.md, walked cell by cell."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Frame, Page
from sqlalchemy import select

from tests.browser.conftest import EMAIL
from tests.support.host import Host
from tests.support.site import Site
from tests.support.tree import ROOT
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, Lead, User
from webapp.services.intake import visitor
from webapp.services.interfaces import fields, interface_templates, interfaces

TITLE = "## Every way, every kind of value"
WAYS = ["form-encoded", "multipart", "JSON", "`fetch`", "Script", "iframe", "Plain HTML"]
NOTE = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"Hello"}
TYPED = {  # into controls that visitors see
    "text": "  Ada   Müller ",
    "email": "ada@EXAMPLE.com",
    "phone": "020 7946 0958 ext 4",
    "remark": "020 7946 0958 after 6",
    "long_text": "One\ntwo",
    "number": "12,5",
    "date": "2027-03-31",
    "url": "example.com",
}
CHOSEN = {"select": "Red", "radio": "Red", "agreed": "v1"}
FLAT = [*TYPED.items(), *CHOSEN.items(), ("checkboxes", "Blue"), ("checkboxes", "Red"), ("plan", "pro")]
BY_HAND = [("company", "Acme"), ("twice", "Bob"), ("twice", "Ada")]
# A kind of value in the table, and where a lead has it.
KINDS: dict[str, Callable[[Lead], Any]] = {
    "Text": lambda lead: lead.fields["text"],
    "Email": lambda lead: lead.fields["email"],
    "Phone": lambda lead: lead.fields["phone"],
    "Phone with a remark": lambda lead: [lead.fields["remark"], (lead.marks or {}).get("remark")],
    "Long text": lambda lead: lead.fields["long_text"],
    "Select, Radio": lambda lead: [lead.fields["select"], lead.fields["radio"]],
    "Checkboxes": lambda lead: lead.fields["checkboxes"],
    "Number": lambda lead: lead.fields["number"],
    "Date": lambda lead: lead.fields["date"],
    "URL": lambda lead: lead.fields["url"],
    "Consent, given": lambda lead: lead.fields["agreed"],
    "Consent, not given": lambda lead: [lead.fields["box"], [each["given"] for each in lead.consents]],
    "File": lambda lead: [[each["name"], each["size"]] for each in lead.fields["cv"]],
    "Hidden value": lambda lead: lead.fields["plan"],
    "Visible answer in the form's address": lambda lead: lead.fields["city"],
    "Name that no field asks for": lambda lead: (lead.undeclared or {}).get("company"),
    "File that no field asks for": lambda lead: (lead.undeclared or {}).get("extra"),
    "Name sent twice": lambda lead: lead.fields["twice"],
    "Campaign in the form's address": lambda lead: lead.source["utm"]["source"],
    "Campaign in the page's address": lambda lead: lead.source["utm"]["medium"],
    "Address of the page": lambda lead: (lead.source["page_url"] or "").replace(PAGE["origin"], ""),
    "Title of the page": lambda lead: lead.source["page_title"],
}
PAGE = {"origin": ""}


class Form(NamedTuple):
    public_id: str
    address: str


def table() -> dict[str, dict[str, str]]:
    """The cells of the table by kind, then by column."""
    section = (ROOT / "docs" / "forms.md").read_text().split(TITLE)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    names, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    PAGE["origin"] = host.url
    yield host
    host.stop()


@pytest.fixture
def form(site_app: Flask, site: Site) -> Form:
    """A form with a field of every type. Addresses may fill in its answers."""
    given = {"options": "Red\nBlue", "statement": "I agree.", "half": False}
    types = {kind.value: kind for kind in FieldType if kind not in (FieldType.HEADING, FieldType.HIDDEN)}
    types |= {"remark": FieldType.PHONE, "agreed": FieldType.CONSENT, "box": FieldType.CONSENT, "cv": FieldType.FILE}
    types |= {"plan": FieldType.HIDDEN, "city": FieldType.TEXT, "twice": FieldType.TEXT}
    del types["consent"], types["file"]
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Every way", interface_templates.BLANK)
        interface.country, interface.prefills = "GB", True
        for key, kind in types.items():
            fields.add(interface, kind, {**given, "label": key.capitalize().replace("_", " "), "key": key})
        interface.updated_at = utcnow()
        public_id = interface.public_id
    return Form(public_id, f"{site.url}/f/{public_id}")


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1000, "height": 1400})
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def newest(form: Form) -> Lead:
    db.session.rollback()
    query = select(Lead).join(Interface).where(Interface.public_id == form.public_id).order_by(Lead.id.desc()).limit(1)
    lead = db.session.scalars(query).one()
    db.session.expunge(lead)
    db.session.rollback()
    return lead


def form_encoded(form: Form, **_: Any) -> None:
    """The body is in windows-1252."""
    pairs = [*FLAT, *BY_HAND, ("page_url", f"{PAGE['origin']}/contact"), ("page_title", "Contact")]
    body = "&".join(f"{name}={requests.utils.quote(value, encoding='cp1252')}" for name, value in pairs)
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=windows-1252", "Accept": "application/json"}
    answer = requests.post(f"{form.address}?utm_source=news&city=Oslo", data=body, headers=headers, timeout=15)
    assert answer.status_code == 201, answer.text


def multipart(form: Form, **_: Any) -> None:
    pairs = [*FLAT, *BY_HAND, ("page_url", f"{PAGE['origin']}/contact"), ("page_title", "Contact")]
    parts: list[Any] = [(name, (None, value)) for name, value in pairs]
    parts += [("cv", ("note.txt", b"Hello", "text/plain")), ("extra", ("more.txt", b"Hello", "text/plain"))]
    accept = {"Accept": "application/json"}
    answer = requests.post(f"{form.address}?utm_source=news&city=Oslo", files=parts, headers=accept, timeout=15)
    assert answer.status_code == 201, answer.text


def as_json(form: Form, **_: Any) -> None:
    sent = {**TYPED, **CHOSEN, "checkboxes": ["Blue", "Red"], "plan": "pro", "company": "Acme"}
    sent |= {"number": 12.5, "agreed": True, "page_url": f"{PAGE['origin']}/contact", "page_title": "Contact"}
    body = f'{json.dumps(sent)[:-1]}, "twice": "Bob", "twice": "Ada"}}'
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{form.address}?utm_source=news&city=Oslo", data=body, headers=headers, timeout=15)
    assert answer.status_code == 201, answer.text


def by_fetch(form: Form, page: Page, host: Host, **_: Any) -> None:
    host.pages["/contact"] = ("<!doctype html><meta charset=utf-8><title>Contact</title>", "")
    page.goto(f"{host.url}/contact?utm_medium=mail")
    send = """async ([address, pairs]) => {
      const body = new FormData();
      for (const [name, value] of pairs) body.append(name, value);
      for (const [name, file] of [["cv", "note.txt"], ["extra", "more.txt"]])
        body.append(name, new File(["Hello"], file, { type: "text/plain" }));
      return (await fetch(address, { method: "POST", body })).status;
    }"""
    assert page.evaluate(send, [f"{form.address}?utm_source=news&city=Oslo", [*FLAT, *BY_HAND]]) == 201


def answer_all(shown: Page | Frame) -> None:
    """As a visitor does, by the names of the controls."""
    for name, value in TYPED.items():
        shown.locator(f"[name={name}]").fill(value)
    shown.locator("select[name=select]").select_option("Red")
    shown.locator("[name=radio][value=Red]").check()
    for option in ("Blue", "Red"):
        shown.locator(f"[name=checkboxes][value={option}]").check()
    shown.locator("[name=agreed]").check()
    shown.locator("[name=cv]").set_input_files(NOTE)  # type: ignore[arg-type]


def framed(form: Form, page: Page, host: Host, body: str, **_: Any) -> None:
    host.pages["/contact"] = (f"<!doctype html><meta charset=windows-1252><title>Contact</title>{body}", "")
    page.goto(f"{host.url}/contact?utm_medium=mail")
    frame = page.locator("iframe").element_handle().content_frame()
    assert frame
    answer_all(frame)
    frame.locator("[name=email]").press("Enter")
    frame.get_by_role("heading", name="Your answers were sent").wait_for()


def by_script(form: Form, site: Site, **ways: Any) -> None:
    place = f'<div data-interface="{form.public_id}" data-hidden-plan="pro" data-prefill-city="Oslo"></div>'
    framed(form, body=f"{place}<script async src={site.url}/embed.js></script>", **ways)


def by_iframe(form: Form, site: Site, **ways: Any) -> None:
    address = f"{form.address}?_frame=1&plan=pro&city=Oslo&utm_source=news"
    framed(form, body=f'<iframe src="{address}" width=800 height=1300></iframe>', **ways)


def by_plain_html(form: Form, page: Page, host: Host, site_app: Flask, **_: Any) -> None:
    """The snippet of the Embed tab with two more controls, in a page in windows-1252."""
    interface = db.session.scalars(select(Interface).where(Interface.public_id == form.public_id)).one()
    snippet = site_app.jinja_env.get_template("interfaces/_plain_form.html")
    address = f"{form.address}?utm_source=news&city=Oslo"
    text = snippet.render(interface=interface, address=address, trap=visitor.TRAP)
    db.session.rollback()
    more = '<input name="company"><input name="extra" type="file"><input name="twice" value="Ada"></form>'
    body = text.replace("</form>", more)
    host.pages["/contact"] = (f"<!doctype html><meta charset=windows-1252><title>Contact</title>{body}", "")
    page.goto(f"{host.url}/contact?utm_medium=mail")
    answer_all(page)
    page.locator("[name=plan]").evaluate("(input) => { input.value = 'pro'; }")
    page.locator("[name=company]").fill("Acme")
    page.locator("[name=twice]").first.fill("Bob")
    page.locator("[name=extra]").set_input_files({**NOTE, "name": "more.txt"})  # type: ignore[arg-type]
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="Your answers were sent").wait_for()


SENDERS = dict(
    zip(WAYS, [form_encoded, multipart, as_json, by_fetch, by_script, by_iframe, by_plain_html], strict=True)
)


@pytest.mark.parametrize("way", WAYS)
def test_each_cell_of_the_table_is_true(
    way: str, form: Form, page: Page, host: Host, site: Site, site_app: Flask
) -> None:
    cells = table()
    assert list(cells) == list(KINDS)
    SENDERS[way](form=form, page=page, host=host, site=site, site_app=site_app)
    lead = newest(form)
    for kind, where in KINDS.items():
        said, found = cells[kind][way], where(lead)
        whole = json.loads(cells[kind]["arrives"].strip("`"))
        if said == "yes":
            assert found == whole, kind
        elif said == "–":
            assert not found, kind
        else:
            assert found == json.loads(said.strip("`")), kind
