"""A form that is shown again because of one answer has the others as they were typed, so that nothing of it is lost."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppMaker, make_owner
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, FieldType, Interface, Lead, User
from webapp.services.interfaces import fields, interface_templates, interfaces


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    """Without a limit on posts: one test may send many."""
    app = make_app(FORM_RATE_LIMIT="")
    with app.app_context():
        yield app


def _make_form() -> None:
    account_id = make_owner().account_id
    with transaction():
        interface = interfaces.create(account_id, "Again", interface_templates.BLANK)
        interface.webhook.url = "https://crm.example.com/"
        interface.language, interface.country = "de", "DE"
        fields.add(interface, FieldType.TEXT, {"label": "Name", "key": "name", "required": True})
        for kind in ("email", "phone", "number", "date", "url"):
            fields.add(interface, FieldType(kind), {"label": kind, "key": kind})


MAKES = {"form": _make_form}


@pytest.fixture
def form(owner: User) -> Interface:
    """A form for Germany with the types that read what was typed, and a name that is needed. The key is the type."""
    with transaction():
        return db.session.scalars(select(Interface)).one()


class Controls(HTMLParser):
    """The <input> elements of a page by name, each with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str | None]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.found[str(given["name"])] = given


def sent_twice(client: FlaskClient, form: Interface, key: str, typed: str) -> tuple[dict[str, str | None], Lead]:
    """Sends the form without the name, then the page that came back with it: the control, and the lead."""
    page = client.post(f"/f/{form.public_id}", data={key: typed})
    assert page.status_code == 422
    controls = Controls(page.text).found
    again = {name: str(control.get("value") or "") for name, control in controls.items()}
    del again["_token"]  # it says that the form is filled in too fast for a person
    assert client.post(f"/f/{form.public_id}", data={**again, "name": "Ada"}).status_code == 303
    db.session.rollback()
    return controls[key], db.session.scalars(select(Lead)).one()


@pytest.mark.parametrize(
    ("key", "typed", "kept"),
    [
        ("phone", "+1 (212) 736-5000 extension 4", "+12127365000;ext=4"),
        ("phone", "030 123456-78", "+493012345678"),
        ("phone", "tel:+1-212-736-5000;ext=4", "+12127365000;ext=4"),
        ("phone", "+44 (0)20 7946 0958", "+442079460958"),
        ("email", "Ada <ada@example.com>", "ada@example.com"),
        ("email", "Ada@EXAMPLE.com", "Ada@example.com"),
        ("url", "x.example", "https://x.example"),
        ("url", "www.x.example/über-uns", "https://www.x.example/über-uns"),
        ("number", "10.000", 10000),
        ("number", "12,50", 12.5),
        ("date", "02.01.2027", "2027-01-02"),
        ("date", "2027/01/02", "2027-01-02"),
        ("date", "2. 1. 2027", "2027-01-02"),
    ],
)
def test_what_was_typed_is_in_the_control_and_arrives(
    client: FlaskClient, form: Interface, key: str, typed: str, kept: object
) -> None:
    control, lead = sent_twice(client, form, key, typed)
    assert control["value"] == typed
    assert (lead.fields[key], lead.typed) == (kept, {key: typed})
    payload = json.loads(db.session.scalars(select(Delivery.payload)).one())
    assert payload["data"]["lead"]["typed"] == {key: typed}


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("phone", "+442079460958"),
        ("phone", "030 12345 (after 6 pm)"),
        ("email", "ada@example.com"),
        ("url", "https://x.example/"),
        ("number", "12"),
        ("date", "2027-01-02"),
        ("date", ""),
    ],
)
def test_what_is_kept_as_it_was_typed_has_nothing_beside_it(
    client: FlaskClient, form: Interface, key: str, typed: str
) -> None:
    control, lead = sent_twice(client, form, key, typed)
    assert (control["value"], lead.typed) == (typed, None)
    assert str(lead.fields[key]) == typed


def test_a_day_of_the_calendar_stays_in_it_and_one_that_was_written_out_is_text(
    client: FlaskClient, form: Interface
) -> None:
    """A browser's control for dates shows nothing for 02.01.2027."""
    for typed, control in (("2027-01-02", "date"), ("02.01.2027", "text"), ("soon", "date"), ("", "date")):
        found = Controls(client.post(f"/f/{form.public_id}", data={"date": typed}).text).found["date"]
        assert found["type"] == control
        assert ("min" in found, "max" in found) == (control == "date", control == "date")


@pytest.mark.parametrize(
    ("key", "typed", "kept"),
    [
        ("phone", f"+44 20{' ' * 200_000}7946 0958", "+442079460958"),
        ("phone", f"+44{' ' * 250}20 7946{' ' * 250}0958", "+442079460958"),
        ("number", f"1.000{' ' * 5000}.000", None),
        ("url", "x.example/" + "a" * 2000, "https://x.example/" + "a" * 2000),
        ("email", "Ada <ada@example.com>" + "\u200b" * 200, "ada@example.com"),
        ("email", "Ada" + "\n " * 9000 + "<ada@example.com>", "ada@example.com"),
        ("date", f"02.{' ' * 600}01.2027", "2027-01-02"),
    ],
)
def test_what_was_typed_is_kept_up_to_500_characters(
    client: FlaskClient, form: Interface, key: str, typed: str, kept: object
) -> None:
    answer = client.post(f"/f/{form.public_id}", data={"name": "Ada", key: typed})
    db.session.rollback()
    if kept is None:
        assert answer.status_code == 422
        return
    lead = db.session.scalars(select(Lead)).one()
    assert lead.fields[key] == kept
    written = lead.typed[key]
    assert written == (typed if len(typed) <= 500 else typed[:499] + "…")


def test_exactly_500_characters_are_kept_whole(client: FlaskClient, form: Interface) -> None:
    for length in (500, 501):
        typed = "x.example/".ljust(length, "a")
        client.post(f"/f/{form.public_id}", data={"name": "Ada", "url": typed})
        db.session.rollback()
        lead = db.session.scalars(select(Lead).order_by(Lead.id.desc()).limit(1)).one()
        assert lead.typed == {"url": typed if length == 500 else typed[:499] + "…"}
