"""Pages that are not in UTF-8, and what people type into Chromium's date control."""

from functools import partial

from flask import Flask
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL
from tests.support.site import Site
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Lead, User
from webapp.services.interfaces import fields, interfaces

# The encoding that the page declares, Python's name of it, the form's language, and what is typed there.
PAGES = [
    ("ISO-8859-1", "cp1252", "en", "José Müller – 5 €"),
    ("windows-1252", "cp1252", "de", "José Müller 日本"),
    ("Shift_JIS", "cp932", "ja", "山田 太郎"),
    ("EUC-JP", "euc_jp", "ja", "山田 太郎"),
    ("EUC-KR", "cp949", "ko", "김철수"),
    ("gbk", "gb18030", "zh-CN", "王小明"),
    ("windows-1251", "cp1251", "ru", "Иван Петров"),
    ("KOI8-R", "koi8_r", "en", "Иван Петров"),
]


def _interface(language: str) -> tuple[str, int]:
    """A new interface's address and id; no transaction stays open, which would keep the site from writing."""
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, f"In {language}")
        interface.language = language
        fields.add(interface, FieldType.DATE, {"label": "Moving in", "key": "day"})
        return f"/f/{interface.public_id}", interface.id


def _names(interface_id: int) -> list[str]:
    db.session.rollback()
    found = list(db.session.scalars(select(Lead.name).where(Lead.interface_id == interface_id).order_by(Lead.id)))
    db.session.rollback()
    return found


def test_chromium_sends_what_was_typed_from_pages_in_many_encodings(site_app: Flask, site: Site, page: Page) -> None:
    for label, python, language, name in PAGES:
        address, interface_id = _interface(language)
        says_so = '<input type=hidden name="_charset_">' if python == "koi8_r" else ""
        markup = f"""<!doctype html><meta charset="{label}"><title>Host</title>{{}}{says_so}
            <input name=name><input name=email value=ada@example.com><input name=message value=Hi><button>Go</button>"""
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            body = markup.format(f'<form method=post action="{site.url}{address}" enctype="{kind}">').encode(python)
            page.route("http://host.test/*", partial(_serve, body=body, label=label))
            page.goto("http://host.test/contact")
            page.locator("[name=name]").fill(name)
            page.get_by_role("button").click()
            page.wait_for_url("**/thank-you")
            page.unroute("http://host.test/*")
        assert _names(interface_id) == [name, name], label


def _serve(route: Route, *, body: bytes, label: str) -> None:
    route.fulfill(body=body, content_type=f"text/html; charset={label}")


def test_a_year_of_two_digits_is_answered_in_words(site_app: Flask, page: Page) -> None:
    address, _ = _interface("en")
    page.goto(address)
    for label, value in (("Name", "Ada"), ("Email", "ada@example.com"), ("Message", "Hi")):
        page.get_by_label(label).fill(value)
    day = page.get_by_label("Moving in")
    day.press_sequentially("033127")
    expect(day).to_have_value("0027-03-31")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("Please check the year")
    day.fill("2027-03-31")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/thank-you")
