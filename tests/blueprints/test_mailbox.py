"""The mailbox: which mails a user sees, and how they are shown."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import PASSWORD, AppMaker, sign_in
from tests.support.factories import ADA, submit
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Mail, MailState, Role, User
from webapp.services.mail.mailbox import PAGE
from webapp.services.people import users


@pytest.fixture
def mail(interface: Interface) -> Mail:
    """The stored notification of Ada's lead."""
    with transaction():
        interface.notification_emails = ["sales@example.com"]
    submit(interface, ADA)
    return the_mail()


def the_mail() -> Mail:
    return db.session.query(Mail).order_by(Mail.id.desc()).first()


def put(account_id: int | None, subject: str, **values: object) -> int:
    """Stores a mail; returns its id."""
    with transaction():
        mail = Mail(account_id=account_id, kind="test", message_id=f"<{subject}>", recipients=["a@example.com"])
        mail.subject, mail.body_text, mail.body_html, mail.state = subject, "text", "<p>html</p>", MailState.KEPT
        for name, value in values.items():
            setattr(mail, name, value)
        db.session.add(mail)
        db.session.flush()
        return mail.id


def test_an_empty_mailbox_says_what_will_be_in_it(signed_in: FlaskClient) -> None:
    page = signed_in.get("/mailbox").text
    assert "No e-mails yet" in page
    assert "No mail server is configured, so e-mails are kept here" in page


def test_a_mail_is_listed_and_opened(signed_in: FlaskClient, mail: Mail) -> None:
    page = signed_in.get("/mailbox").text
    assert "New lead: Ada Lovelace · Contact sales" in page
    assert "Kept here" in page
    opened = signed_in.get(f"/mailbox/{mail.id}").text
    for shown in ("sales@example.com", "ada@example.com", "+15550100", "Hello"):
        assert shown in opened


def test_where_a_reply_goes_is_shown_as_in_the_mail(signed_in: FlaskClient, interface: Interface) -> None:
    with transaction():
        interface.notification_emails = ["sales@example.com"]
    submit(interface, {**ADA, "email": "josé@bücher.example"})
    page = " ".join(signed_in.get(f"/mailbox/{the_mail().id}").text.split())
    assert "<dt>Reply-To</dt><dd>josé@bücher.example</dd>" in page
    assert "The visitor’s address is josé@bücher.example." in page
    assert "your reply goes to" not in page


def test_with_smtp_the_page_says_that_mails_are_sent(make_app: AppMaker, owner: User) -> None:
    db.session.rollback()
    client = sign_in(make_app(MAIL_SERVER="127.0.0.1"), "alice@example.com")
    assert "E-mails are sent through your mail server." in client.get("/mailbox").text


def test_the_html_is_shown_in_a_frame_without_scripts(signed_in: FlaskClient, mail: Mail) -> None:
    page = signed_in.get(f"/mailbox/{mail.id}")
    assert f'src="/mailbox/{mail.id}/html"' in page.text
    assert "sandbox=" in page.text
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    frame = signed_in.get(f"/mailbox/{mail.id}/html")
    policy = frame.headers["Content-Security-Policy"]
    assert frame.text == mail.body_html
    assert re.search(r"\bsandbox\b(?!.*allow-(scripts|same-origin|forms))", policy)
    for part in ("default-src 'none'", "style-src 'unsafe-inline'", "frame-ancestors 'self'"):
        assert part in policy


def test_other_pages_hold_no_frames(signed_in: FlaskClient) -> None:
    policy = signed_in.get("/mailbox").headers["Content-Security-Policy"]
    assert "frame-src" not in policy
    assert "unsafe-inline" not in policy


def test_a_failed_mail_says_why(signed_in: FlaskClient, mail: Mail) -> None:
    with transaction():
        mail.state, mail.last_error = MailState.FAILED, "sales@example.com was refused: 550 No such user."
    for address in ("/mailbox", f"/mailbox/{mail.id}"):
        page = signed_in.get(address).text
        assert "Failed" in page
        assert "550 No such user." in page


def test_a_mail_of_another_account_is_not_found(stranger: FlaskClient, mail: Mail) -> None:
    assert mail.subject not in stranger.get("/mailbox").text
    assert stranger.get(f"/mailbox/{mail.id}").status_code == 404
    assert stranger.get(f"/mailbox/{mail.id}/html").status_code == 404


def test_mails_with_sign_in_links_are_for_the_operator_only(
    signed_in: FlaskClient, stranger: FlaskClient, owner: User
) -> None:
    theirs = db.session.query(User).filter_by(email="charlie@example.org").one().account_id
    link = put(theirs, "Sign in", signs_in=True)
    installation = put(None, "About the installation")
    ordinary = put(theirs, "Theirs")
    for mail_id, operator_sees, stranger_sees in ((link, 200, 404), (installation, 200, 404), (ordinary, 404, 200)):
        assert signed_in.get(f"/mailbox/{mail_id}").status_code == operator_sees
        assert stranger.get(f"/mailbox/{mail_id}").status_code == stranger_sees


@pytest.mark.parametrize(("role", "status"), [(Role.ADMIN, 200), (Role.EDITOR, 403), (Role.LEADS_ONLY, 403)])
def test_only_owners_and_admins_have_a_mailbox(app: Flask, owner: User, mail: Mail, role: Role, status: int) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", PASSWORD, "Another")
        other.role, other.account_id, other.is_operator = role, owner.account_id, False
    client = sign_in(app, "bob@example.com")
    for address in ("/mailbox", f"/mailbox/{mail.id}", f"/mailbox/{mail.id}/html"):
        assert client.get(address).status_code == status


def test_the_mailbox_needs_sign_in(client: FlaskClient, mail: Mail) -> None:
    assert client.get(f"/mailbox/{mail.id}").status_code == 303


def test_pages_go_forward_and_back(signed_in: FlaskClient, owner: User) -> None:
    ids = [put(owner.account_id, f"Mail {number:02}") for number in range(2 * PAGE + 3)][::-1]

    def listed(address: str) -> list[int]:
        return [int(found) for found in re.findall(r'/mailbox/(\d+)"', signed_in.get(address).text)]

    assert listed("/mailbox") == ids[:PAGE]
    assert listed(f"/mailbox?after={ids[PAGE - 1]}") == ids[PAGE : 2 * PAGE]
    assert listed(f"/mailbox?after={ids[2 * PAGE - 1]}") == ids[2 * PAGE :]
    assert listed("/mailbox?after=0") == listed("/mailbox?before=0") == ids[:PAGE]
    assert listed(f"/mailbox?before={ids[2 * PAGE]}") == ids[PAGE : 2 * PAGE]
    assert listed(f"/mailbox?before={ids[3]}") == ids[:PAGE]


def test_mails_are_found_by_subject_address_and_state(signed_in: FlaskClient, owner: User) -> None:
    put(owner.account_id, "Webhook failing: 100%", recipients=["ops@example.com"])
    put(owner.account_id, "New lead", state=MailState.SENT)
    for query, found, missing in (
        ("q=failing", "Webhook failing", "New lead"),
        ("q=OPS%40example", "Webhook failing", "New lead"),
        ("q=100%25", "Webhook failing", "New lead"),
        ("state=sent", "New lead", "Webhook failing"),
    ):
        page = signed_in.get(f"/mailbox?{query}").text
        assert found in page
        assert missing not in page
    assert "Nothing matches" in signed_in.get("/mailbox?q=_______").text


@pytest.mark.parametrize(
    "query", ["before=x", "after=-1", "after=99999999999999999999", "state=lost", "q=%00", "q=" + "x" * 900]
)
def test_any_query_is_answered(signed_in: FlaskClient, mail: Mail, query: str) -> None:
    assert signed_in.get(f"/mailbox?{query}").status_code == 200


@pytest.mark.parametrize("mail_id", ["0", "99999999999999999999", "x", "-1"])
def test_an_invalid_mail_id_is_not_found(signed_in: FlaskClient, mail_id: str) -> None:
    assert signed_in.get(f"/mailbox/{mail_id}").status_code == 404


def test_sample_error_reports_are_public(client: FlaskClient) -> None:
    page = client.get("/docs/error-reports")
    assert page.status_code == 200
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    for name, subject in (
        ("failed", "Webhook failing: Request a quote, 3 leads"),
        ("gave-up", "Webhook gave up: Request a quote, 2 leads"),
        ("recovered", "Webhook recovered: Request a quote"),
        ("paused", "Webhook paused: Request a quote"),
    ):
        assert subject in page.text
        frame = client.get(f"/docs/error-reports/{name}")
        assert subject in frame.text
        assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert client.get("/docs/error-reports/other").status_code == 404
