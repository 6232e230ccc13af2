"""Mails: written in the transaction of the event they report, handed to a real SMTP server at least once."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.conftest import AppMaker
from tests.support.factories import submit
from tests.support.mailing import fields, notify, the_mail
from tests.support.smtp import MailServer
from webapp.db.transactions import transaction
from webapp.delivery.rings import MAIL, queues
from webapp.extensions import db
from webapp.models import Interface, LeadLogEntry, Mail, MailState
from webapp.services.mail import mails


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


def test_a_notification_has_all_fields_of_the_lead_and_replies_are_sent_to_the_visitor(
    notifying: Interface, server: MailServer
) -> None:
    message = "Überfahrt für 3 Personen 🚢\nzweite Zeile " + "x" * 10_000
    lead = submit(notifying, fields(message=message))
    mails.deliver_due()
    [received] = server.received
    assert received.recipients == ["sales@example.com"]
    assert received.message["Subject"] == "New lead: Ada Lovelace · Contact sales"
    assert received.message["Reply-To"] == "ada@example.com"
    assert received.message["Auto-Submitted"] == "auto-generated"
    for body in (received.text, received.html):
        assert f"/leads/{lead.public_id}" in body
        for shown in ("Ada Lovelace", "ada@example.com", "+15550100", "Überfahrt für 3 Personen 🚢", "x" * 10_000):
            assert shown in body


def test_a_sent_mail_is_marked_and_recorded_in_the_log_of_its_lead(notifying: Interface) -> None:
    lead = submit(notifying)
    assert the_mail().status == "Waiting"
    assert lead.log == []
    mails.deliver_due()
    mail = the_mail()
    assert (mail.status, mail.tries, mail.last_error) == ("Sent", 1, "")
    assert mail.sent_at is not None
    db.session.refresh(lead)
    assert [(entry.action, entry.detail) for entry in lead.log] == [("notified", "sales@example.com")]


def test_markup_from_a_visitor_stays_text(notifying: Interface, server: MailServer) -> None:
    submit(notifying, fields(name="<script>alert(1)</script>", message="<img src=x onerror=alert(1)> & co"))
    mails.deliver_due()
    [received] = server.received
    assert "<script>" not in received.html
    assert "<img" not in received.html
    assert "<img src=x onerror=alert(1)> & co" in received.text


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r", "\v", "\x1c", "\x85", "\u2028", "\u2029", "\0"])
def test_a_visitor_cannot_add_a_header(notifying: Interface, server: MailServer, line_end: str) -> None:
    name = f"Ada{line_end}Bcc: everyone@example.org{line_end}{line_end}Buy now"
    with transaction():
        mails.write(
            "lead_notification",
            recipients=["sales@example.com", f"a@example.com{line_end}Bcc: b@example.org"],
            account_id=notifying.account_id,
            reply_to=f"ada@example.com{line_end}Bcc: everyone@example.org",
            interface=notifying,
            fields=notifying.fields,
            answers={"name": name},
            reply="",
            lead=_lead_named(notifying, name),
        )
    mails.deliver_due()
    [received] = server.received
    assert received.recipients == ["sales@example.com"]
    assert received.message["Bcc"] is None
    assert received.message["Reply-To"] is None
    assert received.message["Subject"] == "New lead: Ada Bcc: everyone@example.org Buy now · Contact sales"


def _lead_named(interface: Interface, name: str) -> Any:
    lead = submit(interface)
    db.session.execute(update(Mail).values(state=MailState.KEPT))
    db.session.expunge(lead)
    lead.name = name
    return lead


def test_marks_that_reverse_the_direction_of_text_are_removed_from_the_subject(notifying: Interface) -> None:
    submit(notifying, fields(name="Ada \u202egnp.exe\u202c עדה"))
    assert the_mail().subject == "New lead: Ada gnp.exe עדה · Contact sales"


def test_a_very_long_name_is_cut_in_the_subject_and_arrives(notifying: Interface, server: MailServer) -> None:
    submit(notifying, fields(name="Ä" * 400))
    mails.deliver_due()
    assert server.subjects[0].startswith("New lead: ÄÄÄ")
    assert len(server.subjects[0]) <= mails.SUBJECT_LIMIT


def test_a_mail_without_a_valid_address_fails_with_a_reason_and_the_lead_is_kept(interface: Interface) -> None:
    lead = submit(notify(interface, "nonsense", "a@b@c", "x@example.com,y@example.com"))
    mails.deliver_due()
    mail = the_mail()
    assert (mail.lead_id, mail.status) == (lead.id, "Failed")
    assert mail.last_error == "It has no valid recipient address."


def test_the_job_is_queued_only_after_the_commit(notifying: Interface) -> None:
    with pytest.raises(ZeroDivisionError), transaction():  # noqa: PT012 - the transaction must fail inside the block
        mails.write(
            "lead_notification", recipients=["a@example.com"], account_id=notifying.account_id, **_context(notifying)
        )
        raise ZeroDivisionError
    assert queues.get(MAIL).count == 0
    submit(notifying)
    assert queues.get(MAIL).count == 1


def _context(interface: Interface) -> dict[str, Any]:
    lead = submit(notify(interface))
    notify(interface, "sales@example.com")
    queues.redis.flushall()
    return {"interface": interface, "fields": interface.fields, "answers": lead.fields, "lead": lead, "reply": ""}


def test_many_mails_are_sent_in_order_over_one_connection(notifying: Interface, server: MailServer) -> None:
    for number in range(5):
        submit(notifying, fields(name=f"Visitor {number}"))
    mails.deliver_due()
    assert server.sessions == 1
    assert server.subjects == [f"New lead: Visitor {number} · Contact sales" for number in range(5)]


def test_a_job_leaves_the_rest_to_the_next_job_when_its_time_is_over(
    notifying: Interface, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        submit(notifying)
    queues.redis.flushall()
    monkeypatch.setattr(mails, "SLICE", 0.0)
    mails.deliver_due()
    assert server.received == []
    assert queues.get(MAIL).count == 1


def test_two_jobs_at_once_send_no_mail_twice(app: Flask, notifying: Interface, server: MailServer) -> None:
    for number in range(20):
        submit(notifying, fields(name=f"Visitor {number}"))
    together = threading.Barrier(3)

    def job() -> None:
        with app.app_context():
            together.wait()
            mails.deliver_due()

    jobs = [threading.Thread(target=job) for _ in range(3)]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    assert sorted(server.subjects) == sorted(f"New lead: Visitor {number} · Contact sales" for number in range(20))


# With no SMTP server --------------------------------------------------------------------------------------------------


def test_without_smtp_mails_are_kept_and_the_log_names_their_recipients(
    make_app: AppMaker, notifying: Interface
) -> None:
    interface_id = notifying.id
    db.session.rollback()
    app = make_app()
    with app.app_context():
        lead = submit(db.session.get_one(Interface, interface_id))
        assert the_mail().status == "Kept here"
        entries = db.session.scalars(select(LeadLogEntry).where(LeadLogEntry.lead_id == lead.id)).all()
        assert [(entry.action, entry.detail) for entry in entries] == [("notified", "sales@example.com")]
        mails.deliver_due()
        assert the_mail().status == "Kept here"


def test_waiting_mails_are_kept_when_smtp_is_no_longer_configured(make_app: AppMaker, notifying: Interface) -> None:
    submit(notifying)
    app = make_app()
    with app.app_context():
        mails.deliver_due()
    assert the_mail().status == "Kept here"
