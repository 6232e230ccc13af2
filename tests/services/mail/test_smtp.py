"""SMTP servers that refuse, hang, disconnect or require encryption; and when a mail is sent again."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from flask import Flask
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.support.factories import submit
from tests.support.mailing import fields, make_due, notify, the_mail, wait_of
from tests.support.smtp import MailServer
from tests.support.tls import Authority
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Mail
from webapp.services.mail import mails, smtp

pytestmark = pytest.mark.once


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def app(make_app: AppMaker, server: MailServer) -> Iterator[Flask]:
    app = make_app(**server.environ)
    with app.app_context():
        yield app


@pytest.fixture
def notifying(interface: Interface) -> Interface:
    """An interface whose leads are mailed to sales@example.com."""
    return notify(interface, "sales@example.com")


def test_a_temporary_refusal_is_retried_ever_later_with_the_same_message_id(
    notifying: Interface, server: MailServer
) -> None:
    submit(notifying)
    server.refused["sales@example.com"] = "451 4.3.0 Try again later"
    for expected in (30, 120, 600, 3600, 3600):
        mails.deliver_due()
        mail = the_mail()
        assert mail.status == "Waiting"
        assert mail.last_error == "sales@example.com was refused: 451 4.3.0 Try again later."
        assert wait_of(mail) == pytest.approx(expected, abs=5)
        mails.deliver_due()  # not due yet
        assert the_mail().tries == mail.tries
        make_due()
    server.refused.clear()
    mails.deliver_due()
    mail = the_mail()
    assert mail.status == "Sent"
    assert server.received[0].message["Message-ID"] == mail.message_id


def test_after_three_days_of_refusals_a_mail_has_failed(notifying: Interface, server: MailServer) -> None:
    submit(notifying)
    make_due(created_at=utcnow() - timedelta(days=3, minutes=1))
    server.answer = "452 4.2.2 Mailbox full"
    mails.deliver_due()
    mail = the_mail()
    assert (mail.status, mail.last_error) == ("Failed", "sales@example.com was refused: 452 4.2.2 Mailbox full.")


def test_a_permanently_refused_recipient_fails_while_the_others_get_the_mail_once(
    interface: Interface, server: MailServer
) -> None:
    lead = submit(notify(interface, "gone@example.com", "full@example.com", "sales@example.com"))
    server.refused["gone@example.com"] = "550 5.1.1 No such user"
    server.refused["full@example.com"] = "452 4.2.2 Mailbox full"
    mails.deliver_due()
    assert the_mail().status == "Waiting"
    del server.refused["full@example.com"]
    make_due()
    mails.deliver_due()
    mail = the_mail()
    assert mail.status == "Failed"
    assert mail.answers["gone@example.com"] == "550 5.1.1 No such user"
    assert [received.recipients for received in server.received] == [["sales@example.com"], ["full@example.com"]]
    assert {received.message["Message-ID"] for received in server.received} == {mail.message_id}
    db.session.refresh(lead)
    assert sorted(entry.detail for entry in lead.log) == ["full@example.com", "sales@example.com"]


@pytest.mark.parametrize("local", ["=?utf-8?q??=", "=?utf-8?q?x=0D=0Ay?="])
def test_an_address_that_looks_encoded_blocks_no_other_mail(
    interface: Interface, server: MailServer, local: str
) -> None:
    """It is a valid address. Code that parses long headers again once crashed on it."""
    odd = f"{local}@{'a' * 60}.example.com"
    submit(notify(interface, "sales@example.com"), fields(email=odd))
    submit(interface)
    mails.deliver_due()
    db.session.rollback()
    assert [(mail.status, mail.reply_to) for mail in db.session.scalars(select(Mail).order_by(Mail.id))] == [
        ("Sent", odd),
        ("Sent", "ada@example.com"),
    ]
    assert [received.recipients for received in server.received] == [["sales@example.com"]] * 2


def test_a_mail_that_cannot_be_written_does_not_affect_the_others(
    notifying: Interface, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(notifying)
    submit(notifying)
    written = smtp._message

    def breaks_once(mail: smtp.Claimed, utf8: bool) -> Any:
        monkeypatch.setattr(smtp, "_message", written)
        raise IndexError("string index out of range")

    monkeypatch.setattr(smtp, "_message", breaks_once)
    mails.deliver_due()
    db.session.rollback()
    assert [mail.status for mail in db.session.scalars(select(Mail).order_by(Mail.id))] == ["Failed", "Sent"]


def test_permanently_refused_content_fails(notifying: Interface, server: MailServer) -> None:
    submit(notifying)
    server.answer = "554 5.7.1 This looks like spam"
    mails.deliver_due()
    mail = the_mail()
    assert mail.status == "Failed"
    assert mail.last_error == "sales@example.com was refused: 554 5.7.1 This looks like spam."


def test_a_refused_mail_does_not_block_the_mails_behind_it(interface: Interface, server: MailServer) -> None:
    submit(notify(interface, "gone@example.com"))
    submit(notify(interface, "sales@example.com"))
    server.refused["gone@example.com"] = "550 No such user"
    mails.deliver_due()
    assert [received.recipients for received in server.received] == [["sales@example.com"]]


def test_a_silent_server_meets_a_timeout(
    notifying: Interface, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT", 0.3)
    submit(notifying)
    server.hangs = True
    began = time.monotonic()
    mails.deliver_due()
    assert time.monotonic() - began < 10
    mail = the_mail()
    assert mail.status == "Waiting"
    assert mail.last_error.startswith("The mail server did not accept it: ")
    assert wait_of(mail) == pytest.approx(30, abs=5)


def test_one_mail_meets_its_deadline_even_if_the_server_keeps_replying(
    notifying: Interface, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "DEADLINE", 0.3)
    submit(notifying)
    server.hangs = True
    began = time.monotonic()
    mails.deliver_due()
    assert time.monotonic() - began < 10
    assert the_mail().status == "Waiting"


def test_no_transaction_is_open_during_the_conversation_with_the_server(
    app: Flask, notifying: Interface, server: MailServer
) -> None:
    submit(notifying)
    server.hangs = True

    def job() -> None:
        with app.app_context():
            mails.deliver_due()

    delivering = threading.Thread(target=job)
    delivering.start()
    try:
        while not server.sessions:
            time.sleep(0.01)
        began = time.monotonic()
        make_due()  # would wait if a transaction locked the database or the row
        assert time.monotonic() - began < 5
    finally:
        server.hangs = False
        delivering.join()


def test_a_job_that_is_stopped_finishes_its_mail_and_starts_no_other(notifying: Interface, server: MailServer) -> None:
    for _ in range(3):
        submit(notifying)
    mails.deliver_due(stopping=lambda: bool(server.received))
    assert len(server.received) == 1
    mails.deliver_due()
    assert len(server.received) == 3


def test_a_mail_is_sent_again_with_the_same_message_id_if_the_server_disconnects_after_accepting_it(
    notifying: Interface, server: MailServer
) -> None:
    submit(notifying)
    server.drops = True
    mails.deliver_due()
    assert the_mail().status == "Waiting"
    server.drops = False
    make_due()
    mails.deliver_due()
    assert the_mail().status == "Sent"
    first, second = server.received
    assert first.message["Message-ID"] == second.message["Message-ID"] == the_mail().message_id
    assert first.message["Date"] == second.message["Date"]


def test_a_mail_whose_job_was_killed_is_sent_again_when_its_lease_ends(notifying: Interface) -> None:
    submit(notifying)
    with transaction():
        assert mails._claim() is not None
    mails.deliver_due()
    assert the_mail().status == "Waiting"
    assert wait_of(the_mail()) == pytest.approx(mails.LEASE, abs=5)
    make_due()
    mails.deliver_due()
    assert the_mail().status == "Sent"


def test_without_a_connection_every_due_mail_waits(make_app: AppMaker, interface: Interface) -> None:
    for _ in range(3):
        submit(notify(interface, "sales@example.com"))
    with socket.socket() as reserved:  # bound but not listening, so it refuses connections
        reserved.bind(("127.0.0.1", 0))
        app = make_app(MAIL_SERVER="127.0.0.1", MAIL_PORT=str(reserved.getsockname()[1]))
        with app.app_context():
            mails.deliver_due()
    db.session.rollback()
    for mail in db.session.scalars(select(Mail)):
        assert (mail.status, mail.tries) == ("Waiting", 1)
        assert mail.last_error == "The mail server could not be reached: Connection refused."
        assert wait_of(mail) == pytest.approx(30, abs=5)


# Encryption -----------------------------------------------------------------------------------------------------------


def _login(server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
    return AuthResult(success=(auth.login, auth.password) == (b"leadhook", b"open sesame"))


def test_a_password_is_sent_only_to_a_server_with_a_valid_certificate(
    make_app: AppMaker, notifying: Interface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    secure = {"require_starttls": True, "auth_required": True, "authenticator": _login}
    submit(notifying)
    with MailServer(tls_context=authority.valid(), **secure) as server:
        app = make_app(
            **server.environ | {"MAIL_USE_TLS": "true", "MAIL_USERNAME": "leadhook", "MAIL_PASSWORD": "open sesame"}
        )
        with app.app_context():
            mails.deliver_due()
            assert "certificate verify failed" in the_mail().last_error
            assert server.received == []
            monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
            make_due()
            mails.deliver_due()
            assert the_mail().status == "Sent"
        assert len(server.received) == 1
