"""The job that serves all rung lanes: what it sends itself, what it gives to others, and that no lane waits for one."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import delivery_of, point_at, sign, submit
from tests.support.no_threads import refused
from tests.support.receiver import Behaviour, Line, Receiver, answering, hanging
from tests.support.serving import drains, rung, serve
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until
from webapp import jobs
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes, ledger, rings, serving, several, states
from webapp.delivery.rings import SLOW, queues, ring_lanes, rung_key, serving_key
from webapp.delivery.sending import sender
from webapp.delivery.slots import Slots
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import ApiKey, Attempt, Delivery, DeliveryState, Interface, Lane, Lead, User, Webhook, WebhookState
from webapp.services.interfaces import interfaces

DELIVERED = DeliveryState.DELIVERED


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine needs more than 20 ms for an answer. Where a slot is to go on, the test says so."""
    monkeypatch.setattr(serving, "PATIENCE", 5.0)


@pytest.fixture
def slots(app: Flask) -> Iterator[Slots]:
    """A worker's: what a round hands over goes on there."""
    app.extensions["leadhook_slots"] = slots = Slots(16)
    yield slots
    del app.extensions["leadhook_slots"]
    assert slots.drained(within=30)


@pytest.fixture
def kept(owner: User, receiver: Receiver) -> list[Interface]:
    """Ten interfaces, whose webhooks have a kept connection each, because each was sent a lead."""
    with transaction():
        made = [interfaces.create(owner.account_id, f"Number {number}") for number in range(10)]
    for interface in made:
        point_at(interface, f"{receiver.url}/{interface.public_id}")
        met(interface, receiver)
    queues.redis.flushall()
    return made


@pytest.fixture
def alone(interface: Interface, receiver: Receiver) -> Interface:
    """An interface whose webhook has a kept connection."""
    point_at(interface, receiver.url)
    met(interface, receiver)
    queues.redis.flushall()
    return interface


def met(interface: Interface, receiver: Receiver) -> None:
    """The webhook was sent a lead. Its connection is kept for as long as a slow machine takes for a test."""
    sender._idle._idle_seconds = sender._idle._age_seconds = 600
    submit(interface)
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    receiver.clear()


def lane_of(interface: Interface) -> Lane:
    db.session.rollback()
    lane = db.session.get_one(Lane, interface.webhook.id)
    db.session.rollback()
    return lane


def is_free(interface: Interface) -> bool:
    db.session.rollback()
    found = db.session.scalars(select(Lane.token).where(Lane.webhook_id == interface.webhook.id)).one()
    db.session.rollback()
    return found is None


def states_of(leads: list[Lead]) -> list[str]:
    return [delivery_of(lead).state for lead in leads]


def test_leads_of_ten_webhooks_are_sent_and_recorded_by_one_job(kept: list[Interface], receiver: Receiver) -> None:
    leads = [submit(interface) for interface in kept]
    assert len(queues.get("fast").get_job_ids()) == 1
    assert sorted(rung()) == sorted(interface.webhook.id for interface in kept)
    serve()
    assert states_of(leads) == [DELIVERED] * 10
    paths = {request.path.rpartition("/")[2] for request in receiver.requests}
    assert paths == {interface.public_id for interface in kept}
    assert all(is_free(interface) for interface in kept)
    assert (rung(), drains()) == ([], [])


def test_it_writes_the_same_rows_as_a_drain(kept: list[Interface], receiver: Receiver) -> None:
    """All columns, but for ids and times."""
    receiver.answer(status=201, body=b"thanks \xe2\x82\xac", headers=[("x-one", "1"), ("x-two", "2")])
    served, drained = kept[:2]
    for interface in (served, drained):
        sign(interface, interface.name)
        submit(interface), submit(interface)
    with transaction():  # so that both clear what a failure left, and neither stores the use of its token
        values = {"slow_since": None, "failures": 3, "failing_since": now_sql() - 60, "unended_since": now_sql()}
        db.session.execute(update(Lane).values(values))
    webhook_id = drained.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    submit(served), submit(drained)
    lanes.drain(webhook_id)
    serve()
    assert rows_of(served, 3) == rows_of(drained, 3)


def rows_of(interface: Interface, newest: int) -> list[dict[str, Any]]:
    own = {"id", "public_id", "message_id", "lead_id", "delivery_id", "webhook_id", "interface_id", "account_id", "url"}
    times = {"created_at", "started_at", "timestamp", "duration_ms", "last_duration_ms", "last_at", "due_at"}
    own |= times | {"payload", "signed_with_id", "succeeded_at"}
    webhook_id = interface.webhook.id
    deliveries = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc()).limit(newest)
    rows: list[Any] = [db.session.get_one(Lane, webhook_id)]
    for delivery in db.session.scalars(deliveries).all():
        rows += [delivery, *delivery.attempts]
    found = [
        {column.key: getattr(row, column.key) for column in type(row).__table__.columns if column.key not in own}
        for row in rows
    ]
    assert all(attempt.signed_with_id for attempt in rows if isinstance(attempt, Attempt))
    db.session.rollback()
    return found


def test_leads_of_one_webhook_arrive_one_at_a_time_in_their_order(alone: Interface, receiver: Receiver) -> None:
    busy, most = 0, 0

    def answer(line: Line) -> bool:
        nonlocal busy, most
        busy, most = busy + 1, max(most, busy + 1)
        line.over.wait(0.001)
        busy -= 1
        return answering(200)(line)

    receiver.behave(answer)
    leads = [submit(alone) for _ in range(8)]
    serve()
    assert states_of(leads) == [DELIVERED] * 8
    messages = [delivery_of(lead).message_id for lead in leads]
    assert [request.headers["webhook-id"] for request in receiver.requests] == messages
    assert most == 1


def test_a_first_contact_is_made_by_a_slot(interface: Interface, receiver: Receiver, slots: Slots) -> None:
    point_at(interface, receiver.url)
    lead = submit(interface)
    serve()
    assert slots.drained(within=30)
    assert states_of([lead]) == [DELIVERED]
    assert drains() == []


def test_a_system_without_threads_sends_nothing_twice(
    owner: User, receiver: Receiver, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a round hands over waits for a thread that gets free. Once it was handed over again, and the round ended."""
    with transaction():
        made = [interfaces.create(owner.account_id, f"Number {number}") for number in range(4)]
    go_on = threading.Event()
    slots.begin(go_on.wait)  # type: ignore[arg-type]  # the only thread
    monkeypatch.setattr(ThreadPoolExecutor, "_adjust_thread_count", refused)
    for interface in made:
        point_at(interface, f"{receiver.url}/{interface.public_id}")
    leads = [submit(interface) for interface in made]
    serve()
    go_on.set()
    assert slots.drained(within=30)
    assert states_of(leads) == [DELIVERED] * 4
    assert all(is_free(interface) for interface in made)
    assert len(receiver.requests) == 4


def test_one_receiver_that_hangs_delays_none_of_the_others(
    kept: list[Interface], receiver: Receiver, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "WAITS", 0.01)
    monkeypatch.setattr(serving, "PATIENCE", 0.02)
    go_on = threading.Event()

    def answer(line: Line) -> bool:
        go_on.wait(30)
        return answering(200)(line)

    with Receiver() as hung:
        point_at(kept[0], hung.url)
        met(kept[0], hung)
        hung.behave(answer)
        queues.redis.flushall()
        leads = [submit(interface) for interface in kept]
        db.session.rollback()
        began_at = time.monotonic()
        serving.serve()
        lasted = time.monotonic() - began_at
        try:
            assert states_of(leads) == [DeliveryState.PENDING] + [DELIVERED] * 9
            assert not is_free(kept[0])
            assert lasted < 0.1 + 0.2, lasted  # a hundredth of what it hangs
        finally:
            go_on.set()
        assert slots.drained(within=30)
    assert states_of(leads) == [DELIVERED] * 10
    assert is_free(kept[0])
    assert len(receiver.requests) == 9


def test_a_lead_that_comes_while_its_lane_is_with_a_slot_is_sent_by_that(
    alone: Interface, receiver: Receiver, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.02)
    go_on = threading.Event()

    def answer(line: Line) -> bool:
        go_on.wait(30)
        return answering(200)(line)

    receiver.behave(answer)
    first = submit(alone)
    serve()
    second = submit(alone)
    serve()
    assert rung() == []
    go_on.set()
    assert slots.drained(within=30)
    assert states_of([first, second]) == [DELIVERED] * 2
    assert len(receiver.requests) == 2


def test_quick_answers_of_a_long_batch_do_not_hold_the_round(
    alone: Interface, receiver: Receiver, recorded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each within PATIENCE, all together not: the rest is the next round's."""
    monkeypatch.setattr(serving, "PATIENCE", 1.5)
    receiver.answer(delay=0.8)
    leads = [submit(alone) for _ in range(3)]
    serve()
    assert states_of(leads) == [DELIVERED] * 3
    assert recorded == [2, 1]
    messages = [delivery_of(lead).message_id for lead in leads]
    assert [request.headers["webhook-id"] for request in receiver.requests] == messages


def test_a_full_batch_is_a_drain_for_any_worker(alone: Interface, receiver: Receiver) -> None:
    for _ in range(20):
        submit(alone)
    serve()
    assert receiver.requests == []
    assert [job.partition("-")[0] for job in drains()] == [str(alone.webhook.id)]
    assert is_free(alone)


def test_a_slow_lane_goes_to_its_own_queue(alone: Interface, receiver: Receiver) -> None:
    with transaction():
        db.session.execute(update(Lane).values(slow_since=now_sql()))
    submit(alone)
    serve()
    assert receiver.requests == []
    assert (len(drains()), len(drains(SLOW))) == (0, 1)
    assert is_free(alone)


@pytest.mark.parametrize("settings", [{"rate": 5}, {"parallel_requests": 3, "automatic_parallel": False}])
def test_settings_that_a_round_does_not_know_are_kept_by_a_slot(
    alone: Interface, receiver: Receiver, slots: Slots, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[object] = []
    monkeypatch.setattr("webapp.delivery.sending.Sending.begin", lambda self: began.append(self))
    point_at(alone, receiver.url, **settings)
    lead = submit(alone)
    serve()
    assert slots.drained(within=30)
    assert (states_of([lead]), began) == ([DELIVERED], [])


def test_a_lane_whose_holder_died_is_drained_carefully(alone: Interface, receiver: Receiver, slots: Slots) -> None:
    with transaction():
        db.session.execute(update(Lane).values(token="dead", lease_until=now_sql() - 1))
    leads = [submit(alone), submit(alone)]
    for _ in range(2):  # the slot may ring after the first of them
        serve()
        assert slots.drained(within=30)
    assert states_of(leads) == [DELIVERED] * 2
    assert not lane_of(alone).abandoned


def test_while_no_slot_is_free_a_lane_that_needs_one_gets_a_job_and_the_others_are_sent(
    kept: list[Interface], receiver: Receiver, app: Flask
) -> None:
    app.extensions["leadhook_slots"] = slots = Slots(1)
    over = threading.Event()
    slots.add(over.wait)  # type: ignore[arg-type]
    with transaction():
        db.session.execute(update(Lane).where(Lane.webhook_id == kept[0].webhook.id).values(abandoned=True))
    leads = [submit(interface) for interface in kept[:3]]
    serve()
    over.set()
    assert states_of(leads) == [DeliveryState.PENDING, DELIVERED, DELIVERED]
    assert [job.partition("-")[0] for job in drains()] == [str(kept[0].webhook.id)]
    assert is_free(kept[0])
    del app.extensions["leadhook_slots"]


# What comes in between -----------------------------------------------------------------------------------------------


def test_a_lane_that_a_drain_holds_is_left_to_it(alone: Interface, receiver: Receiver) -> None:
    lead = submit(alone)
    with transaction():
        db.session.execute(update(Lane).values(token="another", lease_until=now_sql() + 20))
    serve()
    assert (receiver.requests, rung(), drains()) == ([], [], [])
    assert states_of([lead]) == [DeliveryState.PENDING]
    assert lane_of(alone).token == "another"


def pause() -> None:
    db.session.execute(update(Webhook).values(state=WebhookState.PAUSED))


def archive() -> None:
    db.session.execute(update(Webhook).values(state=WebhookState.ARCHIVED))


@pytest.mark.parametrize("change", [pause, archive])
def test_nothing_is_sent_for_a_webhook_that_was_paused_or_deleted_after_the_ring(
    alone: Interface, receiver: Receiver, change: Callable[[], None]
) -> None:
    submit(alone)
    with transaction():
        change()
    serve()
    assert (receiver.requests, drains()) == ([], [])
    assert is_free(alone)


def test_nothing_is_sent_unsigned_once_the_token_is_revoked(alone: Interface, receiver: Receiver, slots: Slots) -> None:
    sign(alone)
    first = submit(alone)
    serve()
    assert slots.drained(within=30)  # the first use of a token is recorded by a slot
    with transaction():
        db.session.execute(update(ApiKey).values(revoked_at=delivery_of(first).last_at))
    second = submit(alone)
    serve()
    assert slots.drained(within=30)
    assert states_of([first, second]) == [DELIVERED, DeliveryState.ON_HOLD]
    assert len(receiver.requests) == 1


def test_a_410_pauses_the_webhook_and_holds_the_others(alone: Interface, receiver: Receiver, slots: Slots) -> None:
    receiver.answer(status=410)
    leads = [submit(alone), submit(alone)]
    serve()
    assert slots.drained(within=30)
    db.session.rollback()
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.PAUSED
    assert states_of(leads) == [DeliveryState.FAILED, DeliveryState.ON_HOLD]
    assert len(receiver.requests) == 1


def test_an_ask_for_a_rest_begins_one(alone: Interface, receiver: Receiver, slots: Slots) -> None:
    receiver.answer(status=429, headers=[("retry-after", "30")])
    leads = [submit(alone), submit(alone)]
    serve()
    assert slots.drained(within=30)
    assert lane_of(alone).tries_first
    assert [delivery_of(lead).tries for lead in leads] == [1, 0]
    assert len(receiver.requests) == 1


def test_a_failure_is_tried_again_later_and_the_next_lead_is_sent(
    alone: Interface, receiver: Receiver, slots: Slots
) -> None:
    receiver.queue(answering(500))
    leads = [submit(alone), submit(alone)]
    serve()
    assert slots.drained(within=30)
    assert [(delivery_of(lead).status, delivery_of(lead).last_code) for lead in leads] == [
        ("Retrying", 500),
        ("Delivered", 200),
    ]


def test_a_kept_connection_that_has_ended_costs_no_try(alone: Interface, receiver: Receiver, slots: Slots) -> None:
    receiver.drop_connections()
    lead = submit(alone)
    serve()
    assert slots.drained(within=30)
    assert [(one.code, one.error) for one in delivery_of(lead).attempts] == [(200, None)]


def during_a_send(receiver: Receiver, happens: Callable[[], object]) -> Behaviour:
    def answer(line: Line) -> bool:
        happens()
        return answering(200)(line)

    receiver.behave(answer)
    return answer


class Silent:
    """A webhook whose leads ring nothing, and one that comes while the first request is under way."""

    def __init__(
        self,
        app: Flask,
        interface: Interface,
        receiver: Receiver,
        monkeypatch: pytest.MonkeyPatch,
        first_answer: int = 200,
    ) -> None:
        monkeypatch.setattr(rings.Bell, "ring", lambda *_: None)
        self.first_answer = first_answer
        self.app, self.interface_id, self.webhook_id = app, interface.id, interface.webhook.id
        self.receiver = receiver
        receiver.behave(self.answer)
        submit(interface)
        db.session.rollback()
        ring_lanes([self.webhook_id])

    def answer(self, line: Line) -> bool:
        if len(self.receiver.requests) == 1:
            with self.app.app_context():
                submit(db.session.get_one(Interface, self.interface_id))
            return answering(self.first_answer)(line)
        return answering(200)(line)

    def states(self) -> list[str]:
        db.session.rollback()
        of_webhook = select(Delivery.state).where(Delivery.webhook_id == self.webhook_id)
        found = list(db.session.scalars(of_webhook.order_by(Delivery.id.desc()).limit(2)))
        db.session.rollback()
        return [str(state) for state in reversed(found)]


def test_what_is_due_again_after_a_round_is_the_next_ones_without_a_ring(
    app: Flask, alone: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Silent(app, alone, receiver, monkeypatch)
    monkeypatch.setattr(rings, "ring_lanes", lambda _: pytest.fail("it rang"))
    serve()
    assert silent.states() == [DELIVERED] * 2


def test_what_is_due_again_after_the_last_round_is_rung(
    app: Flask, alone: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Silent(app, alone, receiver, monkeypatch)
    queues.redis.delete("rq:queue:fast")
    serve(stopping=lambda: bool(receiver.requests))  # so that one round is the last
    assert silent.states() == [DELIVERED, DeliveryState.PENDING]
    assert rung() == [silent.webhook_id]
    assert len(queues.get("fast").get_job_ids()) == 1


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many leads of each lane rounds have recorded, in order."""
    found: list[int] = []
    record = several.record_delivered

    def noted(token: str, batches: Any) -> set[int]:
        found.extend(len(sent) for _, sent in batches)
        return record(token, batches)

    monkeypatch.setattr(several, "record_delivered", noted)
    return found


@pytest.mark.parametrize("way", ["a slot", "a job"])
def test_a_lane_comes_back_to_the_rounds_once_its_receiver_answers_quickly(
    app: Flask,
    interface: Interface,
    receiver: Receiver,
    slots: Slots,
    recorded: list[int],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setattr(lanes, "QUICK", 60_000)
    point_at(interface, receiver.url)
    silent = Silent(app, interface, receiver, monkeypatch)
    if way == "a job":
        queues.redis.delete(rung_key)
        jobs.drain(silent.webhook_id)
        assert silent.states() == [DELIVERED, DeliveryState.PENDING]
    for _ in range(2):  # the slot may ring after the first of them
        serve()
        assert slots.drained(within=30)
    assert silent.states() == [DELIVERED] * 2
    assert recorded == [1]
    assert drains() == []


@pytest.mark.parametrize("why", ["it takes long", "it refuses", "it has a rate"])
def test_a_lane_stays_with_its_slot_while_rounds_are_not_for_it(
    app: Flask,
    interface: Interface,
    receiver: Receiver,
    slots: Slots,
    recorded: list[int],
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    monkeypatch.setattr(lanes, "QUICK", -1 if why == "it takes long" else 60_000)
    point_at(interface, receiver.url, **({"rate": 50} if why == "it has a rate" else {}))
    Silent(app, interface, receiver, monkeypatch, first_answer=500 if why == "it refuses" else 200)
    serve()
    assert slots.drained(within=30)
    assert (rung(), len(receiver.requests), recorded) == ([], 2, [])


def test_a_lane_that_was_lost_meanwhile_keeps_its_holder_and_the_attempt_is_stored(
    app: Flask, alone: Interface, receiver: Receiver, slots: Slots
) -> None:
    def lose() -> None:
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(update(Lane).values(token="another", lease_until=now_sql() + 20))

    during_a_send(receiver, lose)
    lead = submit(alone)
    serve()
    assert slots.drained(within=30)
    assert lane_of(alone).token == "another"
    delivery = delivery_of(lead)
    assert (delivery.state, len(delivery.attempts)) == (DeliveryState.PENDING, 1)


@pytest.mark.parametrize("written", [False, True], ids=["nothing", "all"])
def test_a_record_that_fails_is_made_for_each_lane_alone(
    kept: list[Interface], receiver: Receiver, slots: Slots, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Also if all was written, and only the confirmation was lost."""
    record = several.record_delivered

    def failing(*given: Any) -> set[int]:
        if written:
            record(*given)
        raise OperationalError("UPDATE lanes", {}, Exception("deadlock detected"))

    monkeypatch.setattr(several, "record_delivered", failing)
    leads = [submit(interface) for interface in kept]
    serve()
    assert slots.drained(within=30)
    found = [delivery_of(lead) for lead in leads]
    assert [(one.state, one.tries, len(one.attempts)) for one in found] == [(DELIVERED, 1, 1)] * 10
    assert all(is_free(interface) for interface in kept)
    assert len(receiver.requests) == 10


@pytest.mark.parametrize("step", ["_sort", "_begin", "_look"])
def test_an_error_of_our_own_code_locks_no_lane_and_sends_nothing_twice(
    kept: list[Interface], receiver: Receiver, slots: Slots, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It comes at the fourth lane. What the round had not ended goes on in slots or, without room, in jobs."""
    real, calls = getattr(serving.Round, step), 0

    def failing(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise ValueError("a mistake")
        real(*given)

    monkeypatch.setattr(serving.Round, step, failing)
    leads = [submit(interface) for interface in kept]
    serve()
    assert slots.drained(within=30)
    assert calls >= 4
    for job in drains():
        lanes.drain(int(job.partition("-")[0]))
    found = [delivery_of(lead) for lead in leads]
    assert [(one.state, one.tries, len(one.attempts)) for one in found] == [(DELIVERED, 1, 1)] * 10
    assert all(is_free(interface) for interface in kept)
    assert len(receiver.requests) == 10


@pytest.mark.parametrize("step", ["read", "free"])
def test_lanes_are_let_go_if_they_or_those_that_others_hold_cannot_be_read(
    kept: list[Interface], receiver: Receiver, slots: Slots, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def failing(*given: Any) -> Any:
        raise OperationalError("SELECT", {}, Exception("the server is gone"))

    monkeypatch.setattr(several, step, failing)
    submit(kept[0]), submit(kept[1]), submit(kept[2])
    held = kept[2].webhook.id
    db.session.rollback()
    assert lanes._take(held)
    with pytest.raises(OperationalError):
        serve()
    assert is_free(kept[0])
    assert is_free(kept[1])
    assert not queues.redis.exists(serving_key)
    assert sorted(rung()) == sorted(one.webhook.id for one in kept[:2])


def test_a_batch_that_was_read_too_late_is_not_sent(
    alone: Interface, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the send could outlast the lease."""
    submit(alone)
    take = several.take

    def late(*given: Any) -> Any:
        holds = take(*given)
        for hold in holds:
            hold.ends_at -= ledger.LEASE_MARGIN + 1
        return holds

    monkeypatch.setattr(several, "take", late)
    monkeypatch.setattr(serving, "SERVES", 0.3)  # rounds, one after another, all of them too late
    monkeypatch.setattr(rings, "ring_lanes", lambda webhook_ids: None)
    serve()
    assert receiver.requests == []
    assert is_free(alone)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="on SQLite no other transaction begins before the commit")
@pytest.mark.parametrize("at", ["take", "record"])
def test_a_transaction_that_locks_one_lane_holds_up_that_one_only(
    app: Flask, kept: list[Interface], receiver: Receiver, slots: Slots, at: str
) -> None:
    locked_id = kept[0].webhook.id
    locked, over = threading.Event(), threading.Event()

    def lock() -> None:
        with app.app_context(), db.engine.begin() as connection:
            states.lock_lane(connection, locked_id)
            locked.set()
            over.wait(30)

    locking, once = threading.Thread(target=lock), threading.Lock()

    def begin() -> None:
        if once.acquire(blocking=False):
            locking.start()
        locked.wait(30)

    leads = [submit(interface) for interface in kept]
    db.session.rollback()
    if at == "take":
        begin()
    else:
        during_a_send(receiver, begin)
    serve()
    wait_until(lambda: states_of(leads[1:]) == [DELIVERED] * 9, "the others to be delivered")
    assert states_of(leads[:1]) == [DeliveryState.PENDING]
    over.set()
    locking.join(30)
    assert slots.drained(within=30)
    for _ in drains():
        lanes.drain(locked_id)
    assert states_of(leads) == [DELIVERED] * 10
    assert len(receiver.requests) == 10


# Redis ---------------------------------------------------------------------------------------------------------------


def test_many_rings_queue_one_job_and_while_it_serves_none(app: Flask) -> None:
    for number in range(5):
        ring_lanes([number, number + 1])
    assert len(queues.get("fast").get_job_ids()) == 1
    assert rung() == [0, 1, 2, 3, 4, 5]
    queues.redis.flushall()
    queues.redis.set(serving_key, "a job")
    ring_lanes([7])
    assert queues.get("fast").get_job_ids() == []


def test_lanes_are_served_in_the_order_of_their_rings(app: Flask) -> None:
    for number in (3, 1, 2, 3):
        ring_lanes([number])
    assert rung() == [3, 1, 2]


def test_lanes_that_are_always_due_again_do_not_keep_others_out(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may last long, so each round has one more, however many are due again."""
    served, number = set[int](), serving.MOST + 20

    class Again:
        def __init__(self, rung: list[int], stopping: Callable[[], bool]) -> None:
            self.due = list(rung)

        def run(self) -> None:
            served.update(self.due)

    monkeypatch.setattr(serving, "Round", Again)
    ring_lanes(range(number))
    serve(lambda: len(served) == number)
    assert served == set(range(number))
    assert sorted(rung()) == sorted(served)


def test_a_second_job_ends_at_once_and_leaves_the_lanes_to_the_first(alone: Interface, receiver: Receiver) -> None:
    submit(alone)
    queues.redis.set(serving_key, "another job", px=30_000)
    serve()
    assert receiver.requests == []
    assert queues.redis.get(serving_key) == b"another job"
    assert len(rung()) == 1


def test_a_job_that_another_one_took_for_dead_ends_after_its_round_and_leaves_the_others_key(
    alone: Interface, receiver: Receiver
) -> None:
    redis = queues.redis
    during_a_send(receiver, lambda: redis.set(serving_key, "another job", px=30_000))
    lead = submit(alone)
    serve()
    assert states_of([lead]) == [DELIVERED]
    assert queues.redis.get(serving_key) == b"another job"


def test_two_jobs_at_once_send_each_lead_once(app: Flask, kept: list[Interface], receiver: Receiver) -> None:
    leads = [submit(interface) for interface in kept for _ in range(3)]
    rung_again = [one.webhook.id for one in kept]
    db.session.rollback()

    def run() -> None:
        with app.app_context():
            serving.Round(rung_again, lambda: False).run()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    serve()
    assert states_of(leads) == [DELIVERED] * 30
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 30


def test_a_ring_that_comes_at_the_end_is_found(alone: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender saw the key, so it queued no job."""
    get = queues.redis.get

    def ring_before(*given: Any) -> Any:
        monkeypatch.undo()
        ring_lanes([alone.webhook.id])
        return get(*given)

    monkeypatch.setattr(queues.redis, "get", ring_before)
    serve()
    assert not queues.redis.exists(serving_key)
    assert len(rung()) == len(queues.get("fast").get_job_ids()) == 1


def test_a_process_that_stops_sends_nothing_new_and_rings_for_another_one(alone: Interface, receiver: Receiver) -> None:
    submit(alone)
    queues.redis.delete("rq:queue:fast")
    serve(stopping=lambda: True)
    assert receiver.requests == []
    assert not queues.redis.exists(serving_key)
    assert len(rung()) == len(queues.get("fast").get_job_ids()) == 1


def test_redis_that_loses_everything_in_a_round_loses_no_lead(alone: Interface, receiver: Receiver) -> None:
    during_a_send(receiver, queues.redis.flushall)
    first, second = submit(alone), submit(alone)
    serve()
    assert states_of([first, second]) == [DELIVERED] * 2
    third = submit(alone)
    assert len(queues.get("fast").get_job_ids()) == 1
    serve()
    assert states_of([third]) == [DELIVERED]


@pytest.mark.parametrize("when", ["before", "in a round"])
def test_redis_that_goes_away_loses_no_lead(
    alone: Interface, receiver: Receiver, valkey: Valkey, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "REST", 0.0)
    lead, webhook_id = submit(alone), alone.webhook.id
    if when == "before":
        valkey.stop()
    else:
        during_a_send(receiver, valkey.stop)
    db.session.rollback()
    with pytest.raises(RedisError):
        serving.serve()
    valkey.start()
    db.session.rollback()
    Sweep().once()
    for _ in drains():
        lanes.drain(webhook_id)
    assert states_of([lead]) == [DELIVERED]
    assert len(receiver.requests) == 1


def test_the_sweep_has_rung_lanes_served_whose_server_was_killed(alone: Interface, receiver: Receiver) -> None:
    """Their ring set no job, because the key was there."""
    queues.redis.set(serving_key, "killed")
    lead = submit(alone)
    db.session.rollback()
    sweeper = Sweep()
    sweeper.once()
    assert queues.get("fast").get_job_ids() == []  # it may serve: the key ends within a second if it does not
    queues.redis.delete(serving_key)
    sweeper.once()
    sweeper.once()
    assert [job.partition("-")[0] for job in queues.get("fast").get_job_ids()] == ["serve"]
    serve()
    assert states_of([lead]) == [DELIVERED]


def test_the_sweep_rings_a_lane_that_a_killed_server_had_taken_from_the_set(alone: Interface) -> None:
    submit(alone)
    queues.redis.delete(rung_key, "rq:queue:fast")
    db.session.rollback()
    Sweep().once()
    assert [job.partition("-")[0] for job in drains()] == [str(alone.webhook.id)]


def test_the_key_ends_by_itself(alone: Interface, receiver: Receiver) -> None:
    left, redis = list[Any](), queues.redis
    during_a_send(receiver, lambda: left.append(redis.pttl(serving_key)))
    submit(alone)
    serve()
    assert 0 < left[0] <= serving.ALIVE * 1000


def test_a_worker_that_ends_waits_for_lanes_that_a_round_handed_over(
    alone: Interface, receiver: Receiver, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.02)
    app.extensions["leadhook_slots"] = slots = Slots(4)
    receiver.behave(hanging())
    submit(alone)
    db.session.rollback()

    def run() -> None:
        with app.app_context():
            serve()

    slots.begin(run)
    receiver.wait_for(1)
    assert not slots.drained(within=0.3)
    receiver.answer()  # to the second request of the same try, too
    receiver.drop_connections()
    assert slots.drained(within=30)
    del app.extensions["leadhook_slots"]
