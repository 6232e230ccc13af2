"""Addresses with letters beyond ASCII, through servers with SMTPUTF8 and without: what is written, and what is said."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.support.factories import point_at, submit
from tests.support.mailing import fields, make_due, notify, the_mail
from tests.support.receiver import Receiver
from tests.support.reporting import fail, send_mail
from tests.support.smtp import MailServer
from webapp import text
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead, Mail
from webapp.services.interfaces import interface_mails
from webapp.services.interfaces.interface_mails import Words
from webapp.services.mail import mails, smtp

pytestmark = pytest.mark.once

# As a visitor types them; the form takes each.
INTERNATIONAL = [
    *("josé@example.com", "o’neil@example.com", "müller@example.com", "ада@example.com", "田中@example.com"),
    *("josé@bücher.example", "δοκιμή@παράδειγμα.example", "عربي@example.com", "zoë.o’brien+news@example.com"),
]
ASCII_LOCAL = {
    "ada@bücher.example": "ada@xn--bcher-kva.example",
    "ada@straße.example": "ada@xn--strae-oqa.example",
    "o'neil@example.com": "o'neil@example.com",
    "ada@пример.example": "ada@xn--e1afmkfd.example",
    "ada@例え.example": "ada@xn--r8jz45g.example",
    "Ada+news@Bücher.Example": "Ada+news@xn--bcher-kva.example",
}
UNSURE = "check that it goes to this address."


@pytest.fixture(params=[True, False], ids=["SMTPUTF8", "ASCII only"])
def utf8(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def server(utf8: bool) -> Iterator[MailServer]:
    with MailServer(enable_SMTPUTF8=utf8) as server:
        yield server


@pytest.fixture
def app(make_app: AppMaker, server: MailServer) -> Iterator[Flask]:
    app = make_app(**server.environ)
    with app.app_context():
        yield app


@pytest.fixture
def notifying(interface: Interface) -> Interface:
    return notify(interface, "sales@example.com")


def answering(interface: Interface) -> Interface:
    words = Words(autoresponds=True, autoresponse_subject="Thank you", autoresponse_body="Hello {{ name }}")
    with transaction():
        interface_mails.update(interface, words)
    return interface


# The notification -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", INTERNATIONAL)
def test_reply_to_is_written_where_the_server_can_and_the_mail_gives_the_address(
    notifying: Interface, server: MailServer, utf8: bool, address: str
) -> None:
    submit(notifying, fields(name="José", email=address))
    mails.deliver_due()
    [received] = server.received
    local, _, domain = address.rpartition("@")
    written = f"{local}@{text.ascii_domain(domain)}"
    assert received.message["Reply-To"] == (written if utf8 else None)
    assert received.recipients == ["sales@example.com"]
    for body in (received.text, received.html):
        assert f"The visitor’s address is {address}." in " ".join(body.split())
        assert UNSURE in " ".join(body.split())
        assert "your reply goes to" not in body
    assert the_mail().status == "Sent"


@pytest.mark.parametrize(("address", "written"), ASCII_LOCAL.items())
def test_an_ascii_name_at_an_international_domain_is_written_for_every_server(
    notifying: Interface, server: MailServer, address: str, written: str
) -> None:
    submit(notifying, fields(email=address))
    mails.deliver_due()
    [received] = server.received
    assert received.message["Reply-To"].lower() == written.lower()
    assert "your reply goes to Ada Lovelace." in " ".join(received.text.split())
    assert UNSURE not in received.text


@pytest.mark.parametrize("own", [Words("Mine", ""), Words("", "Only this."), Words("Mine", "{{ email }}")])
def test_the_accounts_own_texts_are_followed_by_where_a_reply_goes(
    notifying: Interface, server: MailServer, own: Words
) -> None:
    with transaction():
        interface_mails.update(notifying, own)
    submit(notifying, fields(email="josé@example.com"))
    submit(notifying, fields(email=""))
    mails.deliver_due()
    first, second = ((" ".join(each.text.split()), " ".join(each.html.split())) for each in server.received)
    assert all(UNSURE in body for body in first)
    assert all("The visitor left no e-mail address, so you cannot reply." in body for body in second)


@pytest.mark.parametrize(
    "name",
    [
        "José\r\nBcc: x@example.org",
        'Ada "Countess" Lovelace',
        "Lovelace, Ada",
        "Ada 🧑\u200d🚀",
        "O’Neil <o@example.org>",
        "@",
    ],
)
def test_a_name_changes_no_header_beside_an_international_address(
    notifying: Interface, server: MailServer, utf8: bool, name: str
) -> None:
    submit(notifying, fields(name=name, email="josé@example.com"))
    mails.deliver_due()
    [received] = server.received
    assert received.recipients == ["sales@example.com"]
    assert (received.message["To"], received.message["Bcc"]) == ("sales@example.com", None)
    assert received.message["Reply-To"] == ("josé@example.com" if utf8 else None)
    assert str(received.message["Subject"]) == f"New lead: {' '.join(name.split())} · Contact sales"


def test_a_mail_that_the_server_takes_only_in_ascii_is_sent_without_reply_to(
    notifying: Interface, server: MailServer, utf8: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a server offers SMTPUTF8 for itself and refuses the mail, for example for a relay behind it."""
    accept = MailServer.handle_DATA

    async def only_ascii(self: MailServer, server_: Any, session: Any, envelope: Any) -> str:
        return (
            "550 5.6.7 SMTPUTF8 is required" if envelope.smtp_utf8 else await accept(self, server_, session, envelope)
        )

    monkeypatch.setattr(MailServer, "handle_DATA", only_ascii)
    submit(notifying, fields(email="josé@example.com"))
    mails.deliver_due()
    [received] = server.received
    assert received.message["Reply-To"] is None
    assert (the_mail().status, the_mail().tries) == ("Sent", 1)


def test_a_temporary_refusal_of_such_a_mail_is_retried_as_of_any_other(
    notifying: Interface, server: MailServer, utf8: bool
) -> None:
    submit(notifying, fields(email="josé@example.com"))
    server.refused["sales@example.com"] = "451 4.3.0 Try again later"
    mails.deliver_due()
    assert the_mail().status == "Waiting"
    server.refused.clear()
    make_due()
    mails.deliver_due()
    assert [received.message["Reply-To"] for received in server.received] == ["josé@example.com" if utf8 else None]


@pytest.mark.parametrize(
    "several", ["a@example.com, b@example.com", "a@example.com;b@example.com", "A <a@example.com>"]
)
def test_several_addresses_or_a_name_are_no_reply_to(interface: Interface, server: MailServer, several: str) -> None:
    with transaction():
        mails.write(
            "password_reset", recipients=["o@example.com"], account_id=None, reply_to=several, token="t", email="o"
        )
    mails.deliver_due()
    assert server.received[0].message["Reply-To"] is None


# Mails to such an address ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", INTERNATIONAL)
def test_a_visitor_is_answered_where_the_server_can_and_else_the_log_says_why_not(
    interface: Interface, server: MailServer, utf8: bool, address: str
) -> None:
    lead = submit(answering(interface), fields(name='O’Neil, "José" 🚀', email=address))
    mails.deliver_due()
    mail = the_mail()
    if utf8:
        [received] = server.received
        local, _, domain = address.rpartition("@")
        assert received.recipients == [f"{local}@{text.ascii_domain(domain)}"]
        assert str(received.message["To"]) == received.recipients[0]
        assert mail.status == "Sent"
        assert [entry.action for entry in lead.log] == ["autoresponded"]
    else:
        assert server.received == []
        assert (mail.status, mail.last_error) == ("Failed", f"{address}: {smtp.NO_SMTPUTF8}.")
        assert lead.log == []


def test_such_an_address_blocks_neither_other_recipients_nor_other_mails(
    interface: Interface, server: MailServer, utf8: bool
) -> None:
    submit(notify(interface, "jörg@example.com", "sales@bücher.example"), fields(email="zoë@example.com"))
    submit(notify(interface, "jörg@example.com"))
    submit(notify(interface, "sales@example.com"))
    mails.deliver_due()
    db.session.rollback()
    states = [(mail.status, mail.last_error) for mail in db.session.scalars(select(Mail).order_by(Mail.id))]
    recipients = [received.recipients for received in server.received]
    if utf8:
        assert recipients == [
            ["jörg@example.com", "sales@xn--bcher-kva.example"],
            ["jörg@example.com"],
            ["sales@example.com"],
        ]
        assert states == [("Sent", "")] * 3
    else:
        failed = "Failed", f"jörg@example.com: {smtp.NO_SMTPUTF8}."
        assert recipients == [["sales@xn--bcher-kva.example"], ["sales@example.com"]]
        assert states == [failed, failed, ("Sent", "")]


def test_twenty_such_recipients_make_no_line_that_is_too_long(
    interface: Interface, server: MailServer, utf8: bool
) -> None:
    many = [f"{'ö' * 60}{number}@{'a' * 60}.example.com" for number in range(20)]
    submit(notify(interface, *many))
    mails.deliver_due()
    assert [received.recipients for received in server.received] == ([many] if utf8 else [])
    for received in server.received:
        assert max(map(len, received.content.splitlines())) <= 998


def test_an_error_report_reaches_those_whom_the_server_can_address(
    interface: Interface, server: MailServer, receiver: Receiver, utf8: bool
) -> None:
    receiver.answer(status=503)
    point_at(interface, receiver.url)
    with transaction():
        interface.report_emails = ["jörg@example.com", "boss@straße.example"]
    fail(interface)
    send_mail()
    recipients = {recipient for received in server.received for recipient in received.recipients}
    reachable = {"alice@example.com", "boss@xn--strae-oqa.example"}
    assert recipients == (reachable | {"jörg@example.com"} if utf8 else reachable)


def test_a_domain_that_cannot_exist_fails_in_words(interface: Interface, server: MailServer) -> None:
    submit(notify(interface, f"ada@{'ü' * 80}.example"))
    mails.deliver_due()
    assert the_mail().last_error.endswith(f": {smtp.NO_DOMAIN}.")


# Through the form -----------------------------------------------------------------------------------------------------


def test_a_lead_with_such_an_address_is_stored_and_mailed(
    client: FlaskClient, notifying: Interface, server: MailServer, utf8: bool
) -> None:
    answering(notifying)
    posted = fields(name="Seán O’Neil", email="seán.o’neil@bücher.example")
    assert client.post(f"/f/{notifying.public_id}", data=posted).status_code == 303
    db.session.rollback()
    assert db.session.scalars(select(Lead.email)).one() == "seán.o’neil@bücher.example"
    mails.deliver_due()
    db.session.rollback()
    states = {mail.kind: mail.status for mail in db.session.scalars(select(Mail))}
    assert states == {"lead_notification": "Sent", "autoresponse": "Sent" if utf8 else "Failed"}
