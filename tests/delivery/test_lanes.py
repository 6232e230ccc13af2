"""Draining a lane: what is sent, in which order, what is recorded, and which drain may record it."""

import json
import threading

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from standardwebhooks import Webhook as Verifier

from tests.support.factories import ADA, delivery_of, point_at, sign, submit
from tests.support.lanes import taken
from tests.support.receiver import Line, Receiver, answering, hanging
from tests.support.serving import serve
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes, ledger
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Interface,
    Lane,
    ReportEntry,
    ReportKind,
    Webhook,
    WebhookState,
)
from webapp.services.leads import leads
from webapp.services.reports import reports
from webapp.services.webhooks import webhooks


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    return interface


def drain(interface: Interface) -> None:
    db.session.rollback()
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def test_a_lead_is_sent_and_the_response_kept(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=202, body=b"accepted")
    lead = submit(pointed)
    drain(pointed)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.last_code, delivery.last_response) == (DeliveryState.DELIVERED, 202, "accepted")
    [attempt] = delivery.attempts
    assert (attempt.code, attempt.reason, attempt.url) == (202, "automatic", receiver.url)
    assert receiver.requests[0].body == delivery.payload


def test_a_signed_lead_verifies_with_the_standard_library(pointed: Interface, receiver: Receiver) -> None:
    _, secret = sign(pointed)
    submit(pointed)
    drain(pointed)
    request = receiver.requests[0]
    verified = Verifier(secret).verify(request.body, request.headers)
    assert verified["data"]["lead"]["fields"] == ADA


def test_a_token_shows_when_it_was_last_used(pointed: Interface, receiver: Receiver) -> None:
    token, _ = sign(pointed)
    assert token.last_used_at is None
    submit(pointed)
    drain(pointed)
    db.session.rollback()
    assert token.last_used_at is not None


def test_an_unsigned_lead_has_an_id_and_a_timestamp_but_no_signature(pointed: Interface, receiver: Receiver) -> None:
    submit(pointed)
    drain(pointed)
    names = set(receiver.requests[0].headers)
    assert {"webhook-id", "webhook-timestamp"} <= names
    assert "webhook-signature" not in names


def test_with_a_revoked_token_leads_are_held_and_never_sent_unsigned(pointed: Interface, receiver: Receiver) -> None:
    token, _ = sign(pointed)
    with transaction():
        token.revoked_at = func.now()
    lead = submit(pointed)
    drain(pointed)
    delivery = delivery_of(lead)
    assert delivery.state == DeliveryState.ON_HOLD
    assert "revoked" in delivery.state_reason
    assert receiver.requests == []


def test_with_an_unreadable_token_leads_are_held(app: Flask, pointed: Interface, receiver: Receiver) -> None:
    token, _ = sign(pointed)
    with transaction():
        token.secret_encrypted = b"not of our keys"
    lead = submit(pointed)
    drain(pointed)
    assert "ENCRYPTION_KEYS" in delivery_of(lead).state_reason
    assert receiver.requests == []


def test_a_test_that_cannot_be_signed_fails_and_is_never_sent_later(pointed: Interface, receiver: Receiver) -> None:
    token, _ = sign(pointed)
    with transaction():
        kept, token.secret_encrypted = token.secret_encrypted, b"not of our keys"
        delivery = leads.send_test(db.session.get_one(Interface, pointed.id), _owner_id(pointed))
    drain(pointed)
    db.session.refresh(delivery)
    assert (delivery.status, delivery.state_reason[:16]) == ("Failed", "The Shared Token")
    with transaction():
        token.secret_encrypted = kept
        assert webhooks.release_held(pointed.webhook) == 0
    drain(pointed)
    assert receiver.requests == []


def test_a_worker_that_stops_passes_a_slow_lane_to_the_slow_queue(pointed: Interface) -> None:
    submit(pointed)
    with transaction():
        db.session.execute(update(Lane).values(slow_since=now_sql()))
        webhook_id = pointed.webhook.id
    queues.redis.flushall()
    lanes.drain(webhook_id, stopping=lambda: True)
    assert [len(queues.get(name).get_job_ids()) for name in ("fast", "slow")] == [0, 1]


def test_first_attempts_start_in_the_order_of_capture(pointed: Interface, receiver: Receiver) -> None:
    sent = [submit(pointed).public_id for _ in range(30)]
    drain(pointed)
    assert [json.loads(request.body)["data"]["lead"]["id"] for request in receiver.requests] == sent


def test_a_failed_lead_does_not_delay_the_next_ones(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(500), answering(200))
    first, second = submit(pointed), submit(pointed)
    drain(pointed)
    assert delivery_of(first).status == "Retrying"
    assert delivery_of(second).status == "Delivered"


def test_a_failed_lead_is_tried_again_when_its_time_has_come(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(500), answering(200))
    lead = submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 1
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql()))
    drain(pointed)
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.tries) == (DeliveryState.DELIVERED, 2)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_the_schedule_ends_in_failed_and_is_reported_as_given_up(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=500)
    lead = submit(pointed)
    tries = 0
    while delivery_of(lead).state == DeliveryState.PENDING:
        with transaction():
            db.session.execute(update(Delivery).values(due_at=now_sql()))
        drain(pointed)
        tries += 1
    assert tries == len(receiver.requests) == 8
    kinds = db.session.scalars(select(ReportEntry.kind).order_by(ReportEntry.id)).all()
    assert kinds == [ReportKind.FAILED, ReportKind.GAVE_UP]


def test_without_automatic_retries_the_first_failure_is_the_last(pointed: Interface, receiver: Receiver) -> None:
    point_at(pointed, receiver.url, automatic_retries=False)
    receiver.answer(status=500)
    lead = submit(pointed)
    drain(pointed)
    assert delivery_of(lead).state == DeliveryState.FAILED
    assert db.session.scalars(select(ReportEntry.kind)).all() == [ReportKind.FAILED]


def test_retry_after_is_respected(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=503, headers=[("Retry-After", "3600")])
    lead = submit(pointed)
    drain(pointed)
    delivery = delivery_of(lead)
    now = db.session.scalar(select(now_sql()))
    assert delivery.due_at is not None
    assert now is not None
    assert 3590 < delivery.due_at - now < 3600 * 1.1 + 10


def test_410_pauses_the_webhook_and_holds_the_rest(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=410)
    first, second = submit(pointed), submit(pointed)
    drain(pointed)
    assert delivery_of(first).state == DeliveryState.FAILED
    assert delivery_of(second).state == DeliveryState.ON_HOLD
    webhook = db.session.scalars(select(Webhook)).one()
    assert webhook.state == WebhookState.PAUSED
    assert "410" in webhook.state_reason
    assert len(receiver.requests) == 1


def test_held_leads_are_sent_on_resume(pointed: Interface, receiver: Receiver) -> None:
    with transaction():
        webhooks.pause(pointed.webhook, "by hand")
    lead = submit(pointed)
    assert delivery_of(lead).state == DeliveryState.ON_HOLD
    with transaction():
        assert webhooks.resume(pointed.webhook) == 1
    drain(pointed)
    assert delivery_of(lead).state == DeliveryState.DELIVERED


def test_five_days_with_only_failures_pause_a_webhook(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=500)
    with transaction():
        db.session.execute(
            update(Lane).values(failures=9, failing_since=now_sql() - 5 * 86400 - 60, failed_at=now_sql() - 60)
        )
    submit(pointed)
    drain(pointed)
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.PAUSED
    assert ReportKind.PAUSED in db.session.scalars(select(ReportEntry.kind)).all()


def test_every_410_is_reported_also_after_a_manual_retry(pointed: Interface, receiver: Receiver) -> None:
    lead = submit(pointed)
    drain(pointed)
    receiver.answer(status=410)
    for _ in range(2):
        with transaction():
            leads.retry(lead.account_id, [lead.public_id], _owner_id(pointed))
        drain(pointed)
        [entry] = db.session.scalars(select(ReportEntry)).all()
        assert (entry.kind, entry.report_id) == (ReportKind.PAUSED, None)
        db.session.rollback()
        reports.compile_due()
        db.session.expire_all()
        assert entry.report_id is not None
        with transaction():
            webhooks.resume(pointed.webhook)


@pytest.mark.parametrize(("failures", "days"), [(8, 6), (50, 4)])
def test_fewer_failures_or_a_shorter_time_do_not_pause_a_webhook(
    pointed: Interface, receiver: Receiver, failures: int, days: int
) -> None:
    receiver.answer(status=500)
    with transaction():
        db.session.execute(
            update(Lane).values(failures=failures, failing_since=now_sql() - days * 86400, failed_at=now_sql() - 60)
        )
    submit(pointed)
    drain(pointed)
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.ACTIVE


def test_one_success_resets_the_count_of_failures(pointed: Interface, receiver: Receiver) -> None:
    with transaction():
        db.session.execute(update(Lane).values(failures=50, failing_since=now_sql() - 6 * 86400))
    submit(pointed)
    drain(pointed)
    lane = db.session.scalars(select(Lane)).one()
    assert (lane.failures, lane.failing_since) == (0, None)


def test_a_locked_lane_is_not_drained(pointed: Interface, receiver: Receiver) -> None:
    submit(pointed)
    with transaction():
        db.session.execute(update(Lane).values(token="another", lease_until=now_sql() + 10))
    drain(pointed)
    assert receiver.requests == []


def test_a_lease_from_before_the_clock_was_set_back_locks_nothing(pointed: Interface, receiver: Receiver) -> None:
    submit(pointed)
    with transaction():
        db.session.execute(update(Lane).values(token="another", lease_until=now_sql() + 86400))
    drain(pointed)
    assert len(receiver.requests) == 1


def test_after_a_crash_a_lane_sends_one_row_until_one_is_recorded(pointed: Interface, receiver: Receiver) -> None:
    for _ in range(3):
        submit(pointed)
    with transaction():
        db.session.execute(update(Lane).values(token="dead", lease_until=now_sql() - 1))
    webhook_id = pointed.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    assert hold.careful
    assert len(batch.rows) == 1


def test_a_lane_is_free_after_a_drain_and_no_job_is_left(pointed: Interface, receiver: Receiver) -> None:
    submit(pointed)
    queues.get("fast").empty()
    drain(pointed)
    lane = db.session.scalars(select(Lane)).one()
    assert (lane.token, lane.lease_until) == (None, 0.0)
    assert queues.get("fast").get_job_ids() == []


def test_a_delivery_that_a_pause_missed_is_not_sent_and_not_rung(pointed: Interface, receiver: Receiver) -> None:
    """Otherwise the drain would find it due at its end, and ring and drain for ever. The sweep puts it on hold."""
    submit(pointed)
    with transaction():
        db.session.execute(update(Webhook).values(state=WebhookState.PAUSED))
    queues.redis.flushall()
    drain(pointed)
    assert receiver.requests == []
    assert queues.get("fast").get_job_ids() == []


def test_a_drain_that_lost_its_lane_only_adds_its_attempts(pointed: Interface, receiver: Receiver) -> None:
    lead = submit(pointed)
    webhook_id = pointed.webhook.id
    db.session.rollback()
    stale_hold, stale_batch = taken(webhook_id)
    receiver.queue(answering(500), answering(200))
    stale = lanes.sending.Sending(stale_batch, lambda: False)
    with transaction():  # its lease runs out before it has sent
        db.session.execute(update(Lane).values(lease_until=now_sql() - 1))
    stale.run()
    lanes.drain(webhook_id)
    assert delivery_of(lead).state == DeliveryState.DELIVERED
    db.session.rollback()
    assert lanes._record(stale_hold, stale_batch, stale, more=True) is None
    delivery = delivery_of(lead)
    assert (delivery.state, delivery.last_code, delivery.tries) == (DeliveryState.DELIVERED, 200, 1)
    assert sorted(attempt.code for attempt in delivery.attempts) == [200, 500]


def test_recording_twice_keeps_one_attempt(pointed: Interface, receiver: Receiver) -> None:
    lead = submit(pointed)
    webhook_id = pointed.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sent = lanes.sending.Sending(batch, lambda: False)
    sent.run()
    lanes._record(hold, batch, sent, more=False)
    lanes._record(hold, batch, sent, more=False)
    assert len(delivery_of(lead).attempts) == 1


def test_a_click_during_an_attempt_is_not_lost_and_not_sent_twice(
    app: Flask, pointed: Interface, receiver: Receiver
) -> None:
    receiver.answer(status=500)
    lead = submit(pointed)
    drain(pointed)
    account_id, public_id, webhook_id = lead.account_id, lead.public_id, pointed.webhook.id
    with transaction():
        assert leads.retry(account_id, [public_id], _owner_id(pointed)) == 1
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sent = lanes.sending.Sending(batch, lambda: False)
    sent.run()
    with transaction():  # the attempt that is being made answers it
        assert leads.retry(account_id, [public_id], _owner_id(pointed)) == 0
    db.session.rollback()
    lanes._record(hold, batch, sent, more=False)
    assert delivery_of(lead).retry_at is None
    with transaction():
        assert leads.retry(account_id, [public_id], _owner_id(pointed)) == 1
    drain(pointed)
    assert len(receiver.requests) == 3


def _owner_id(interface: Interface) -> int:
    from webapp.models import User

    owner = db.session.scalars(select(User.id).where(User.account_id == interface.account_id)).one()
    return int(owner)


def test_a_cancelled_delivery_is_not_revived_by_a_result(pointed: Interface, receiver: Receiver) -> None:
    lead = submit(pointed)
    webhook_id = pointed.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sent = lanes.sending.Sending(batch, lambda: False)
    sent.run()
    with transaction():
        db.session.execute(update(Delivery).values(state=DeliveryState.CANCELLED))
    lanes._record(hold, batch, sent, more=False)
    assert delivery_of(lead).state == DeliveryState.CANCELLED


def test_a_timeout_makes_the_lane_slow_and_a_response_makes_it_fast_again(make_app, receiver: Receiver) -> None:  # type: ignore[no-untyped-def]
    app = make_app(WEBHOOK_DEADLINE="0.3", WEBHOOK_CONNECT_TIMEOUT="0.3")
    with app.app_context():
        interface = _new_interface(receiver)
        receiver.behave(hanging())
        lead = submit(interface)
        drain(interface)
        assert delivery_of(lead).last_code == 999
        assert db.session.scalars(select(Lane.slow_since)).one() is not None
        queues.redis.flushall()
        receiver.answer(status=500)
        submit(interface)
        serve()
        assert len(queues.get("slow").get_job_ids()) == 1
        drain(interface)
        assert db.session.scalars(select(Lane.slow_since)).one() is None


def _new_interface(receiver: Receiver) -> Interface:
    from webapp.services.interfaces import interfaces
    from webapp.services.people import users

    with transaction():
        owner = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar")
        interface = interfaces.create(owner.account_id, "Contact sales")
    point_at(interface, receiver.url)
    return interface


def test_clicks_do_not_delay_new_leads_which_do_not_delay_retries(pointed: Interface, receiver: Receiver) -> None:
    for _ in range(60):
        submit(pointed)
    ids = db.session.scalars(select(Delivery.id).order_by(Delivery.id)).all()
    clicked = update(Delivery).where(Delivery.id.in_(ids[:20])).values(state="failed", tries=8, retry_at=now_sql())
    again = update(Delivery).where(Delivery.id.in_(ids[20:40])).values(tries=1, due_at=now_sql() - 1)
    with transaction():
        db.session.execute(clicked)
        db.session.execute(again)
    webhook_id = pointed.webhook.id
    db.session.rollback()
    with db.engine.begin() as connection:
        batch = ledger.batch(connection, webhook_id)
    assert batch is not None
    kinds = ["click" if row.retry_at else "again" if row.tries else "fresh" for row in batch.rows]
    assert kinds == ["click"] * 5 + ["fresh"] * 10 + ["again"] * 5


def test_parallel_requests_are_sent_at_the_same_time_and_all_recorded(pointed: Interface, receiver: Receiver) -> None:
    together = threading.Barrier(4, timeout=10)

    def meet(line: Line) -> bool:
        together.wait()
        return answering(200)(line)

    receiver.behave(meet)
    point_at(pointed, receiver.url, parallel_requests=4)
    sent = [submit(pointed) for _ in range(4)]
    drain(pointed)
    assert {delivery_of(lead).state for lead in sent} == {DeliveryState.DELIVERED}


def test_manual_retry_leaves_the_automatic_schedule_as_it_is(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=500)
    lead = submit(pointed)
    drain(pointed)
    before = delivery_of(lead)
    due_at, tries = before.due_at, before.tries
    with transaction():
        leads.retry(lead.account_id, [lead.public_id], _owner_id(pointed))
    drain(pointed)
    after = delivery_of(lead)
    assert (after.due_at, after.tries, after.status) == (due_at, tries, "Retrying")
    assert [attempt.reason for attempt in after.attempts] == ["retry", "automatic"]


def test_a_manual_retry_that_fails_starts_no_new_report(pointed: Interface, receiver: Receiver) -> None:
    lead = submit(pointed)
    drain(pointed)
    receiver.answer(status=500)
    with transaction():
        leads.retry(lead.account_id, [lead.public_id], _owner_id(pointed))
    drain(pointed)
    assert delivery_of(lead).status == "Failed"
    assert db.session.scalar(select(func.count(ReportEntry.id))) == 0


def test_a_test_lead_changes_nothing_but_its_own_delivery(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(status=410)
    with transaction():
        delivery = leads.send_test(pointed, _owner_id(pointed))
    drain(pointed)
    db.session.rollback()
    db.session.refresh(delivery)
    assert (delivery.status, delivery.last_code) == ("Failed", 410)
    assert json.loads(receiver.requests[0].body)["type"] == "lead.test"
    assert json.loads(receiver.requests[0].body)["data"]["lead"]["test"] is True
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.ACTIVE
    assert db.session.scalar(select(func.count(ReportEntry.id))) == 0
    assert db.session.scalars(select(Lane.failures)).one() == 0


def test_twenty_retries_leave_one_lead_one_notification_and_one_webhook_id(
    pointed: Interface, receiver: Receiver
) -> None:
    from webapp.models import Lead, LeadLogEntry, Mail

    with transaction():
        db.session.get_one(Interface, pointed.id).notification_emails = ["sales@example.com"]
    lead = submit(pointed)
    drain(pointed)
    for _ in range(20):
        with transaction():
            assert leads.retry(lead.account_id, [lead.public_id], _owner_id(pointed)) == 1
        drain(pointed)
    assert db.session.scalar(select(func.count(Lead.id))) == 1
    assert db.session.scalar(select(func.count(Mail.id)).where(Mail.kind == "lead_notification")) == 1
    assert db.session.scalar(select(func.count(Attempt.id))) == 21
    resent = select(func.count(LeadLogEntry.id)).where(LeadLogEntry.action == "resentwebhook")
    assert db.session.scalar(resent) == 20
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1
