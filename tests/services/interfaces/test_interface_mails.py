"""The mails after a submission: the notification with the account's own texts, and the answer to the visitor."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select, update

from tests.conftest import AppMaker
from tests.support.factories import captured, point_at, submit
from tests.support.mailing import fields, notify, the_mail
from tests.support.smtp import MailServer
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AutoresponseCount, FieldType, Interface, Lead, LeadLogEntry, Mail, User
from webapp.services.errors import Refused
from webapp.services.interfaces import interface_mails
from webapp.services.interfaces.answer_limits import MAX_A_DAY
from webapp.services.interfaces.fields import add
from webapp.services.interfaces.interface_mails import AUTORESPONSE, NOTIFICATION, Words
from webapp.services.leads import leads
from webapp.services.mail import mails

ANSWER = Words(autoresponds=True, autoresponse_subject="Thank you, {{ name }}", autoresponse_body="{{ answers }}")


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def app(make_app: AppMaker, server: MailServer) -> Iterator[Flask]:
    app = make_app(**server.environ)
    with app.app_context():
        yield app


def say(interface: Interface, words: Words) -> Interface:
    with transaction():
        interface_mails.update(interface, words)
    return interface


def all_mails() -> list[Mail]:
    db.session.rollback()
    return list(db.session.scalars(select(Mail).order_by(Mail.id)))


# The notification -----------------------------------------------------------------------------------------------------


def test_a_notification_uses_the_accounts_own_texts(interface: Interface, server: MailServer) -> None:
    body = "{{ name }} ({{ email }}) wrote to {{ interface }}:\n{{ message }}\n\n{{ answers }}\n{{ lead.link }}"
    say(notify(interface, "sales@example.com"), Words("Call {{ name }} on {{ phone }}", body))
    lead = submit(interface, fields(message="Two\nlines"))
    mails.deliver_due()
    [received] = server.received
    assert received.message["Subject"] == "Call Ada Lovelace on +15550100"
    assert received.message["Reply-To"] == "ada@example.com"
    assert "Ada Lovelace (ada@example.com) wrote to Contact sales:\nTwo\nlines\n\nName: Ada Lovelace\n" in received.text
    assert f"/leads/{lead.public_id}\n" in received.text
    assert "Two\nlines" in received.html
    assert "Sent because Contact sales lists this address" in received.text.replace("\n", " ")


def test_a_missing_subject_or_text_is_replaced_by_leadhooks_own(interface: Interface) -> None:
    say(notify(interface, "sales@example.com"), Words("Mine"))
    submit(interface)
    say(interface, Words("", "Only this."))
    submit(interface)
    first, second = all_mails()
    assert (first.subject, "Received from Contact sales" in first.body_text) == ("Mine", True)
    assert second.subject == "New lead: Ada Lovelace · Contact sales"
    assert second.body_text.startswith("Only this.\n")
    assert "Received from" not in second.body_text


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\u2028", "\x1c"])
def test_a_visitor_cannot_add_a_header_through_a_placeholder(
    interface: Interface, server: MailServer, line_end: str
) -> None:
    say(notify(interface, "sales@example.com"), Words("From {{ name }}"))
    submit(interface, fields(name=f"Ada{line_end}Bcc: everyone@example.org"))
    mails.deliver_due()
    [received] = server.received
    assert received.recipients == ["sales@example.com"]
    assert received.message["Bcc"] is None
    assert "\n" not in str(received.message["Subject"])


@pytest.mark.parametrize("kind", ["to us", "to the visitor"])
def test_a_visitor_cannot_add_a_header_with_encoded_words(interface: Interface, server: MailServer, kind: str) -> None:
    """Mail programs would decode them into new headers or a body, and so did the code that folds long headers."""
    if kind == "to us":
        say(notify(interface, "sales@example.com"), Words("From {{ name }}"))
    else:
        say(interface, ANSWER)
    name = "=?utf-8?q?Ada=0D=0AX-Evil:_1=0D=0A=0D=0ABuy=2E?= " + "x" * 70
    submit(interface, fields(name=name))
    mails.deliver_due()
    [received] = server.received
    assert received.message["X-Evil"] is None
    assert received.message["Auto-Submitted"]
    assert "".join(str(received.message["Subject"]).split()).endswith("".join(name.split()))
    assert the_mail().status == "Sent"


def test_a_visitors_text_is_not_markup_and_not_a_placeholder(interface: Interface) -> None:
    say(notify(interface, "sales@example.com"), Words("{{ name }}", "{{ message }}"))
    submit(interface, fields(name="{{ email }}{% raw %}", message="<script>alert(1)</script>{{ lead.link }}"))
    mail = the_mail()
    assert mail.subject == "{{ email }}{% raw %}"
    assert "<script>alert(1)</script>{{ lead.link }}" in mail.body_text
    assert "<script>" not in mail.body_html


@pytest.fixture
def long(interface: Interface) -> Interface:
    """A form with a hidden field, a Long text, a web address and a Text made of undeclared answers."""
    with transaction():
        for kind, key in ((FieldType.HIDDEN, "cart"), (FieldType.LONG_TEXT, "story"), (FieldType.URL, "site")):
            add(interface, kind, {"label": key, "key": key})
        add(interface, FieldType.TEXT, {"label": "ref", "key": "ref"}).sent_as = "ref"
    return notify(interface, "sales@example.com")


@pytest.mark.parametrize("own", ["", "{{ answers }}", "{{ cart }} / {{ story }} / {{ ref }} / {{ site }}"])
def test_a_long_hidden_value_is_shortened_and_its_lead_linked(long: Interface, own: str) -> None:
    say(long, Words("", own))
    sent = {"cart": "c" * 20_000, "story": "s" * 9000, "ref": "r" * 900, "site": "https://x.example/" + "u" * 900}
    lead = submit(long, fields(**sent))
    assert lead.fields["cart"] == sent["cart"]
    mail = the_mail()
    for body in (mail.body_text, mail.body_html):
        assert [len(max(found, key=len)) for found in runs(body, "crsu")] == [500, 500, 9000, 900]
        assert body.count(f"/leads/{lead.public_id})") == 2
        assert body.count("… (all of it: http") == 2


@pytest.mark.parametrize("length", [0, 1, 499, 500, 501])
def test_a_hidden_value_of_500_characters_is_whole(long: Interface, length: int) -> None:
    submit(long, fields(cart="c" * length))
    text = the_mail().body_text
    assert ("all of it" in text) == (length > 500)
    assert "c" * min(length, 500) in text
    assert "c" * 501 not in text


def test_the_subject_and_the_answer_to_the_visitor_stay_short(long: Interface) -> None:
    say(long, ANSWER._replace(notification_subject="Cart {{ cart }}"))
    submit(long, fields(cart="c" * 20_000))
    to_us, to_visitor = all_mails()
    assert to_us.subject.startswith("Cart ccc")
    assert len(to_us.subject) <= mails.SUBJECT_LIMIT
    assert "c" * 201 not in to_visitor.body_text
    assert "all of it" not in to_visitor.body_text


def runs(body: str, letters: str) -> list[list[str]]:
    """All runs of each of these letters."""
    return [re.findall(f"{letter}+", body) for letter in letters]


def test_the_placeholder_of_a_removed_field_is_empty(interface: Interface) -> None:
    say(notify(interface, "sales@example.com"), Words("Call {{ phone }}{{ name }}"))
    with transaction():
        interface.fields[2].key = "telephone"
    submit(interface, {"name": "Ada", "email": "", "telephone": "+15550100", "message": ""})
    assert the_mail().subject == "Call Ada"


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "control", "sentence"),
    [
        (Words("{{ nme }}"), "notification_subject", "{{ nme }} is not known here."),
        (Words("", "{{ x }} {{ 7*7 }}"), "notification_body", "{{ x }}, {{ 7*7 }} are not known here."),
        (ANSWER._replace(autoresponse_body="{{ lead.link }}"), "autoresponse_body", "{{ lead.link }} is not known"),
        (Words(autoresponse_subject="{{ y }}"), "autoresponse_subject", "{{ y }} is not known here."),
        (ANSWER._replace(autoresponse_subject=" "), "autoresponse_subject", "cannot be empty"),
        (ANSWER._replace(autoresponse_body="\u200b"), "autoresponse_body", "cannot be empty"),
        (ANSWER._replace(autoresponse_reply_to="nonsense"), "autoresponse_reply_to", "is not an e-mail address"),
        (Words("a\nb"), "notification_subject", "line break"),
        (Words("x" * 201), "notification_subject", "at most 200 characters"),
        (Words("", "x" * 5001), "notification_body", "at most 5,000 characters"),
    ],
)
def test_texts_that_cannot_be_sent_are_refused_beside_their_control(
    interface: Interface, words: Words, control: str, sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        interface_mails.update(interface, words)
    assert refused.value.field == control
    assert sentence in str(refused.value)
    db.session.rollback()
    assert Words.of(interface).autoresponds is False


def test_a_form_without_an_email_field_cannot_answer(interface: Interface) -> None:
    with transaction():
        db.session.delete(interface.fields[1])
    db.session.expire_all()
    with pytest.raises(Refused, match="no Email field"):
        interface_mails.update(interface, ANSWER)


# The answer -----------------------------------------------------------------------------------------------------------


def test_a_visitor_gets_an_answer_if_it_is_switched_on(interface: Interface, server: MailServer) -> None:
    say(interface, ANSWER._replace(autoresponse_reply_to="sales@example.com"))
    lead = submit(interface)
    mails.deliver_due()
    [received] = server.received
    assert received.recipients == ["ada@example.com"]
    assert received.message["Subject"] == "Thank you, Ada Lovelace"
    assert received.message["Reply-To"] == "sales@example.com"
    assert received.message["Auto-Submitted"] == "auto-replied"
    assert received.text.startswith("Name: Ada Lovelace\nEmail: ada@example.com\nPhone: +15550100\nMessage: Hello")
    assert "Leadhook" not in received.html
    db.session.rollback()
    entry = db.session.scalars(select(LeadLogEntry).where(LeadLogEntry.lead_id == lead.id)).one()
    assert (entry.action, entry.detail) == ("autoresponded", "ada@example.com")


def test_no_answer_is_sent_unless_it_is_switched_on_and_there_is_an_address(owner: User, interface: Interface) -> None:
    submit(interface)
    say(interface, ANSWER)
    submit(interface, fields(email=""))
    point_at(interface, "https://hooks.example.com/leads")
    with transaction():
        leads.send_test(interface, owner.id)
    assert all_mails() == []


def test_an_interface_answers_one_address_at_most_three_times_a_day(interface: Interface) -> None:
    say(interface, ANSWER)
    for number in range(MAX_A_DAY + 2):
        submit(interface, fields(email="ADA@example.com" if number % 2 else "ada@example.com"))
    submit(interface, fields(email="grace@example.com"))
    assert [mail.recipients[0].lower() for mail in all_mails()] == ["ada@example.com"] * 3 + ["grace@example.com"]
    with transaction():
        db.session.execute(update(AutoresponseCount).values(day=AutoresponseCount.day - 1))
    submit(interface)
    assert len(all_mails()) == 5
    assert "ada" not in "".join(db.session.scalars(select(AutoresponseCount.address_digest)))


def test_simultaneous_leads_do_not_exceed_the_limit(app: Flask, interface: Interface) -> None:
    say(interface, ANSWER)
    public_id = interface.public_id
    db.session.rollback()
    together = threading.Barrier(6)

    def visitor() -> None:
        with app.app_context():
            together.wait()
            with transaction():
                captured(public_id, fields())

    visitors = [threading.Thread(target=visitor) for _ in range(6)]
    for each in visitors:
        each.start()
    for each in visitors:
        each.join()
    assert len(all_mails()) == MAX_A_DAY


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Buy at https://win.example", "Buy at https: // win. example"),
        ("see www.win", "see www. win"),
        ("WIN.COM now", "WIN. COM now"),
        ("пример.рф", "пример. рф"),
        ("win-big.shop/x?y", "win-big. shop/x?y"),
        ("bob@example.org", "bob@ example. org"),
        ("A.Lovelace", "A. Lovelace"),
        ("Dr.Ada Lovelace", "Dr. Ada Lovelace"),
        ("Ada Lovelace, M.Sc.", "Ada Lovelace, M. Sc."),
    ],
)
def test_an_unverified_address_gets_all_that_was_typed_and_no_link(
    interface: Interface, typed: str, shown: str
) -> None:
    say(interface, ANSWER._replace(autoresponse_body="Hello {{ name }},\n\n{{ answers }}\nhttps://ours.example/faq"))
    submit(interface, fields(name=typed, message=typed))
    mail = the_mail()
    assert mail.subject == f"Thank you, {shown}"
    for body in (mail.body_text, mail.body_html):
        assert f"Hello {shown},\n" in body
        assert f"Message: {shown}\n" in body
        assert "Email: ada@example.com\n" in body, "the visitor's own address"
        assert "https://ours.example/faq" in body, "the account's own words"


def test_names_arrive_through_the_form_and_in_the_answer(client: FlaskClient, interface: Interface) -> None:
    say(interface, ANSWER)
    assert client.post(f"/f/{interface.public_id}", data=fields(name="Dr.Ada O’Neil, M.Sc.")).status_code == 303
    db.session.rollback()
    assert db.session.scalars(select(Lead.name)).one() == "Dr.Ada O’Neil, M.Sc."
    assert the_mail().subject == "Thank you, Dr. Ada O’Neil, M. Sc."
    mails.deliver_due()
    assert the_mail().status == "Sent"


def test_free_text_is_one_line_and_cut_in_an_answer(interface: Interface) -> None:
    say(interface, ANSWER)
    submit(interface, fields(name="Dr. J.R.R. O'Neil-Smith", message="one\ntwo " + "x" * 500))
    mail = the_mail()
    assert mail.subject == "Thank you, Dr. J.R.R. O'Neil-Smith"
    assert "Message: one two " + "x" * 192 + "\n" in mail.body_text


def test_an_interface_without_answers_needs_no_extra_statement(interface: Interface) -> None:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    db.session.rollback()
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        submit(interface)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert not any("autoresponse_counts" in statement for statement in seen)
    assert sum("INSERT INTO" in statement for statement in seen) == 1


# Preview and test -----------------------------------------------------------------------------------------------------


def test_a_preview_is_the_mail_of_a_sample_lead(interface: Interface) -> None:
    notify(interface, "sales@example.com", "boss@example.com")
    shown = interface_mails.preview(interface, Words("Call {{ name }}"), NOTIFICATION)
    assert (shown.recipients, shown.subject) == ("sales@example.com, boss@example.com", "Call Ada Lovelace")
    assert "Received from Contact sales" in shown.text
    shown = interface_mails.preview(interface, ANSWER, AUTORESPONSE)
    assert (shown.recipients, shown.reply_to, shown.subject) == ("ada@example.com", "", "Thank you, Ada Lovelace")
    assert all_mails() == []


def test_a_test_mail_goes_to_the_user_and_does_not_count(owner: User, interface: Interface, server: MailServer) -> None:
    with transaction():
        for kind in (NOTIFICATION, AUTORESPONSE):
            interface_mails.send_test(interface, ANSWER._replace(notification_subject="N"), kind, owner)
    mails.deliver_due()
    assert [received.recipients for received in server.received] == [["alice@example.com"]] * 2
    assert server.subjects == ["N", "Thank you, Ada Lovelace"]
    db.session.rollback()
    assert db.session.scalars(select(AutoresponseCount)).all() == []
