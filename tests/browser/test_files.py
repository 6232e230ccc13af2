"""A visitor adds files without JavaScript, corrects another answer, and a person saves them from the lead's page."""

from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from tests.browser.conftest import EMAIL, sign_in
from tests.support.axe import DESK, violations
from tests.support.site import Site
from tests.support.uploads import PDF, PNG, ask_for_files
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Lead, User
from webapp.services.interfaces import interfaces

HOSTILE = "<img src=x onerror=alert(1)>'\"&{{7*7}}.png"


@pytest.fixture
def public_id(site_app: Flask) -> str:
    with transaction():
        owner = db.session.scalars(select(User).where(User.email == EMAIL)).one()
        interface = interfaces.create(owner.account_id, "Apply for a job")
    ask_for_files(interface, label="Your CV", required=True)
    ask_for_files(interface, "more", label="More", file_count="3", help="Certificates, or pictures of your work.")
    public_id = interface.public_id
    db.session.rollback()
    return public_id


def test_files_survive_a_correction_and_are_saved_by_people(
    chromium: Browser, site: Site, public_id: str, tmp_path: Path
) -> None:
    wrong: list[str] = []
    for name, content in (("Lebenslauf für Köln.pdf", PDF), (HOSTILE, PNG), ("more work.png", PNG + b"2")):
        (tmp_path / name).write_bytes(content)
    visitor = chromium.new_context(base_url=site.url, java_script_enabled=False)
    page = visitor.new_page()
    page.goto(f"/f/{public_id}")
    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_label("Email").fill("ada@example")
    page.get_by_label("Message").fill("Hello")
    page.get_by_label("Your CV").set_input_files(tmp_path / "Lebenslauf für Köln.pdf")
    page.get_by_label("More").set_input_files([tmp_path / HOSTILE, tmp_path / "more work.png"])
    page.get_by_role("button", name="Send").click()
    kept = page.get_by_label("Keep Lebenslauf für Köln.pdf")
    expect(kept).to_be_checked()
    page.get_by_label("Keep more work.png").uncheck()
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Your answers were sent")).to_be_visible()
    visitor.close()

    db.session.rollback()
    lead = db.session.scalars(select(Lead).order_by(Lead.id.desc())).first()
    assert lead
    assert [entry["name"] for entry in lead.fields["cv"]] == ["Lebenslauf für Köln.pdf"]
    assert [entry["name"] for entry in lead.fields["more"]] == [HOSTILE]
    lead_id = lead.public_id
    db.session.rollback()

    people = chromium.new_context(base_url=site.url)
    page = people.new_page()
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    sign_in(page)
    page.goto(f"/leads/{lead_id}")
    assert violations(page, [DESK]) == []
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Lebenslauf für Köln.pdf").click()
    assert saved.value.suggested_filename == "Lebenslauf für Köln.pdf"
    assert Path(saved.value.path()).read_bytes() == PDF
    page.goto(f"/interfaces/{public_id}/edit/fields/new?type=file")
    assert violations(page, [DESK]) == []
    page.goto(f"/f/{public_id}")
    assert violations(page, [DESK]) == []
    people.close()
    assert wrong == []
