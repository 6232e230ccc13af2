"""A try that sent two requests: two attempts on record, one step of the schedule, one outcome for everything else."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from tests.services.leads.test_forgetting import aged, set_privacy
from tests.support.factories import ADA, delivery_of, point_at, sign, submit
from tests.support.lanes import taken
from tests.support.receiver import Behaviour, Line, Receiver, answering, closing, hanging, raw
from tests.support.waiting import wait_until
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.delivery.sending import Sending, attempt_counts, sender
from webapp.extensions import db
from webapp.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Interface,
    Lane,
    Lead,
    ReportEntry,
    ReportKind,
    Webhook,
    WebhookState,
)
from webapp.services.leads import forgetting, leads
from webapp.webhooks.outcome import ErrorKind

SENT_AGAIN = ErrorKind.SENT_AGAIN


@pytest.fixture
def kept(interface: Interface, receiver: Receiver) -> Interface:
    """An interface whose webhook has a kept connection, because it was sent a lead."""
    point_at(interface, receiver.url)
    submit(interface)
    drain(interface)
    receiver.clear()
    attempt_counts.take()
    return interface


def drain(interface: Interface) -> None:
    db.session.rollback()
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def sent(interface: Interface, receiver: Receiver, *behaviours: Behaviour) -> Lead:
    """A lead whose try meets these answers, one for each of its requests."""
    receiver.queue(*behaviours)
    lead = submit(interface)
    drain(interface)
    return lead


def errors(delivery: Delivery) -> list[tuple[int, str | None]]:
    """Code and kind of each attempt, the first one first."""
    return [(attempt.code, attempt.error) for attempt in reversed(delivery.attempts)]


def lane() -> Lane:
    db.session.rollback()
    return db.session.scalars(select(Lane)).one()


def entries() -> list[tuple[str, str]]:
    db.session.rollback()
    return [(entry.kind, entry.attempt_id) for entry in db.session.scalars(select(ReportEntry))]


def test_both_are_on_record_and_it_is_one_try(kept: Interface, receiver: Receiver) -> None:
    delivery = delivery_of(sent(kept, receiver, raw(b"", delay=0.05), answering(202, b"accepted", delay=0.05)))
    second, first = delivery.attempts
    assert errors(delivery) == [(999, SENT_AGAIN), (202, None)]
    assert (delivery.state, delivery.tries, delivery.last_code) == (DeliveryState.DELIVERED, 1, 202)
    assert first.response == (
        f"127.0.0.1 port {receiver.port} ended a kept connection without an answer. "
        "The request was sent once more, on a new connection."
    )
    assert first.timestamp == second.timestamp
    assert first.duration_ms >= 50
    assert second.duration_ms >= 50
    assert second.started_at - first.started_at == timedelta(milliseconds=first.duration_ms)
    assert delivery.last_at == second.started_at
    assert [request.headers["webhook-id"] for request in receiver.requests] == [delivery.message_id] * 2


def test_no_failure_is_counted_or_reported_if_the_second_request_succeeds(kept: Interface, receiver: Receiver) -> None:
    sent(kept, receiver, closing(), answering())
    assert (lane().failures, lane().failing_since, lane().slow_since) == (0, None, None)
    assert entries() == []


def test_if_both_fail_it_is_one_failure_of_the_second_request(kept: Interface, receiver: Receiver) -> None:
    delivery = delivery_of(sent(kept, receiver, closing(), answering(503)))
    assert errors(delivery) == [(999, SENT_AGAIN), (503, ErrorKind.HTTP_5XX)]
    assert (delivery.state, delivery.tries, delivery.last_code) == (DeliveryState.PENDING, 1, 503)
    assert lane().failures == 1
    assert entries() == [(ReportKind.FAILED, delivery.attempts[0].id)]


def test_the_schedule_goes_on_with_its_next_step(app: Flask, kept: Interface, receiver: Receiver) -> None:
    app.extensions["leadhook_config"] = replace(app.extensions["leadhook_config"], retry_schedule=(0.001, 0.001))
    receiver.queue(*[closing(), answering(500)] * 3)
    lead = submit(kept)
    wait_until(lambda: drain(kept) or delivery_of(lead).state == DeliveryState.FAILED, "the end of the schedule")
    delivery = delivery_of(lead)
    assert errors(delivery) == [(999, SENT_AGAIN), (500, ErrorKind.HTTP_5XX)] * 3
    assert (delivery.tries, len(receiver.requests), lane().failures) == (3, 6, 3)


def test_a_click_is_one_click(kept: Interface, receiver: Receiver) -> None:
    lead = sent(kept, receiver, answering())
    with transaction():
        leads.retry(kept.account_id, [lead.public_id], 1)
    receiver.queue(closing(), answering(201))
    drain(kept)
    delivery = delivery_of(lead)
    assert errors(delivery) == [(200, None), (999, SENT_AGAIN), (201, None)]
    assert {attempt.reason for attempt in delivery.attempts[:2]} == {"retry"}
    assert {attempt.user_id for attempt in delivery.attempts[:2]} == {1}
    assert (delivery.tries, delivery.retry_at) == (1, None)


def test_a_test_lead_has_both_too(kept: Interface, receiver: Receiver, signed_in: FlaskClient) -> None:
    receiver.queue(closing(), answering(200, b"hello"))
    with transaction():
        message_id = leads.send_test(db.session.get_one(Interface, kept.id), 1).message_id
    drain(kept)
    page = signed_in.get(f"/interfaces/{kept.public_id}/tests/{message_id}").text
    assert "Delivered: 200" in page
    found = select(Attempt.error, Attempt.reason).join(Delivery).where(Delivery.message_id == message_id)
    assert [tuple(row) for row in db.session.execute(found.order_by(Attempt.id))] == [
        (SENT_AGAIN, "test"),
        (None, "test"),
    ]


def test_both_were_signed_alike(kept: Interface, receiver: Receiver) -> None:
    token, _ = sign(kept)
    token_id = token.id
    delivery = delivery_of(sent(kept, receiver, closing(), answering()))
    assert {attempt.signed_with_id for attempt in delivery.attempts} == {token_id}
    assert len({request.headers["webhook-signature"] for request in receiver.requests}) == 1


def test_several_tries_of_a_batch_send_twice(kept: Interface, receiver: Receiver) -> None:
    """One statement records them on PostgreSQL: more attempts than deliveries."""
    receiver.queue(closing(), answering(), closing(), answering(), answering(), closing(), closing())
    found = [submit(kept) for _ in range(4)]
    drain(kept)
    assert [errors(delivery_of(lead)) for lead in found] == [
        [(999, SENT_AGAIN), (200, None)],
        [(999, SENT_AGAIN), (200, None)],
        [(200, None)],
        [(999, SENT_AGAIN), (999, ErrorKind.RESET)],
    ]
    assert len(receiver.requests) == 7


def test_of_parallel_requests_each_keeps_its_own(kept: Interface, receiver: Receiver) -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(line: Line) -> bool:
        together.wait()
        return answering()(line)

    def drop(line: Line) -> bool:
        together.wait()
        return False

    point_at(kept, receiver.url, parallel_requests=2)
    receiver.queue(meet, meet, drop, drop)
    found = [submit(kept) for _ in range(4)]
    drain(kept)
    counted = sorted(len(delivery_of(lead).attempts) for lead in found)
    assert counted == [1, 1, 2, 2]
    assert {delivery_of(lead).state for lead in found} == {DeliveryState.DELIVERED}


def test_a_second_request_that_times_out_makes_the_lane_slow(kept: Interface, receiver: Receiver) -> None:
    sender._limits = replace(sender._limits, deadline=0.5)
    delivery = delivery_of(sent(kept, receiver, closing(), hanging()))
    assert errors(delivery) == [(999, SENT_AGAIN), (999, ErrorKind.TIMEOUT)]
    assert lane().slow_since is not None


def test_a_410_to_the_second_request_pauses_and_names_its_attempt(kept: Interface, receiver: Receiver) -> None:
    delivery = delivery_of(sent(kept, receiver, closing(), answering(410)))
    assert errors(delivery) == [(999, SENT_AGAIN), (410, ErrorKind.HTTP_4XX)]
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.PAUSED
    assert {attempt_id for _, attempt_id in entries()} == {delivery.attempts[0].id}


def test_both_are_kept_if_another_drain_has_taken_the_lane(kept: Interface, receiver: Receiver) -> None:
    receiver.queue(closing(), answering())
    lead = submit(kept)
    webhook_id = kept.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sending = Sending(batch, lambda: False)
    sending.run()
    with transaction():
        db.session.execute(update(Lane).values(token="another", lease_until=now_sql() + 60))
    assert lanes._record(hold, batch, sending, more=False) is None
    delivery = delivery_of(lead)
    assert errors(delivery) == [(999, SENT_AGAIN), (200, None)]
    assert (delivery.state, delivery.tries) == (DeliveryState.PENDING, 0)


def test_recording_again_after_a_lost_answer_adds_nothing(kept: Interface, receiver: Receiver) -> None:
    receiver.queue(closing(), answering())
    lead = submit(kept)
    webhook_id = kept.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sending = Sending(batch, lambda: False)
    sending.run()
    for _ in range(2):
        lanes._record(hold, batch, sending, more=False)
    assert errors(delivery_of(lead)) == [(999, SENT_AGAIN), (200, None)]


def test_metrics_count_both_by_their_own_result(kept: Interface, receiver: Receiver) -> None:
    sent(kept, receiver, closing(), answering())
    counts = attempt_counts.take()
    assert (counts["sent_again"], counts["2xx"]) == (1, 1)


def test_the_pages_show_both(kept: Interface, receiver: Receiver, signed_in: FlaskClient) -> None:
    lead = sent(kept, receiver, closing(), answering(503))
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert "2 attempts" in page
    assert page.index("503 Service Unavailable") < page.index("999 No answer, sent once more")
    assert "Attempt 1 · Automatic" in page
    assert "Attempt 2 · Automatic" in page
    assert "Automatic, try 2 of 8" in " ".join(page.split())
    assert "ended a kept connection without an answer. The request was sent once more, on a new connection." in page
    assert "try 1 of 8" in signed_in.get("/leads").text


def test_both_are_deleted_with_the_lead(kept: Interface, receiver: Receiver) -> None:
    sent(kept, receiver, closing(), answering())
    set_privacy(kept, days=1)
    aged(days=2)
    forgetting.forget()
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Attempt)) == 0


def test_anonymising_keeps_what_happened_and_removes_what_was_answered(kept: Interface, receiver: Receiver) -> None:
    lead = sent(kept, receiver, closing(), answering(200, b"hello Ada"))
    set_privacy(kept, anonymises=True)
    with transaction():
        db.session.execute(update(Lead).values(anonymise_after_delivery=True))
    aged(days=2)
    forgetting.forget()
    second, first = delivery_of(lead).attempts
    assert "Ada" not in second.response
    assert first.response.startswith("127.0.0.1 port")


def test_a_lead_on_its_way_from_the_form_to_the_receiver(
    app: Flask, client: FlaskClient, kept: Interface, receiver: Receiver, signed_in: FlaskClient
) -> None:
    """From a visitor's post to what the receiver got and what is on record: once without an answer, once with late
    bytes in place of one, once as ever."""
    receiver.queue(*(closing(), answering()), *(raw(b"late body of the answer before"), answering()), answering(202))
    for _ in range(3):
        assert client.post(f"/f/{kept.public_id}", data=ADA).status_code == 303
    drain(kept)
    db.session.rollback()
    newest = select(Delivery).order_by(Delivery.id.desc()).limit(3)
    deliveries = list(reversed(db.session.scalars(newest).all()))
    assert [errors(delivery) for delivery in deliveries] == [[(999, SENT_AGAIN), (200, None)]] * 2 + [[(202, None)]]
    assert {delivery.state for delivery in deliveries} == {DeliveryState.DELIVERED}
    on_record = [delivery.message_id for delivery in deliveries for _ in delivery.attempts]
    assert [request.headers["webhook-id"] for request in receiver.requests] == on_record
    page = signed_in.get("/leads").text
    assert page.count("Delivered") >= 3
    assert "Failed" not in page.partition("<tbody")[2]
