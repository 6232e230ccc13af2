"""*Automatic*: while one lead hangs, the others of its webhook go on, up to eight at a time."""

import itertools
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests.conftest import AppMaker
from tests.support.factories import ADA, captured, point_at, sign, submit
from tests.support.lanes import taken
from tests.support.receiver import Line, Receiver, answering, hanging
from tests.support.waiting import wait_until
from webapp.clock import now_sql
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes, ledger, watching, widening
from webapp.delivery.pace import MOST, Pace
from webapp.delivery.sending import Sending
from webapp.delivery.slots import waiting_since
from webapp.delivery.watching import Watcher
from webapp.extensions import db
from webapp.models import Attempt, Delivery, Interface, Lane, User, Webhook
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import webhooks
from webapp.services.webhooks.shapes import UNRENDERED
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome

DEADLINE = 1.0


@pytest.fixture
def app(make_app: AppMaker, request: pytest.FixtureRequest) -> Iterator[Flask]:
    """Its deadline is DEADLINE, or the parameter."""
    app = make_app(WEBHOOK_DEADLINE=f"{getattr(request, 'param', DEADLINE):g}", WEBHOOK_CONNECT_TIMEOUT="0.5")
    with app.app_context():
        yield app


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    """A new webhook, so it is Automatic."""
    point_at(interface, receiver.url)
    return interface


@pytest.fixture
def watched(app: Flask) -> Iterator[None]:
    """This process watches its sends, as a worker does."""
    watcher = Watcher(app)
    watcher.start()
    yield
    watcher.stop()


def leads(interface: Interface, number: int) -> None:
    with transaction():
        for _ in range(number):
            captured(interface.public_id, ADA)


def drain(interface: Interface) -> float:
    """Drains the lane; how many seconds that took."""
    webhook_id, began = interface.webhook.id, time.monotonic()
    db.session.rollback()
    lanes.drain(webhook_id)
    return time.monotonic() - began


def begin_to_drain(app: Flask, interface: Interface) -> threading.Thread:
    webhook_id = interface.webhook.id
    db.session.rollback()

    def drained() -> None:
        with app.app_context():
            lanes.drain(webhook_id)

    thread = threading.Thread(target=drained)
    thread.start()
    return thread


def states() -> dict[str, int]:
    with read_autocommit() as connection:
        counted = select(Delivery.state, func.count()).group_by(Delivery.state)
        return {str(state): number for state, number in connection.execute(counted)}


def tries() -> dict[int, int]:
    """How often each delivery was tried, by the attempts on record."""
    with read_autocommit() as connection:
        counted = select(Attempt.delivery_id, func.count()).group_by(Attempt.delivery_id)
        return dict(row for row in connection.execute(counted))


def is_let_go() -> bool:
    with read_autocommit() as connection:
        return connection.execute(select(Lane.token, Lane.lease_until)).one() == (None, 0.0)


def most_at_once(receiver: Receiver, seconds: float) -> int:
    """How many requests were under way at the same time, if each took so long."""
    starts = [request.at for request in receiver.requests]
    return max(sum(start <= at < start + seconds for start in starts) for at in starts)


def test_those_behind_a_lead_that_hangs_do_not_wait(pointed: Interface, receiver: Receiver, watched: None) -> None:
    room = widening.room._value
    receiver.queue(hanging())
    leads(pointed, 20)
    drain(pointed)
    first, *others = [request.at for request in receiver.requests]
    assert len(others) == 19
    assert max(others) - first < DEADLINE - 0.2
    assert states() == {"delivered": 19, "pending": 1}
    assert is_let_go()
    wait_until(lambda: widening.room._value == room, "the threads to end")


@pytest.mark.once
def test_at_1_they_wait_and_the_order_is_kept(pointed: Interface, receiver: Receiver, watched: None) -> None:
    point_at(pointed, receiver.url, automatic_parallel=False)
    receiver.queue(hanging())
    leads(pointed, 5)
    assert drain(pointed) >= DEADLINE
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("app", [3.0], indirect=True)  # so that those that answer do so in time on a busy machine
def test_four_that_hang_among_twenty_hold_up_none_of_the_others(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None
) -> None:
    receiver.queue(hanging(), answering(), hanging(), hanging(), answering(), hanging())
    leads(pointed, 20)
    drain(pointed)
    times = [request.at for request in receiver.requests]
    assert max(times) - min(times) < 2 * 3.0
    assert states() == {"delivered": 16, "pending": 4}


def test_leads_that_come_while_one_hangs_are_sent_at_once(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.delivery.watching.LOOKS_EVERY", 0.3)
    receiver.queue(hanging())
    leads(pointed, 1)
    drained = begin_to_drain(app, pointed)
    receiver.wait_for(1)
    leads(pointed, 3)
    receiver.wait_for(4, timeout=DEADLINE)
    hung, *others = receiver.requests
    assert max(request.at for request in others) - hung.at < DEADLINE
    wait_until(lambda: states() == {"delivered": 3, "pending": 1}, "them to be recorded while the first one hangs")
    drained.join(20)
    assert is_let_go()


@pytest.mark.parametrize("app", [60.0], indirect=True)
def test_newer_leads_of_lanes_that_hang_are_looked_for_in_one_question(
    app: Flask, owner: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of receivers may hang. Only the lanes with a newer lead are widened."""
    asked, ask, go_on = list[Sequence[int]](), watching.with_newer, threading.Event()

    def asking(webhook_ids: Sequence[int], known: Iterable[int]) -> Collection[int]:
        asked.append(webhook_ids)
        return ask(webhook_ids, known)

    def widening_it(watcher: Watcher, found: Any, widening: Any) -> None:
        widened.append(found.hold.webhook_id)
        widen(watcher, found, widening)

    def held(line: Line) -> bool:
        go_on.wait(30)
        return answering()(line)

    widened, widen = list[int](), Watcher._widen
    monkeypatch.setattr(Watcher, "_widen", widening_it)
    monkeypatch.setattr(watching, "with_newer", asking)
    monkeypatch.setattr(watching, "LOOKS_EVERY", 0.0)
    receiver.behave(held)
    with transaction():
        made = [interfaces.create(owner.account_id, f"Number {number}") for number in range(4)]
    for interface in made:
        point_at(interface, f"{receiver.url}/{interface.public_id}")
        leads(interface, 1)
    webhook_ids = [interface.webhook.id for interface in made]
    addresses = [interface.public_id for interface in made]
    drained = [begin_to_drain(app, interface) for interface in made]
    receiver.wait_for(4)
    leads(made[1], 1), leads(made[3], 1)
    wait_until(lambda: all(waiting_since(one.thread) for one in lanes.underway.copy().values()), "all to wait")
    db.session.rollback()
    Watcher(app)._look()
    assert [sorted(one) for one in asked] == [sorted(webhook_ids)]
    newer = receiver.wait_for(6)[4:]
    go_on.set()
    for thread in drained:
        thread.join(20)
    assert sorted(request.path.rpartition("/")[2] for request in newer) == sorted([addresses[1], addresses[3]])
    assert sorted(widened) == sorted([webhook_ids[1], webhook_ids[3]])
    assert states() == {"delivered": 6}


@pytest.mark.once
def test_a_receiver_that_takes_long_gets_up_to_eight_at_a_time(
    pointed: Interface, receiver: Receiver, watched: None
) -> None:
    receiver.answer(delay=0.4)
    leads(pointed, 30)
    assert drain(pointed) < 30 * 0.4 / 3
    assert 5 <= most_at_once(receiver, 0.4) <= MOST
    assert states() == {"delivered": 30}
    assert set(tries().values()) == {1}


@pytest.mark.once
def test_a_quick_receiver_gets_one_at_a_time_in_order(pointed: Interface, receiver: Receiver, watched: None) -> None:
    leads(pointed, 60)
    drain(pointed)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    with read_autocommit() as connection:
        assert ids == list(connection.scalars(select(Delivery.message_id).order_by(Delivery.id)))
    assert {request.connection for request in receiver.requests} == {1}


@pytest.mark.once
def test_a_receiver_that_is_down_gets_few_and_its_lane_ends(
    pointed: Interface, receiver: Receiver, watched: None
) -> None:
    receiver.behave(hanging())
    leads(pointed, 30)
    drain(pointed)
    assert 2 <= len(receiver.requests) <= MOST
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql() + 3600))
    receiver.clear()
    drain(pointed)
    assert len(receiver.requests) <= 2, "it is known to be slow"
    assert is_let_go()


@pytest.mark.parametrize("code", [429, 503])
def test_an_ask_for_a_rest_binds_it(pointed: Interface, receiver: Receiver, watched: None, code: int) -> None:
    receiver.queue(hanging(), answering(), answering(code, headers=[("Retry-After", "60")]))
    leads(pointed, 20)
    drain(pointed)
    assert len(receiver.requests) <= 5
    assert states()["pending"] >= 17
    with read_autocommit() as connection:
        assert connection.scalar(select(Lane.rests_until - now_sql())) == pytest.approx(60, abs=10)


@pytest.mark.once
def test_a_410_pauses_the_webhook_and_holds_the_others(pointed: Interface, receiver: Receiver, watched: None) -> None:
    receiver.queue(hanging(), answering(410))
    leads(pointed, 20)
    drain(pointed)
    assert len(receiver.requests) <= 4
    with read_autocommit() as connection:
        assert connection.scalar(select(Webhook.state)) == "paused"
    assert states()["held"] >= 16


def test_a_pause_by_hand_meanwhile_stops_it(app: Flask, pointed: Interface, receiver: Receiver, watched: None) -> None:
    receiver.queue(hanging())
    receiver.answer(delay=0.2)
    leads(pointed, 40)
    drained = begin_to_drain(app, pointed)
    receiver.wait_for(3)
    with transaction():
        webhooks.pause(db.session.get_one(Interface, pointed.id).webhook, "by hand")
    drained.join(20)
    assert len(receiver.requests) < 40
    found = states()  # the one that hung is pending until the next sweep
    assert (found["held"] + found["delivered"], found["pending"]) == (39, 1)


def test_sigterm_begins_nothing_new_and_records_what_is_under_way(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None
) -> None:
    receiver.queue(hanging())
    receiver.answer(delay=0.3)
    leads(pointed, 40)
    webhook_id, stopping = pointed.webhook.id, threading.Event()
    db.session.rollback()

    def drained() -> None:
        with app.app_context():
            lanes.drain(webhook_id, stopping.is_set)

    thread = threading.Thread(target=drained)
    thread.start()
    receiver.wait_for(6)
    stopping.set()
    asked = time.monotonic()
    thread.join(20)
    assert time.monotonic() - asked < DEADLINE + 2
    sent = len(receiver.requests)
    assert sent < 40
    assert sum(tries().values()) == sent
    assert is_let_go()


def test_settings_that_change_meanwhile_count_for_the_leads_that_are_read_then(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None
) -> None:
    receiver.queue(hanging())
    receiver.answer(delay=0.1)
    leads(pointed, 40)
    drained = begin_to_drain(app, pointed)
    receiver.wait_for(3)
    sign(pointed)
    db.session.rollback()
    drained.join(30)
    signed = ["webhook-signature" in request.headers for request in receiver.requests]
    assert (signed[0], signed[-1]) == (False, True)
    assert sum(tries().values()) == len(receiver.requests) == 40


def test_1_that_is_chosen_meanwhile_ends_it_and_the_others_follow_in_order(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None
) -> None:
    receiver.queue(hanging())
    receiver.answer(delay=0.3)
    leads(pointed, 40)
    drained = begin_to_drain(app, pointed)
    receiver.wait_for(5)
    point_at(pointed, receiver.url, automatic_parallel=False)
    db.session.rollback()
    drained.join(20)
    sent = len(receiver.requests)
    assert sent < 40
    assert is_let_go()
    receiver.answer()
    drain(pointed)
    wait_until(lambda: drain(pointed) and len(receiver.requests) == 40, "the others")
    ids = [request.headers["webhook-id"] for request in receiver.requests[sent:]]
    with read_autocommit() as connection:
        in_order = connection.scalars(select(Delivery.message_id).order_by(Delivery.id)).all()
    assert ids == [message_id for message_id in in_order if message_id in ids]
    assert set(tries().values()) == {1}


@pytest.mark.once
@pytest.mark.parametrize("app", [60.0], indirect=True)
def test_a_thread_that_takes_over_late_is_the_only_one(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a new thread may wait for the interpreter for longer than until the next look."""
    begun, looks = list[Any](), list[Any]()
    widen, look = Watcher._widen, Watcher._look

    def looked(*arguments: Any) -> None:
        looks.append(arguments)
        look(*arguments)

    def late(*arguments: Any) -> None:
        begun.append(arguments)
        before = len(looks)
        wait_until(lambda: len(looks) >= before + 3, "the next looks")
        widen(*arguments)

    def fail_after_the_others(line: Line) -> bool:
        receiver.wait_for(5)
        return answering(500)(line)

    monkeypatch.setattr(Watcher, "_look", looked)
    monkeypatch.setattr(Watcher, "_widen", late)
    room = widening.room._value
    receiver.queue(fail_after_the_others)
    leads(pointed, 5)
    drained = begin_to_drain(app, pointed)
    drained.join(20)
    assert not drained.is_alive()
    assert len(begun) == 1
    assert states() == {"delivered": 4, "pending": 1}
    assert is_let_go()
    wait_until(lambda: widening.room._value == room, "the threads to end")


@pytest.mark.once
def test_a_thread_that_is_too_late_leaves_the_next_batch_alone(
    pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch that it was for has ended meanwhile."""
    go_on, widen = threading.Event(), Watcher._widen

    def late(*arguments: Any) -> None:
        go_on.wait(10)
        widen(*arguments)

    def hang_and_go_on(line: Line) -> bool:
        go_on.set()
        return hanging()(line)

    monkeypatch.setattr(Watcher, "_widen", late)
    receiver.queue(hanging(), hang_and_go_on)
    leads(pointed, 2)
    drain(pointed)  # its send timed out before the thread began
    monkeypatch.setattr(Watcher, "_widen", widen)
    leads(pointed, 4)
    drain(pointed)
    assert states() == {"delivered": 4, "pending": 2}
    assert is_let_go()


def test_both_requests_of_a_try_are_on_record(pointed: Interface, receiver: Receiver, watched: None) -> None:
    """Kept connections end without an answer while a lead hangs: each request that left is an attempt."""
    numbers = itertools.count()

    def behave(line: Line) -> bool:
        line.over.wait(0.05)
        return next(numbers) % 4 != 3 and answering()(line)

    receiver.queue(hanging())
    receiver.behave(behave)
    leads(pointed, 40)
    drain(pointed)
    assert sum(tries().values()) == len(receiver.requests) > 40
    with read_autocommit() as connection:
        errors = dict(row for row in connection.execute(select(Attempt.error, func.count()).group_by(Attempt.error)))
        twice = select(Delivery.tries).where(Delivery.attempts.any(Attempt.error == ErrorKind.SENT_AGAIN))
        assert set(connection.scalars(twice)) == {1}
    assert errors[ErrorKind.SENT_AGAIN] > 1
    assert is_let_go()


@pytest.mark.once
@pytest.mark.parametrize("threads", [0, 2])
def test_a_system_without_threads_ends_it_and_loses_nothing(
    pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    start = ThreadPoolExecutor._adjust_thread_count

    def refused(pool: ThreadPoolExecutor) -> None:
        if pool._thread_name_prefix == "wide" and len(pool._threads) >= threads:
            raise RuntimeError("can't start new thread")
        start(pool)

    monkeypatch.setattr(ThreadPoolExecutor, "_adjust_thread_count", refused)
    room = widening.room._value
    receiver.queue(hanging())
    receiver.answer(delay=0.1)
    leads(pointed, 20)
    drain(pointed)
    assert is_let_go()
    wait_until(lambda: widening.room._value == room, "the threads to end")
    drain(pointed)
    wait_until(lambda: drain(pointed) and states() == {"delivered": 19, "pending": 1}, "the others")
    assert sum(tries().values()) == len(receiver.requests) == 20
    assert set(tries().values()) == {1}


@pytest.mark.once
def test_a_lead_that_hangs_before_one_without_a_payload_is_sent_once(
    pointed: Interface, receiver: Receiver, watched: None
) -> None:
    """A drain leaves out what could not be rendered, so the lead under way is not where it is in the batch."""
    receiver.queue(hanging())
    leads(pointed, 4)
    with transaction():
        second = select(Delivery.id).order_by(Delivery.id).offset(1).limit(1).scalar_subquery()
        db.session.execute(update(Delivery).where(Delivery.id == second).values(payload=UNRENDERED))
    drain(pointed)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 3
    assert set(tries().values()) == {1}
    assert is_let_go()


@pytest.mark.once
def test_a_widening_that_fails_at_its_beginning_does_not_keep_the_drain(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(widening, "ThreadPoolExecutor", failing)
    room = widening.room._value
    receiver.queue(hanging())
    leads(pointed, 2)
    drained = begin_to_drain(app, pointed)
    drained.join(20)
    assert not drained.is_alive()
    wait_until(lambda: widening.room._value == room, "the thread to end")


@pytest.mark.once
def test_its_turn_counts_from_the_beginning_of_the_drains_batch(pointed: Interface) -> None:
    """However late it takes over: a job that lasts too long counts as lost."""
    leads(pointed, 2)
    webhook_id = pointed.webhook.id
    db.session.rollback()
    hold, batch = taken(webhook_id)
    sending, now = Sending(batch, lambda: False), time.monotonic()
    for begun_at, is_over in ((now - widening.LONGEST, True), (now, False)):
        found = lanes.Underway(hold, sending, lambda: False, begun_at, threading.get_ident())
        assert widening.Widening(found)._is_closing() is is_over


@pytest.mark.once
def test_without_room_for_threads_a_lane_sends_one_at_a_time(
    pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("widening", "watching"):
        monkeypatch.setattr(f"webapp.delivery.{module}.room", threading.BoundedSemaphore(1))
    monkeypatch.setattr("webapp.delivery.watching.room", _NoRoom())
    receiver.queue(hanging())
    leads(pointed, 5)
    assert drain(pointed) >= DEADLINE
    assert len(receiver.requests) == 1


class _NoRoom:
    def acquire(self, blocking: bool = True) -> bool:
        return False


def test_a_lost_lane_is_left_to_its_new_holder(
    app: Flask, pointed: Interface, receiver: Receiver, watched: None
) -> None:
    """Its lease ran out, be it by a clock that jumped: what was sent is on record, and nothing newer is overwritten."""
    receiver.queue(hanging())
    receiver.answer(delay=0.2)
    leads(pointed, 40)
    drained = begin_to_drain(app, pointed)
    receiver.wait_for(3)
    with transaction():
        db.session.execute(update(Lane).values(token="another", lease_until=now_sql() + 60))
    drained.join(20)
    assert sum(tries().values()) == len(receiver.requests) < 40
    with read_autocommit() as connection:
        assert connection.scalar(select(Lane.token)) == "another"


@pytest.mark.once
def test_a_careful_drain_is_not_widened(pointed: Interface, receiver: Receiver, watched: None) -> None:
    receiver.queue(hanging())
    leads(pointed, 5)
    with transaction():
        db.session.execute(update(Lane).values(token="the dead", lease_until=now_sql() - 1))
    drain(pointed)
    assert len(receiver.requests) == 1


@pytest.mark.once
def test_no_more_than_a_batch_is_sent_and_not_recorded(
    pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, lock = 0, threading.Lock()

    def counting(line: Line) -> bool:
        nonlocal most
        with read_autocommit() as connection:
            recorded = connection.scalar(select(func.count()).select_from(Attempt)) or 0
        with lock:
            most = max(most, len(receiver.requests) - recorded)
        return answering()(line)

    receiver.queue(hanging())
    app = _current_app()

    def in_context(line: Line) -> bool:
        with app.app_context():
            return counting(line)

    receiver.behave(in_context)
    leads(pointed, 60)
    drain(pointed)
    assert 1 < most <= ledger.BATCH


def _current_app() -> Flask:
    from flask import current_app

    return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]


# The pace -------------------------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("webapp.delivery.pace.time", clock)
    return clock


def answer(code: int = 200, seconds: float = 0.1, error: ErrorKind | None = None) -> Outcome:
    return Outcome(code, "", False, (), error, round(seconds * 1000), None)


def grown(clock: Clock, pace: Pace, seconds: float = 5.0) -> Pace:
    for _ in range(int(seconds * 10)):
        clock.now += 0.1
        pace.grow(youngest=1.0)
    return pace


def test_the_pace_grows_to_eight_and_not_at_once(clock: Clock) -> None:
    pace = Pace(is_slow=False)
    pace.grow(youngest=1.0)
    assert pace.width == 2
    assert grown(clock, pace).width == MOST


def test_the_pace_of_a_slow_lane_grows_once_there_is_an_answer(clock: Clock) -> None:
    pace = Pace(is_slow=True)
    assert grown(clock, pace).width == 2
    pace.learn(answer(NO_ANSWER, error=ErrorKind.RESET))
    assert grown(clock, pace).width == 2
    pace.learn(answer(500))
    assert grown(clock, pace).width == MOST


@pytest.mark.parametrize("code", [429, 503])
def test_the_pace_is_halved_by_a_429_or_503_and_calm_for_a_while(clock: Clock, code: int) -> None:
    pace = grown(clock, Pace(is_slow=False))
    pace.learn(answer(code))
    assert pace.width == 4
    assert grown(clock, pace, 4).width == 4
    assert grown(clock, pace, 9).width == MOST
    for _ in range(9):
        pace.learn(answer(code))
    assert pace.width == 1


def test_the_pace_shrinks_while_answers_get_slower_and_keeps_two(clock: Clock) -> None:
    pace = grown(clock, Pace(is_slow=False))
    pace.learn(answer(seconds=0.1))
    widths = []
    for _ in range(60):
        pace.learn(answer(seconds=0.9))
        widths.append(pace.width)
    assert widths == sorted(widths, reverse=True)
    assert (widths[0], widths[-1]) == (MOST - 1, 2)


def test_the_pace_does_not_shrink_by_answers_that_vary_a_little(clock: Clock) -> None:
    pace = grown(clock, Pace(is_slow=False))
    for seconds in (0.1, 0.15, 0.12, 0.19, 0.11) * 10:
        pace.learn(answer(seconds=seconds))
    assert pace.width == MOST


def test_the_pace_does_not_grow_while_the_newest_request_has_just_begun(clock: Clock) -> None:
    pace = Pace(is_slow=False)
    pace.learn(answer(seconds=0.004))
    clock.now += 9
    pace.grow(youngest=0.01)
    assert pace.width == 2


@pytest.mark.once
def test_one_lead_to_a_slow_receiver_widens_nothing(
    pointed: Interface, receiver: Receiver, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.delivery.watching.LOOKS_EVERY", 0.2)
    receiver.answer(delay=0.7)
    room = widening.room._value
    free: list[int] = []
    watch = threading.Timer(0.6, lambda: free.append(widening.room._value))
    watch.start()
    submit(pointed)
    drain(pointed)
    watch.join()
    assert states() == {"delivered": 1}
    assert free == [room], "no thread was taken for it"
