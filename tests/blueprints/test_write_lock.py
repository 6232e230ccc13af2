"""No page is rendered, and no form validated, while its request keeps other writers out of the database."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask, before_render_template
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.conftest import ON_POSTGRESQL
from tests.house.test_routes import FOREIGN
from tests.support.factories import ADA, point_at, submit
from webapp.extensions import db
from webapp.models import Interface

# They end the session, or delete what the addresses after them need.
ENDS = {"auth.sign_out", "profile.sign_out_everywhere", "interfaces.delete", "fields.remove"}

pytestmark = pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL has many writers at a time")


class Renders:
    """The templates that were rendered, and those during which another writer was refused."""

    def __init__(self, path: str) -> None:
        self.path, self.all, self.locked = path, list[str](), list[str]()

    def note(self, app: Flask, template: object, context: object) -> None:
        self.all.append(str(getattr(template, "name", "")))
        with closing(sqlite3.connect(self.path, timeout=0, isolation_level=None)) as writer:
            try:
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("ROLLBACK")
            except sqlite3.OperationalError:
                self.locked.append(self.all[-1])


@pytest.fixture
def renders(app: Flask) -> Iterator[Renders]:
    renders = Renders(str(db.engine.url.database))
    with before_render_template.connected_to(renders.note, app):
        yield renders


def test_the_check_finds_a_writer(app: Flask, renders: Renders) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("SELECT 1"))  # outside of requests every transaction is begun to write
        renders.note(app, None, None)
    assert renders.locked


def test_no_post_renders_under_the_write_lock(
    app: Flask, signed_in: FlaskClient, interface: Interface, renders: Renders
) -> None:
    """Each address is posted to with nothing, which is refused where it is a form."""
    point_at(interface, "https://crm.example/hook")
    lead, field_id, public_id = submit(interface).public_id, interface.fields[0].id, interface.public_id
    db.session.rollback()
    posted = 0
    for rule in app.url_map.iter_rules():
        if "POST" not in (rule.methods or ()) or rule.endpoint.startswith(FOREIGN) or rule.endpoint in ENDS:
            continue
        address = str(rule).replace("<public_id>", lead if rule.endpoint.startswith("leads.") else public_id)
        address = address.replace("<int:field_id>", str(field_id))
        signed_in.post(filled_address(address), data={})
        posted += 1
    assert posted > 30
    assert len(set(renders.all)) >= 12, renders.all
    assert renders.locked == []


def filled_address(address: str) -> str:
    return re.sub(r"<[^>]*>", "x", re.sub(r"<int[^>]*>", "1", address))


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("edit/preview", {"name": "New name", "language": "en", "accent": "#123456", "after": "message"}),
        ("edit/e-mail/preview", {"notification_subject": "Hello {{ name }}"}),
        ("edit/fields/preview?type=text", {"label": "Company"}),
        ("edit", {"name": ""}),
        ("edit/lead-generation", {"webhook_url": "nonsense", "authentication": "none"}),
    ],
    ids=["preview", "mail preview", "field preview", "invalid name", "invalid webhook"],
)
def test_previews_and_invalid_forms_keep_no_writer_out(
    signed_in: FlaskClient, interface: Interface, renders: Renders, path: str, sent: dict[str, str]
) -> None:
    address = f"/interfaces/{interface.public_id}/{path}"
    db.session.rollback()
    assert signed_in.post(address, data=sent).status_code in (200, 204, 422)
    assert renders.locked == []


def test_a_page_after_a_change_keeps_no_writer_out(
    signed_in: FlaskClient, interface: Interface, renders: Renders
) -> None:
    """A secret is shown, and a lead's row comes back, in the answer to the post itself."""
    point_at(interface, "https://crm.example/hook")
    lead = submit(interface, ADA).public_id
    db.session.rollback()
    assert "whsec_" in signed_in.post("/profile/api-keys/new", data={"type": "shared", "name": "CRM"}).text
    htmx = {"HX-Request": "true", "HX-Target": f"tr#{lead}"}
    assert signed_in.post(f"/leads/{lead}/retry", headers=htmx).status_code == 200
    assert {"api_keys/created.html", "leads/_one_row.html"} <= set(renders.all)
    assert renders.locked == []
