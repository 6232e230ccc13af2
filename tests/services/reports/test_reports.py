"""Error reports: what is reported, and when."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from tests.conftest import AppMaker
from tests.support.factories import point_at
from tests.support.receiver import Receiver
from tests.support.reporting import drain, end_window, fail, kinds, make_retries_due, reported, send_mail, window_of
from tests.support.smtp import MailServer
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lane, ReportEntry, Webhook, WebhookState
from webapp.services.leads import leads
from webapp.services.mail import mails
from webapp.services.reports import reports
from webapp.services.webhooks import webhooks


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


def test_later_failures_wait_for_the_end_of_a_window_that_grows(failing: Interface, server: MailServer) -> None:
    fail(failing)
    send_mail()
    for window in (600, 3600, 21600, 21600):
        assert window_of(failing) == window
        before = len(server.received)
        fail(failing, 2)
        send_mail()
        assert len(server.received) == before
        end_window(failing)
        send_mail()
        assert len(server.received) == before + 1
    assert reported() == [("failed", 1), *[("failed", 2)] * 4]
    assert server.subjects[-1] == "Webhook failing: Contact sales, 2 leads"
    assert "next 6 hours" in server.received[-1].text.replace("\n", " ")


def test_a_delivery_that_keeps_failing_is_reported_once(failing: Interface, server: MailServer) -> None:
    fail(failing)
    send_mail()
    for _ in range(3):
        make_retries_due()
        drain(failing)
        end_window(failing)
        send_mail()
    assert reported() == [("failed", 1)]
    assert window_of(failing) == 600  # still open, and not longer


def test_a_delivery_that_exhausts_its_retries_is_reported_once_as_given_up(
    make_app: AppMaker, failing: Interface, server: MailServer
) -> None:
    interface_id = failing.id
    db.session.rollback()
    with make_app(**server.environ, RETRY_SCHEDULE="5,300").app_context():
        interface = db.session.get_one(Interface, interface_id)
        [public_id] = fail(interface)
        send_mail()
        for _ in range(3):
            make_retries_due()
            drain(interface)
        end_window(interface)
        send_mail()
        assert reported() == [("failed", 1), ("gave_up", 1)]
    assert server.subjects == ["Webhook failing: Contact sales, 1 lead", "Webhook gave up: Contact sales, 1 lead"]
    assert public_id in server.received[1].text
    assert "press Retry Webhook" in server.received[1].text.replace("\n", " ")


def test_recovery_is_reported_after_a_window_with_successes_and_no_failure(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    fail(failing)
    send_mail()
    receiver.answer(status=200)
    fail(failing, 2)
    send_mail()
    assert kinds() == ["failed"]  # the window is not over
    end_window(failing)
    send_mail()
    assert kinds() == ["failed", "recovered"]
    assert server.subjects[-1] == "Webhook recovered: Contact sales"
    assert window_of(failing) is None
    receiver.answer(status=500)
    fail(failing)
    send_mail()
    assert kinds() == ["failed", "recovered", "failed"]  # the first failure of a new series is reported at once
    assert window_of(failing) == 600


def test_a_window_without_any_traffic_stays_open(failing: Interface, server: MailServer) -> None:
    fail(failing)
    send_mail()
    with transaction():
        db.session.execute(update(Lane).values(failures=0, failing_since=None))
    for _ in range(2):
        end_window(failing)
        send_mail()
        assert window_of(failing) == 600
    assert kinds() == ["failed"]


def test_a_flapping_receiver_is_reported_only_at_the_end_of_windows(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    fail(failing)
    send_mail()
    for status in (200, 500, 200, 500, 200):
        receiver.answer(status=status)
        fail(failing)
        send_mail()
    assert kinds() == ["failed"]
    end_window(failing)
    send_mail()
    assert reported() == [("failed", 1), ("failed", 2)]


def test_leads_that_were_delivered_meanwhile_are_marked(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    fail(failing)
    send_mail()
    fail(failing)
    receiver.answer(status=200)
    make_retries_due()
    drain(failing)
    end_window(failing)
    send_mail()
    text = server.received[-1].text.replace("\n", " ")
    assert "Delivered since" in text
    assert "been delivered since. There is nothing left to do." in text


def test_a_failed_manual_retry_causes_no_report(failing: Interface, receiver: Receiver) -> None:
    receiver.answer(status=200)
    [public_id] = fail(failing)
    receiver.answer(status=500)
    with transaction():
        leads.retry(failing.account_id, [public_id], 1)
    drain(failing)
    send_mail()
    assert kinds() == []
    assert window_of(failing) is None


def test_a_pause_is_reported_at_once_with_its_reason(
    failing: Interface, receiver: Receiver, server: MailServer
) -> None:
    fail(failing)
    send_mail()
    receiver.answer(status=410)
    fail(failing)
    send_mail()
    assert kinds() == ["failed", "failed", "paused"]
    paused = server.received[-1]
    assert paused.message["Subject"] == "Webhook paused: Contact sales"
    assert "The receiver answered 410 Gone" in paused.text.replace("\n", " ")
    assert f"/interfaces/{failing.public_id}/edit/lead-generation" in paused.html


def test_a_manual_pause_is_reported_once_with_the_person(failing: Interface, server: MailServer) -> None:
    for _ in range(2):
        with transaction():
            webhooks.pause(failing.webhook, "Paused by Emil.")
    send_mail()
    assert kinds() == ["paused"]
    assert "Paused by Emil." in server.received[0].text
    assert server.received[0].recipients == ["alice@example.com"]


def test_a_deleted_interface_gets_no_more_reports(failing: Interface) -> None:
    fail(failing)
    send_mail()
    with transaction():
        failing.webhook.state = WebhookState.ARCHIVED
    end_window(failing)
    send_mail()
    assert window_of(failing) is None
    assert kinds() == ["failed"]


def test_concurrent_jobs_report_nothing_twice(app: Flask, failing: Interface, server: MailServer) -> None:
    fail(failing, 5)
    db.session.rollback()
    together = threading.Barrier(3)
    written: list[int] = []

    def job() -> None:
        with app.app_context():
            together.wait()
            written.append(reports.compile_due())

    jobs = [threading.Thread(target=job) for _ in range(3)]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    assert sorted(written) == [0, 0, 1]
    assert reported() == [("failed", 5)]


def test_an_error_in_one_webhook_does_not_stop_the_reports_of_others(
    failing: Interface, monkeypatch: pytest.MonkeyPatch, server: MailServer
) -> None:
    fail(failing)
    webhook_id = failing.webhook.id
    db.session.rollback()
    monkeypatch.setattr(reports, "_due_webhooks", lambda: [-1, webhook_id])
    assert reports.compile_due() == 1


def test_a_job_writes_one_report_per_second(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[Any] = []
    monkeypatch.setattr(reports, "_due_webhooks", lambda: [1, 2, 3])
    monkeypatch.setattr(reports, "_compile", lambda webhook_id: happened.append(webhook_id) or 1)
    monkeypatch.setattr(reports.time, "sleep", lambda seconds: happened.append(f"{seconds} s"))
    assert reports.compile_due() == 3
    assert happened == [1, "1.0 s", 2, "1.0 s", 3]


def test_failures_while_a_report_is_rendered_are_in_the_next_report(
    failing: Interface, monkeypatch: pytest.MonkeyPatch, server: MailServer
) -> None:
    fail(failing, 2)
    render = mails.render

    def meanwhile(kind: str, **context: Any) -> mails.Rendered:
        monkeypatch.setattr(mails, "render", render)
        rendered = render(kind, **context)
        fail(failing, 3)
        return rendered

    monkeypatch.setattr(mails, "render", meanwhile)
    send_mail()
    assert reported() == [("failed", 2)]
    end_window(failing)
    send_mail()
    assert reported() == [("failed", 2), ("failed", 3)]


def test_a_window_does_not_close_if_a_lead_failed_meanwhile(
    failing: Interface, monkeypatch: pytest.MonkeyPatch, server: MailServer
) -> None:
    fail(failing)
    send_mail()
    end_window(failing)
    drafts = reports._drafts

    def before_a_failure(webhook_id: int) -> Any:
        monkeypatch.setattr(reports, "_drafts", drafts)
        found = drafts(webhook_id)
        with transaction():
            db.session.execute(update(Webhook).values(state=WebhookState.ARCHIVED))
            db.session.execute(update(ReportEntry).values(report_id=None))
        return found

    monkeypatch.setattr(reports, "_drafts", before_a_failure)
    assert reports.compile_due() == 0
    assert window_of(failing) is not None
    assert reports.compile_due() == 1
    assert window_of(failing) is None


def test_a_report_is_rendered_again_if_its_entries_were_deleted_meanwhile(
    failing: Interface, monkeypatch: pytest.MonkeyPatch, server: MailServer
) -> None:
    fail(failing, 3)
    drafts = reports._drafts

    def before_a_deletion(webhook_id: int) -> Any:
        monkeypatch.setattr(reports, "_drafts", drafts)
        found = drafts(webhook_id)
        with transaction():
            first = select(func.min(ReportEntry.id)).scalar_subquery()
            db.session.execute(delete(ReportEntry).where(ReportEntry.id == first))
        return found

    monkeypatch.setattr(reports, "_drafts", before_a_deletion)
    assert reports.compile_due() == 0
    assert reported() == []
    assert reports.compile_due() == 1
    assert reported() == [("failed", 2)]
