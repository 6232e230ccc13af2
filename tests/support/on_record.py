"""Sends many leads to a receiver that cuts connections, and compares its count with the attempts in the database."""

from sqlalchemy import func, select

from tests.support.cutting import CUTS, Cutter
from tests.support.factories import ADA, captured
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.delivery.rings import queues
from webapp.delivery.sending import sender
from webapp.extensions import db
from webapp.models import Attempt, Delivery, DeliveryState, Interface
from webapp.webhooks.outcome import ErrorKind

AT_ONCE = 100  # leads captured in one transaction


def send(interface: Interface, count: int) -> None:
    """Captures leads and drains their lane until every one of them has had its only try."""
    form, webhook_id = interface.public_id, interface.webhook.id
    for start in range(0, count, AT_ONCE):
        with transaction():
            for _ in range(min(AT_ONCE, count - start)):
                captured(form, ADA)
    db.session.rollback()
    while pending():
        lanes.drain(webhook_id)
    queues.redis.flushall()


def pending() -> int:
    """How many deliveries wait for a try."""
    db.session.rollback()
    number = db.session.scalar(select(func.count()).where(Delivery.state == DeliveryState.PENDING))
    db.session.rollback()
    return number or 0


def check(cutter: Cutter, count: int) -> None:
    """Every request that reached the receiver is an attempt, and every attempt is a request that reached it."""
    sender.close()
    cutter.close()
    assert set(cutter.stages) >= set(CUTS), "not every stage was met"
    rows = _attempts()
    assert len(rows) == count
    assert sum(len(attempts) for attempts in rows.values()) == cutter.requests
    seconds = 0
    for message_id, attempts in rows.items():
        *firsts, last = [error for error, _, _ in attempts]
        assert last != ErrorKind.SENT_AGAIN
        assert firsts in ([], [ErrorKind.SENT_AGAIN]), "a try sends two requests at most"
        assert len({timestamp for _, timestamp, _ in attempts}) == 1
        assert {tries for _, _, tries in attempts} == {1}, "the two are one step of the schedule"
        assert cutter.whole[message_id] <= len(attempts)
        seconds += len(firsts)
    assert seconds > 0
    assert set(cutter.whole) <= set(rows)


def _attempts() -> dict[str, list[tuple[str | None, int, int]]]:
    """Of each delivery by webhook-id, its attempts in their order: error, timestamp, and the tries it counts."""
    found: dict[str, list[tuple[str | None, int, int]]] = {}
    columns = Delivery.message_id, Attempt.error, Attempt.timestamp, Delivery.tries
    for message_id, *row in db.session.execute(select(*columns).join(Attempt.delivery).order_by(Attempt.id)):
        found.setdefault(message_id, []).append((row[0], row[1], row[2]))
    db.session.rollback()
    return found
