"""Pages that are not in UTF-8, and what people type into Chromium's date control."""

from functools import partial

from flask import Flask
from playwright.sync_api import FilePayload, Page, Route, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL
from tests.support.site import Site
from tests.support.uploads import PDF
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, Lead, User
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


def test_chromium_sends_the_names_of_files_and_fields_from_pages_in_many_encodings(
    site_app: Flask, site: Site, page: Page
) -> None:
    """Also a name that the page's encoding cannot hold; and a name with half a character that is a backslash."""
    for label, python, language, name in (
        ("windows-1252", "cp1252", "en", "履歴書 Müller.pdf"),
        ("Shift_JIS", "cp932", "ja", "履歴書 表.pdf"),
        ("Shift_JIS", "cp932", "ja", "Lebenslauf Müller 表"),
        ("ISO-2022-JP", "iso2022_jp", "ja", "履歴書.pdf"),
        ("gbk", "gb18030", "zh-CN", "简历.pdf"),
        ("KOI8-R", "koi8_r", "en", "резюме.pdf"),
        ("UTF-8", "utf_8", "en", "履歴書 Müller.pdf"),
    ):
        address, interface_id = _interface(language)
        with transaction():
            fields.add(db.session.get_one(Interface, interface_id), FieldType.FILE, {"label": "CV", "key": "cv"})
        field = {"cp1252": "Straße", "koi8_r": "имя", "gb18030": "公司"}.get(python, "会社表")
        body = f"""<!doctype html><meta charset="{label}"><title>Host</title><form method=post
            action="{site.url}{address}" enctype="multipart/form-data"><input type=hidden name="_charset_">
            <input name=name value=Ada><input name=email value=ada@example.com><input name=message value=Hi>
            <input name="{field}" value=x><input type=file name=cv><input type=file name=more><button>Go</button>"""
        page.route("http://host.test/*", partial(_serve, body=body.encode(python), label=label))
        page.goto("http://host.test/contact")
        is_pdf = name.endswith(".pdf")
        file: FilePayload = {"name": name, "mimeType": "application/pdf", "buffer": PDF}
        page.locator(f"[name={'cv' if is_pdf else 'more'}]").set_input_files(file)
        page.get_by_role("button", name="Go").click()
        page.wait_for_url("**/thank-you")
        page.unroute("http://host.test/*")
        db.session.rollback()
        lead = db.session.scalars(select(Lead).where(Lead.interface_id == interface_id)).one()
        found, others = lead.fields["cv"], lead.undeclared or {}
        db.session.rollback()
        assert (found[0] if is_pdf else others["more"])["name" if is_pdf else "file"] == name, label
        assert others[field] == "x", label


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
