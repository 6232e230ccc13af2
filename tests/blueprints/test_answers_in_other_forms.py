"""From a lead to what people see of an answer that is compressed or in another charset: its words, and no secret."""

import csv
import gzip
import html
import io
from collections.abc import Callable

import brotli
import pytest
from flask import Flask

from tests.blueprints.test_shown_addresses import PATH, echo, reader, without_secrets
from tests.support.factories import ADA, delivery_of, point_at
from tests.support.receiver import Receiver, answering
from tests.support.smtp import MailServer
from webapp import jobs
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Lead, Role, User

WORDS = "Ungültige Telefonnummer – 電話番号が正しくありません"
HTMX = {"HX-Request": "true", "HX-Target": "tr#row"}


def iso_2022_jp_in_pieces(data: bytes) -> bytes:
    """A sequence that changes nothing behind every sign, so that no part of the address is whole in the bytes."""
    return b"\x1b$B\x1b(B" + b"\x1b(B".join(bytes([byte]) for byte in data)


# How an answer that repeats its address travels: its bytes, and the headers that say so, or not.
FORMS: dict[str, tuple[Callable[[bytes], bytes], list[tuple[str, str]]]] = {
    "gzip": (gzip.compress, [("content-encoding", "gzip")]),
    "br": (brotli.compress, [("content-encoding", "br")]),
    "gzip without a header": (gzip.compress, []),
    "utf-16": (lambda data: data.decode().encode("utf-16"), [("content-type", "text/plain; charset=utf-16")]),
    "utf-16 without a mark": (lambda data: data.decode().encode("utf-16-be"), []),
    "utf-32 in gzip": (lambda data: gzip.compress(data.decode().encode("utf-32")), [("content-encoding", "gzip")]),
    "iso-2022-jp": (iso_2022_jp_in_pieces, [("content-type", "text/plain; charset=iso-2022-jp")]),
    "a made-up coding": (bytes, [("content-encoding", "utf-8")]),
    "NUL between all signs": (lambda data: b"\0".join(bytes([byte]) for byte in data), []),
}


def refused(app: Flask, interface: Interface) -> Lead:
    """A lead that a visitor posted and the receiver refused."""
    assert app.test_client().post(f"/f/{interface.public_id}", data=ADA).status_code == 303
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    return db.session.query(Lead).one()


@pytest.mark.parametrize("form", FORMS)
def test_an_address_that_an_answer_repeats_is_cut_out_of_it_in_any_form(
    app: Flask, owner: User, interface: Interface, receiver: Receiver, form: str
) -> None:
    travels, headers = FORMS[form]
    point_at(interface, receiver.origin + PATH)
    receiver.answer(404, travels(echo(receiver)), headers)
    lead_id = refused(app, interface).public_id
    client = reader(app, owner, Role.LEADS_ONLY)
    for path in (f"/leads/{lead_id}", "/leads", "/leads.csv"):
        seen = client.get(path, buffered=True).text
        without_secrets(seen, f"{path} of an answer in {form}")
        assert "Cannot POST •••" in html.unescape(seen), f"{path} of an answer in {form}"
    whole = html.unescape(reader(app, owner, Role.OWNER).get(f"/leads/{lead_id}").text)
    assert f"Cannot POST {PATH}" in whole


@pytest.mark.parametrize(
    ("charset", "packed"), [("gb18030", False), ("utf-16", False), ("utf-8", True), ("gb18030", True)]
)
def test_pages_export_and_mail_have_the_receivers_words(
    make_app: Callable[..., Flask], charset: str, packed: bool
) -> None:
    from tests.conftest import PASSWORD, sign_in
    from webapp.db.transactions import transaction
    from webapp.services.interfaces import interfaces
    from webapp.services.people import users

    with MailServer() as smtp, Receiver() as receiver:
        app = make_app(**smtp.environ)
        body = WORDS.encode(charset)
        headers = [("content-type", f"text/plain; charset={charset}")]
        if packed:
            body, headers = gzip.compress(body), [*headers, ("content-encoding", "gzip")]
        receiver.behave(answering(422, body, headers))
        with app.app_context():
            with transaction():
                owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
                interface = interfaces.create(owner.account_id, "Contact sales")
            point_at(interface, receiver.url)
            lead = refused(app, interface)
            jobs.send_mail()
            delivery = delivery_of(lead)
            [attempt] = delivery.attempts
            assert (attempt.code, attempt.response, attempt.truncated) == (422, WORDS, False)
            assert delivery.last_response == WORDS
            assert len(receiver.requests) == 1
            lead_id = lead.public_id
            client = sign_in(app, "alice@example.com")
            for path in (f"/leads/{lead_id}", "/leads"):
                assert WORDS in html.unescape(client.get(path).text)
            assert WORDS in html.unescape(client.get(f"/leads/{lead_id}/row", headers=HTMX).text)
            text = client.get("/leads.csv", buffered=True).text.removeprefix("\ufeff")
            assert [row["Webhook Response"] for row in csv.DictReader(io.StringIO(text))] == [WORDS]
    [mail] = smtp.received
    assert WORDS in " ".join(mail.text.split())
