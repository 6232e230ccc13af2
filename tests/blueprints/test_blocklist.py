"""The blocklist over HTTP: one form for entries and senders, and only an e-mail address is a sender."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.factories import ADA
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, Lead
from webapp.services.errors import Refused
from webapp.services.intake import visitor
from webapp.services.interfaces import embedding

SAME = [
    # As the owner writes it, and as a visitor writes it.
    ("münchen.example", "ada@münchen.example"),
    ("münchen.example", "ada@xn--mnchen-3ya.example"),
    ("xn--mnchen-3ya.example", "ada@münchen.example"),
    ("MÜNCHEN.Example", "ada@München.example"),
    ("mu\u0308nchen.example", "ada@münchen.example"),  # decomposed, as files and pages of Macs have it
    ("münchen.example", "ada@mu\u0308nchen.example"),
    ("@münchen.example", "ada@münchen.example"),
    ("*.münchen.example", "ada@mail.münchen.example"),
    ("münchen.example", "ada@mail.MÜNCHEN.example"),
    ("straße.example", "ada@STRAßE.example"),
    ("пример.рф", "ада@пример.рф"),
    ("例え.テスト", "ada@例え.テスト"),
    ("ｇｍｘ.example", "ada@gmx.example"),  # full-width letters
    ("gmx.example.", "ada@gmx.example"),
    ("ada@münchen.example", "Ada@MÜNCHEN.example"),
    ("josé@gmx.example", "José@gmx.example"),
    ("jose\u0301@gmx.example", "josé@gmx.example"),
    ("O’Neil@gmx.example", "o’neil@gmx.example"),
    ("gmx.example", "ada@GMX.example"),
]
OTHERS = [
    ("münchen.example", "ada@munchen.example"),
    ("münchen.example", "ada@neumünchen.example"),
    ("straße.example", "ada@strasse.example"),
    ("josé@gmx.example", "jose@gmx.example"),
    ("münchen.example", "münchen@gmx.example"),
    ("mail.gmx.example", "ada@gmx.example"),
]


@pytest.fixture
def form(interface: Interface) -> str:
    return f"/f/{interface.public_id}"


def block(interface: Interface, typed: str) -> None:
    with transaction():
        embedding.update_blocklist(interface, typed, published=False)


def spam() -> list[str | None]:
    db.session.rollback()
    return list(db.session.scalars(select(Lead.spam).order_by(Lead.id)))


@pytest.mark.parametrize(("entry", "email"), SAME)
def test_an_entry_is_found_however_it_and_the_sender_are_written(
    client: FlaskClient, interface: Interface, form: str, entry: str, email: str
) -> None:
    block(interface, entry)
    assert client.post(form, data={**ADA, "email": email}).status_code == 303
    assert spam() == [visitor.BLOCKED]


@pytest.mark.parametrize(("entry", "email"), OTHERS)
def test_another_sender_is_not_found(
    client: FlaskClient, interface: Interface, form: str, entry: str, email: str
) -> None:
    block(interface, entry)
    assert client.post(form, data={**ADA, "email": email}).status_code == 303
    assert spam() == [None]


@pytest.mark.parametrize(
    "stored",
    [
        *("xn--mnchen-3ya.example", "ada@xn--mnchen-3ya.example", "München.example", "ada@münchen.example"),
        *("127.0.0.1", "127.0.0.0/8", "XN--MNCHEN-3YA.example"),
    ],
)
def test_an_entry_stored_by_an_earlier_version_still_works(
    client: FlaskClient, interface: Interface, form: str, stored: str
) -> None:
    with transaction():
        interface.blocklist, interface.updated_at = ["", stored], utcnow()
    client.post(form, data={**ADA, "email": "ada@münchen.example"})
    assert spam() == [visitor.BLOCKED]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "@gmx.example",
            "I had trouble with bob@gmx.example",
            "bob@gmx.example",
            "see gmx.example",
            "a@b@gmx.example",
        ),
        *("<bob@gmx.example>", "bob@gmx.example, eve@gmx.example", "https://x@gmx.example/", "user@"),
    ],
)
@pytest.mark.parametrize("key", ["name", "message"])
def test_an_address_in_a_text_is_no_sender(
    client: FlaskClient, interface: Interface, form: str, text: str, key: str
) -> None:
    block(interface, "gmx.example\nbob@gmx.example")
    assert client.post(form, data={**ADA, key: text}).status_code == 303
    assert spam() == [None]


@pytest.mark.parametrize(
    ("text", "is_sender"),
    [
        ("bob@gmx.example", True),
        ("Bob@GMX.example", True),
        ("@gmx.example", False),
        ("mine is bob@gmx.example", False),
        ("bob@gmx", False),
        ("a@b@gmx.example", False),
    ],
)
def test_a_form_without_an_email_field_may_ask_for_the_address_in_a_text(
    client: FlaskClient, interface: Interface, form: str, text: str, is_sender: bool
) -> None:
    block(interface, "gmx.example")
    with transaction():
        interface.fields[1].type, interface.updated_at = FieldType.TEXT, utcnow()
    client.post(form, data={**ADA, "email": text})
    assert spam() == [visitor.BLOCKED if is_sender else None]


def test_json_and_several_email_fields_are_compared(client: FlaskClient, interface: Interface, form: str) -> None:
    block(interface, "gmx.example")
    with transaction():
        interface.fields[0].type, interface.updated_at = FieldType.EMAIL, utcnow()
    for answers in (
        {"name": "bob@gmx.example"},
        {"email": "bob@gmx.example", "name": "eve@example.com"},
        {"name": "eve@example.com"},
    ):
        assert client.post(form, json={**ADA, **answers}).status_code == 201
    assert spam() == [visitor.BLOCKED, visitor.BLOCKED, None]


@pytest.mark.parametrize(
    "typed", ["münchen..example", "ada@", "-", f"{'ü' * 80}.example", "ada@münchen", "a b", "💩.example"]
)
def test_what_is_no_sender_cannot_be_listed(interface: Interface, typed: str) -> None:
    with pytest.raises(Refused, match="is no IP address, network, e-mail address or domain"):
        embedding.blocklist_entries(typed)


@pytest.mark.parametrize(
    ("typed", "site"),
    [
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://*.Bücher.example:8443/x", "https://*.xn--bcher-kva.example:8443"),
        ("пример.рф:443", "https://xn--e1afmkfd.xn--p1ai"),
        ("*.example.com", "https://*.example.com"),
    ],
)
def test_an_allowed_site_is_kept_as_browsers_send_it(typed: str, site: str) -> None:
    assert embedding.sites(typed) == [site]


@pytest.mark.parametrize("typed", ["https://ü..example", "https://💩.example", f"https://{'ü' * 80}.example"])
def test_a_site_that_cannot_exist_is_refused(typed: str) -> None:
    with pytest.raises(Refused, match="is not a site"):
        embedding.sites(typed)


def test_the_saved_list_has_one_form_and_each_entry_once() -> None:
    typed = "München.example\nxn--mnchen-3ya.example\nJosé@GMX.example\n10.1.2.3/8\n2001:DB8::1"
    assert embedding.blocklist_entries(typed) == [
        *("xn--mnchen-3ya.example", "josé@gmx.example", "10.0.0.0/8", "2001:db8::1"),
    ]


def test_a_form_without_a_blocklist_reads_no_sender(
    client: FlaskClient, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*arguments: object) -> bool:
        raise AssertionError

    monkeypatch.setattr("webapp.services.intake.blocklist.is_listed", unexpected)
    assert client.post(form, data=ADA).status_code == 303
