"""A receiver asks for a rest: its webhook sends nothing meanwhile, then one lead tries first."""

import threading

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests.support.factories import delivery_of, point_at, submit
from tests.support.lanes import taken
from tests.support.receiver import Line, Receiver, answering, hanging
from tests.support.serving import drains, serve
from webapp.clock import now_sql
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes, ledger
from webapp.delivery.rings import FAST, SLOW, queues, ring_unless_locked
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Interface, Lane, Lead, User, Webhook, WebhookState
from webapp.services.interfaces import interface_list, interfaces
from webapp.services.leads import leads
from webapp.services.signs import checks, metrics
from webapp.services.webhooks import webhooks

ASKS = answering(429, headers=[("Retry-After", "20")])
HOUR = 3600.0


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    point_at(interface, receiver.url)
    return interface


@pytest.fixture
def resting(pointed: Interface, receiver: Receiver) -> Lead:
    """The lead whose answer asked for the rest. The receiver would take the next one."""
    receiver.queue(ASKS)
    lead = submit(pointed)
    drain(pointed)
    receiver.clear()
    queues.redis.flushall()
    return lead


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def sweep() -> None:
    db.session.rollback()
    sweeper = Sweep()
    sweeper.once()
    sweeper.resign()


def jobs() -> int:
    return sum(len(drains(name)) for name in (FAST, SLOW))


def rest() -> float | None:
    """Seconds until the lane's rest ends; None if one lead need not try first."""
    with read_autocommit() as connection:
        until, tries_first = connection.execute(select(Lane.rests_until - now_sql(), Lane.tries_first)).one()
    return until if tries_first else None


def pass_by(seconds: float) -> None:
    """Time passes."""
    with transaction():
        db.session.execute(update(Lane).values(rests_until=Lane.rests_until - seconds))
        db.session.execute(
            update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=Delivery.due_at - seconds)
        )


def first_batch(interface: Interface) -> int:
    """How many leads a drain would begin with."""
    webhook_id = interface.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    lanes._let_go(hold)
    return len(batch.rows)


def due_after(lead: Lead) -> float:
    with read_autocommit() as connection:
        asked = select(Delivery.due_at - now_sql()).where(Delivery.lead_id == lead.id)
        return float(connection.execute(asked).scalar_one())


def states() -> list[str]:
    with read_autocommit() as connection:
        return [str(state) for state in connection.scalars(select(Delivery.state).order_by(Delivery.id))]


@pytest.mark.parametrize("code", [429, 503])
def test_new_leads_wait_while_the_webhook_rests(pointed: Interface, receiver: Receiver, code: int) -> None:
    receiver.answer(code, headers=[("Retry-After", "20")])
    for _ in range(20):
        submit(pointed)
        drain(pointed)
    assert len(receiver.requests) == 1
    assert rest() == pytest.approx(20, abs=5)


def test_the_others_of_its_batch_wait_too(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(200), ASKS)
    for _ in range(5):
        submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 2
    assert states() == ["delivered", *["pending"] * 4]


def test_captures_meanwhile_send_nothing_and_the_sweep_rings_once_the_rest_is_over(
    pointed: Interface, receiver: Receiver, resting: Lead
) -> None:
    submit(pointed)
    serve()
    sweep()
    assert (jobs(), receiver.requests) == (0, [])
    pass_by(21)
    sweep()
    assert jobs() == 1


def test_a_capture_after_the_rest_rings_at_once(pointed: Interface, resting: Lead) -> None:
    pass_by(21)
    submit(pointed)
    serve()
    assert jobs() == 1


def test_one_lead_tries_first_and_the_others_follow_if_it_is_taken(
    pointed: Interface, receiver: Receiver, resting: Lead
) -> None:
    for _ in range(3):
        submit(pointed)
    pass_by(25)
    assert first_batch(pointed) == 1
    drain(pointed)
    assert states() == ["delivered"] * 4
    assert rest() is None


def test_it_rests_again_if_the_one_that_tries_first_is_asked_to_wait(
    pointed: Interface, receiver: Receiver, resting: Lead
) -> None:
    receiver.answer(429, headers=[("Retry-After", "300")])
    for _ in range(3):
        submit(pointed)
    pass_by(25)
    drain(pointed)
    assert len(receiver.requests) == 1
    assert rest() == pytest.approx(300, abs=5)


def test_a_429_without_a_time_keeps_it_at_one_lead_first_and_another_failure_does_not(
    pointed: Interface, receiver: Receiver, resting: Lead
) -> None:
    receiver.queue(answering(429), answering(500))
    submit(pointed), submit(pointed)
    pass_by(15)  # the lead that was asked to wait is due later
    pass_by(5.5)
    with transaction():
        db.session.execute(update(Delivery).where(Delivery.lead_id == resting.id).values(due_at=now_sql() + HOUR))
    assert first_batch(pointed) == 1
    drain(pointed)
    assert [request.path for request in receiver.requests] == ["/hook"] * 2
    assert rest() is None


@pytest.mark.parametrize("code", [400, 404, 500, 502, 301])
def test_with_other_codes_only_that_lead_waits(pointed: Interface, receiver: Receiver, code: int) -> None:
    receiver.queue(answering(code, headers=[("Retry-After", "1800")]))
    first, _ = submit(pointed), submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 2
    assert rest() is None
    assert due_after(first) == pytest.approx(1800, abs=200)


@pytest.mark.parametrize("headers", [[], [("Retry-After", "0")], [("Retry-After", "soon")], [("Retry-After", "-20")]])
def test_a_429_that_names_no_time_rests_nothing(
    pointed: Interface, receiver: Receiver, headers: list[tuple[str, str]]
) -> None:
    receiver.queue(answering(429, headers=headers))
    submit(pointed), submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 2
    assert rest() is None


def test_a_good_answer_with_retry_after_rests_nothing(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(202, headers=[("Retry-After", "600")])
    submit(pointed), submit(pointed)
    drain(pointed)
    assert states() == ["delivered"] * 2


def test_the_webhook_rests_an_hour_at_most_and_the_lead_a_day(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(answering(503, headers=[("Retry-After", "999999")]))
    lead = submit(pointed)
    drain(pointed)
    assert rest() == pytest.approx(HOUR, abs=10)
    assert 24 * HOUR - 60 < due_after(lead) < 24 * HOUR * 1.1 + 60


def test_a_retry_and_a_test_go_through_a_rest_and_leave_it(
    pointed: Interface, receiver: Receiver, resting: Lead, owner: User
) -> None:
    waiting = submit(pointed)
    with transaction():
        assert leads.retry(resting.account_id, [resting.public_id], owner.id) == 1
    assert jobs() == 1
    drain(pointed)
    assert delivery_of(resting).state == DeliveryState.DELIVERED
    with transaction():
        leads.send_test(db.session.get_one(Interface, pointed.id), owner.id)
    drain(pointed)
    assert len(receiver.requests) == 2
    assert delivery_of(waiting).tries == 0
    assert rest() == pytest.approx(20, abs=10)


def test_a_lead_that_waits_for_the_rest_can_be_retried_by_hand(
    pointed: Interface, receiver: Receiver, resting: Lead, owner: User
) -> None:
    waiting = submit(pointed)
    with transaction():
        assert leads.retry(waiting.account_id, [waiting.public_id], owner.id) == 1
    drain(pointed)
    assert delivery_of(waiting).state == DeliveryState.DELIVERED


def test_a_test_that_is_asked_to_wait_rests_the_webhook(pointed: Interface, receiver: Receiver, owner: User) -> None:
    receiver.queue(ASKS)
    with transaction():
        leads.send_test(db.session.get_one(Interface, pointed.id), owner.id)
    drain(pointed)
    submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 1


def test_a_shorter_time_that_is_asked_for_meanwhile_does_not_end_a_rest_early(
    pointed: Interface, receiver: Receiver, resting: Lead, owner: User
) -> None:
    receiver.queue(answering(429, headers=[("Retry-After", "1")]))
    with transaction():
        leads.retry(resting.account_id, [resting.public_id], owner.id)
    drain(pointed)
    assert rest() == pytest.approx(20, abs=10)


def test_try_now_sends_one_lead_and_the_others_follow(pointed: Interface, receiver: Receiver, resting: Lead) -> None:
    receiver.queue(ASKS)
    submit(pointed), submit(pointed), submit(pointed)
    with transaction():
        assert webhooks.try_now(pointed.webhook)
    assert jobs() == 1
    drain(pointed)
    assert len(receiver.requests) == 1
    with transaction():
        assert webhooks.try_now(pointed.webhook)
    drain(pointed)
    assert len(receiver.requests) == 3
    with transaction():
        assert not webhooks.try_now(pointed.webhook)


def test_a_new_url_ends_the_rest_and_the_same_one_does_not(
    pointed: Interface, receiver: Receiver, resting: Lead
) -> None:
    submit(pointed)
    settings = {"authentication": pointed.webhook.authentication, "shared_token": None}
    with transaction():
        interfaces.update_lead_generation(pointed, url=receiver.url, **settings)
    drain(pointed)
    assert receiver.requests == []
    with transaction():
        interfaces.update_lead_generation(pointed, url=f"{receiver.origin}/another", **settings)
    assert rest() is None
    drain(pointed)
    assert [request.path for request in receiver.requests] == ["/another"]
    receiver.queue(ASKS)
    submit(pointed)
    drain(pointed)
    assert rest() == pytest.approx(20, abs=5), "the new receiver can ask for one, too"


def test_what_the_old_url_asks_for_does_not_rest_the_new_one(
    app: Flask, pointed: Interface, receiver: Receiver
) -> None:
    """It answers after the change."""
    reached, goes_on = threading.Event(), threading.Event()

    def late(line: Line) -> bool:
        reached.set()
        goes_on.wait(10)
        return ASKS(line)

    receiver.queue(late)
    submit(pointed)
    webhook_id = pointed.webhook.id
    db.session.rollback()
    thread = threading.Thread(target=drain_in, args=(app, webhook_id))
    thread.start()
    assert reached.wait(10)
    settings = {"authentication": pointed.webhook.authentication, "shared_token": None}
    with transaction():
        interfaces.update_lead_generation(pointed, url=f"{receiver.origin}/another", **settings)
    goes_on.set()
    thread.join(10)
    assert rest() is None


def test_a_resume_ends_the_rest_with_one_lead_first(pointed: Interface, receiver: Receiver, resting: Lead) -> None:
    with transaction():
        webhooks.pause(pointed.webhook, "by hand")
    with transaction():
        webhooks.resume(pointed.webhook)
    assert first_batch(pointed) == 1


def test_a_rest_that_ends_later_than_any_can_is_none(pointed: Interface, receiver: Receiver, resting: Lead) -> None:
    """The clock was set back."""
    with transaction():
        db.session.execute(update(Lane).values(rests_until=now_sql() + 3 * HOUR))
    submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 1
    assert rest() is None


def test_a_restarted_worker_keeps_the_rest(pointed: Interface, receiver: Receiver, resting: Lead) -> None:
    """It is in the database. A ring that was on its way when the worker ended sends nothing."""
    submit(pointed)
    queues.redis.flushall()
    ring_unless_locked(pointed.webhook.id)
    sweep()
    drain(pointed)
    assert (receiver.requests, jobs()) == ([], 0)
    with read_autocommit() as connection:
        assert connection.execute(select(Lane.token, Lane.lease_until)).one() == (None, 0.0)


def test_answers_that_ask_for_a_rest_pause_nothing(pointed: Interface, receiver: Receiver) -> None:
    receiver.answer(429, headers=[("Retry-After", "20")])
    long_ago = now_sql() - 6 * 86400
    with transaction():
        db.session.execute(update(Lane).values(failures=50, failing_since=long_ago, failed_at=now_sql()))
    for _ in range(3):
        submit(pointed)
        drain(pointed)
        pass_by(21)
    assert len(receiver.requests) == 3
    lane = db.session.scalars(select(Lane)).one()
    assert (lane.failures, db.session.scalars(select(Webhook.state)).one()) == (50, WebhookState.ACTIVE)


def test_a_rest_raises_no_alarm(pointed: Interface, receiver: Receiver, resting: Lead) -> None:
    submit(pointed)
    pass_by(15)
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql() - 2 * HOUR))
        db.session.execute(update(Lane).values(rests_until=now_sql() + 100))
    assert metrics.due_now() == (0, 0.0)
    assert checks.CHECKS["backlog"]().ok
    db.session.rollback()
    pass_by(130)
    due, age = metrics.due_now()
    assert (due, age) == (2, pytest.approx(30, abs=10)), "they wait for a worker since the rest is over"
    drain(pointed)
    submit(pointed)
    assert metrics.due_now()[1] < 40


def test_a_click_that_no_worker_takes_raises_the_alarm_also_while_resting(
    pointed: Interface, resting: Lead, owner: User
) -> None:
    with transaction():
        leads.retry(resting.account_id, [resting.public_id], owner.id)
        db.session.execute(update(Delivery).values(retry_at=now_sql() - 100))
    assert metrics.due_now() == (1, pytest.approx(100, abs=10))


def test_the_words_for_a_resting_webhook(pointed: Interface, resting: Lead) -> None:
    assert interface_list.health(pointed) == "Resting"
    until = webhooks.resting_until(pointed.webhook)
    assert until is not None
    assert delivery_of_session(resting).next_at is not None
    assert delivery_of_session(submit(pointed)).rests_until == until
    pass_by(21)
    assert webhooks.resting_until(pointed.webhook) is None
    assert interface_list.health(pointed) == "Not tested"


def test_with_parallel_requests_those_under_way_end_and_no_other_begins(pointed: Interface, receiver: Receiver) -> None:
    point_at(pointed, receiver.url, parallel_requests=4)
    receiver.answer(503, headers=[("Retry-After", "60")], delay=0.2)
    for _ in range(12):
        submit(pointed)
    drain(pointed)
    assert 1 <= len(receiver.requests) <= 4
    assert rest() == pytest.approx(60, abs=10)


def test_the_longest_time_of_a_batch_counts(pointed: Interface, receiver: Receiver) -> None:
    point_at(pointed, receiver.url, parallel_requests=2)
    waits = [answering(429, headers=[("Retry-After", text)], delay=0.3) for text in ("700", "30")]
    receiver.queue(*waits)
    submit(pointed), submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 2
    assert rest() == pytest.approx(700, abs=10)


def test_from_a_lead_to_its_delivery_over_two_rests(pointed: Interface, receiver: Receiver) -> None:
    """As the receiver sees it: one request for each time that it was asked, and all leads in the end."""
    receiver.queue(ASKS, ASKS)
    found = [submit(pointed) for _ in range(30)]
    for _ in range(3):
        drain(pointed)
        pass_by(25)
    with transaction():  # the two that were asked to wait, by the schedule
        db.session.execute(update(Delivery).values(due_at=now_sql() - 1))
    drain(pointed)
    assert states() == ["delivered"] * 30
    assert len(receiver.requests) == 32
    with read_autocommit() as connection:
        codes = connection.execute(select(Attempt.code, func.count()).group_by(Attempt.code).order_by(Attempt.code))
        assert codes.all() == [(200, 30), (429, 2)]
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(set(ids)) == len(found)


def test_headers_that_never_end_rest_nothing(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(hanging(b"HTTP/1.1 503 Busy\r\nretry-after: 60\r\n"))
    submit(pointed)
    threading.Timer(0.3, receiver.drop_connections).start()
    drain(pointed)
    assert rest() is None


def delivery_of_session(lead: Lead) -> Delivery:
    db.session.rollback()
    return db.session.scalars(select(Delivery).where(Delivery.lead_id == lead.id)).one()


def drain_in(app: Flask, webhook_id: int) -> None:
    with app.app_context():
        lanes.drain(webhook_id)


def test_the_last_look_counts_what_a_batch_takes_while_it_rests(pointed: Interface, resting: Lead, owner: User) -> None:
    webhook_id = pointed.webhook.id
    submit(pointed)
    for clicked in (False, True):
        if clicked:
            with transaction():
                leads.retry(resting.account_id, [resting.public_id], owner.id)
        db.session.rollback()
        with read_autocommit() as connection:
            due, _ = ledger.last_look(connection, webhook_id)
            assert due == (ledger.batch(connection, webhook_id) is not None) == clicked
