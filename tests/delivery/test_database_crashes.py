"""PostgreSQL crashes between a send and its record: the lane stays locked, what was sent is recorded, and not sent
again.

A crash loses what was committed without waiting for the disk. A take that is lost leaves the lane free: the next drain
would send the same leads again, and the record of those that were sent would find no lane of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.conftest import ON_POSTGRESQL
from tests.support.factories import ADA, captured, point_at, submit
from tests.support.postgres import Postgres
from tests.support.receiver import Behaviour, Line, Receiver, answering
from tests.support.serving import serve
from tests.support.waiting import wait_until
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import lanes, serving, widening
from webapp.delivery.rings import queues
from webapp.delivery.sending import sender
from webapp.delivery.watching import Watcher
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Interface, Lane

pytestmark = pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no server that could crash")


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator[Postgres]:
    """It writes its log only when a commit waits for that, or after ten seconds: a crash loses all other commits."""
    postgres.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    postgres.stop()
    postgres.start()
    yield postgres
    postgres.execute("ALTER SYSTEM RESET wal_writer_delay")
    postgres.execute("SELECT pg_reload_conf()")


@pytest.fixture
def hook(interface: Interface, receiver: Receiver) -> int:
    """A webhook with a kept connection, so that a round sends for it."""
    point_at(interface, receiver.url)
    sender._idle._idle_seconds = sender._idle._age_seconds = 600
    submit(interface)
    webhook_id = interface.webhook.id
    drain(webhook_id)
    receiver.clear()
    queues.redis.flushall()
    return webhook_id


@pytest.fixture
def watched(app: Flask) -> Iterator[None]:
    """This process watches its sends, as a worker does."""
    watcher = Watcher(app)
    watcher.start()
    yield
    watcher.stop()


Crashing = Callable[..., Behaviour]


@pytest.fixture
def crashing(app: Flask, server: Postgres, hook: int) -> Crashing:
    """A receiver that answers 200. Before, it waits for `first`, PostgreSQL crashes, `meanwhile` is waited for, it
    starts, and another drain of the lane comes by."""

    def crash(first: Callable[[], bool] = lambda: True, meanwhile: Callable[[], bool] = lambda: True) -> Behaviour:
        def behave(line: Line) -> bool:
            with app.app_context():
                wait_until(first, "the moment of the crash")
                server.stop(immediately=True)
                try:
                    wait_until(meanwhile, "what happens without PostgreSQL")
                finally:
                    server.start()
                with suppress(OperationalError):  # its connection may be one that the crash has ended
                    lanes.drain(hook)
                lanes.drain(hook)
            return answering()(line)

        return behave

    return crash


def drain(webhook_id: int) -> None:
    db.session.rollback()
    lanes.drain(webhook_id)


def leads(interface: Interface, number: int) -> None:
    with transaction():
        for _ in range(number):
            captured(interface.public_id, ADA)


def delivered() -> int:
    with read_autocommit() as connection:
        return connection.scalars(select(func.count()).where(Delivery.state == DeliveryState.DELIVERED)).one()


def is_recorded(number: int) -> bool:
    """Whether so many deliveries are recorded as delivered, by one attempt each, and the lane is let go."""
    with read_autocommit() as connection:
        states = connection.scalars(select(Delivery.state)).all()
        tries = connection.scalars(select(func.count()).select_from(Attempt).group_by(Attempt.delivery_id)).all()
        lane = connection.execute(select(Lane.token, Lane.lease_until)).one()
    return (states, tries, tuple(lane)) == (["delivered"] * number, [1] * number, (None, 0.0))


def test_a_round_records_what_it_sent(
    interface: Interface, hook: int, receiver: Receiver, crashing: Crashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 60.0)
    receiver.queue(answering(), crashing())
    leads(interface, 3)
    serve()
    drain(hook)
    assert len(receiver.requests) == 3
    assert is_recorded(4)


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_drain_records_what_it_sent(
    interface: Interface, hook: int, receiver: Receiver, crashing: Crashing, parallel: int
) -> None:
    point_at(interface, receiver.url, automatic_parallel=False, parallel_requests=parallel)
    receiver.queue(answering(), crashing())
    leads(interface, 3)
    drain(hook)
    drain(hook)
    assert len(receiver.requests) == 3
    assert is_recorded(4)


def test_a_widened_lane_records_what_it_sent(
    interface: Interface, hook: int, receiver: Receiver, crashing: Crashing, watched: None
) -> None:
    crash, is_back = crashing(first=lambda: len(receiver.requests) == 2), Event()

    def first(line: Line) -> bool:
        try:
            return crash(line)
        finally:
            is_back.set()

    def second(line: Line) -> bool:
        is_back.wait(60)
        return answering()(line)

    receiver.queue(first, second)
    leads(interface, 4)
    drain(hook)
    drain(hook)
    assert len(receiver.requests) == 4
    assert is_recorded(5)


def test_a_widened_lane_that_looks_for_newer_leads_while_postgresql_is_away_goes_on(
    interface: Interface,
    hook: int,
    receiver: Receiver,
    crashing: Crashing,
    watched: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(widening, "LOOKS_EVERY", 0.1)
    with capture_logs() as logs:

        def has_looked() -> bool:
            return any(line["event"] == widening.CANNOT_LOOK for line in logs)

        receiver.queue(crashing(first=lambda: delivered() == 2, meanwhile=has_looked))
        leads(interface, 2)
        drain(hook)
    assert len(receiver.requests) == 2
    assert is_recorded(3)
