"""What an error report says, and which secrets it leaves out."""

import json
import socket
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import AppMaker
from tests.support.factories import point_at, submit
from tests.support.receiver import Receiver
from tests.support.reporting import drain, fail, reported, send_mail
from tests.support.smtp import MailServer
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, LeadLogEntry, Mail


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def app(make_app: AppMaker, server: MailServer) -> Iterator[Flask]:
    app = make_app(**server.environ, REPORT_WINDOW="600,3600,21600")
    with app.app_context():
        yield app


@pytest.fixture
def failing(interface: Interface, receiver: Receiver) -> Interface:
    """An interface whose receiver answers 503."""
    point_at(interface, receiver.url)
    receiver.answer(status=503, body=b"Service Unavailable: upstream is restarting")
    return interface


def test_the_first_failure_is_reported_at_once_to_the_owner_and_further_addresses(
    failing: Interface, server: MailServer
) -> None:
    with transaction():
        failing.report_emails = ["ops@example.com"]
    [public_id] = fail(failing)
    send_mail()
    [received] = server.received
    assert sorted(received.recipients) == ["alice@example.com", "ops@example.com"]
    assert received.message["Subject"] == "Webhook failing: Contact sales, 1 lead"
    for body in (received.text, received.html):
        assert f"/leads/{public_id}" in body or public_id in body
        assert "503" in body
        assert "Service Unavailable: upstream is restarting" in body
        assert "retried automatically" in body
        assert f"/leads?interface={failing.public_id}&" in body.replace("&amp;", "&")


def test_it_names_the_url_without_credentials_path_or_query(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    fail(failing)
    point_at(failing, receiver.url.replace("://", "://user:hunter2@") + "/hunter4?key=hunter3")
    send_mail()
    [received] = server.received
    assert f"{receiver.origin}/…" in received.text
    for body in (received.text, received.html):
        assert "hunter" not in body


def test_it_quotes_no_answer_that_repeats_the_secrets_of_the_address(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    point_at(failing, f"{receiver.origin}/services/T0AAA/hunter4?key=hunter3")
    receiver.answer(status=404, body=b"Cannot POST /services/T0AAA/hunter4?key=hunter3 (key: HUNTER3)")
    fail(failing)
    send_mail()
    [received] = server.received
    for body in (received.text, received.html):
        assert "Cannot POST" in body
        assert "hunter" not in body.lower()
        assert "T0AAA" not in body


def test_it_contains_no_visitors_data_even_if_the_receiver_repeats_it(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    visitor = {"name": "Zoë Quartermain", "email": "zoe@visitor.example", "phone": "+44 20 7946 0958"}
    visitor["message"] = 'I would like to buy 14 solar panels\nfor my "barn" in Dunmore'
    receiver.answer(status=422, body=json.dumps({"error": "rejected", "got": visitor}).encode())
    submit(failing, visitor)
    drain(failing)
    send_mail()
    [received] = server.received
    for body in (received.text, received.html):
        assert "rejected" in body
        for secret in ("Zo", "Quartermain", "visitor.example", "7946", "solar", "barn", "Dunmore"):
            assert secret not in body


def test_markup_from_a_receiver_stays_text_in_the_mail(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    receiver.answer(status=500, body=b'{"html": "<script>alert(1)</script>"}')
    fail(failing)
    send_mail()
    assert "<script>" not in server.received[0].html
    assert "&lt;script&gt;" in server.received[0].html


def test_it_lists_fifty_leads_and_counts_all(failing: Interface, server: MailServer) -> None:
    public_ids = fail(failing, 53)
    drain(failing)
    send_mail()
    [received] = server.received
    assert received.message["Subject"] == "Webhook failing: Contact sales, 53 leads"
    assert received.html.count("/leads/lead_") == 50
    assert sum(public_id in received.text for public_id in public_ids) == 50
    assert "And 3 more." in received.text
    assert reported() == [("failed", 53)]


def test_it_says_that_retries_are_off(failing: Interface, server: MailServer) -> None:
    point_at(failing, failing.webhook.url or "", automatic_retries=False)
    fail(failing)
    send_mail()
    assert "Automatic retries are off" in server.received[0].text.replace("\n", " ")
    assert "status=failed" in server.received[0].text


def test_the_logs_of_its_leads_record_that_it_was_mailed(failing: Interface) -> None:
    fail(failing, 2)
    send_mail()
    entries = db.session.execute(select(LeadLogEntry.action, LeadLogEntry.detail)).all()
    assert [tuple(entry) for entry in entries] == [("reportmailed", "alice@example.com")] * 2


def test_without_smtp_it_is_kept_in_the_mailbox(make_app: AppMaker, failing: Interface) -> None:
    fail(failing)
    with make_app().app_context():
        send_mail()
        mail = db.session.scalars(select(Mail)).one()
        assert (mail.kind, mail.status) == ("webhook_failed", "Kept here")
        assert db.session.scalars(select(LeadLogEntry.action)).all() == ["reportmailed"]


def test_a_failed_connection_is_reported_as_999_with_the_reason(failing: Interface, server: MailServer) -> None:
    with socket.socket() as reserved:  # bound but not listening, so it refuses connections
        reserved.bind(("127.0.0.1", 0))
        point_at(failing, f"http://127.0.0.1:{reserved.getsockname()[1]}/")
        fail(failing)
    send_mail()
    assert "999  " in server.received[0].text
    assert "refused" in server.received[0].text
