"""How many leads wait to be sent by a webhook, and when the last of them will be on its way.

The pace is measured: what was sent in the last minute, and what came in the last half minute. Every query here reads a
bounded number of rows by an index.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from webapp.clock import now_sql, utcnow
from webapp.delivery import ledger
from webapp.extensions import db
from webapp.models import Delivery, Lead, Webhook, WebhookState
from webapp.services.webhooks import webhooks

SHOWN_FROM = 10  # leads: less is gone before a person has read it
BEHIND = 100  # leads: the list of interfaces says so
COUNTED = 100_000
SAMPLE = 500  # leads that are read to measure a pace
FEWEST = 5  # of them that must have been sent, to say anything
SENT_WITHIN = timedelta(minutes=1)
CAME_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Backlog:
    """`waiting`: leads, COUNTED at most. `seconds`: until none waits, about; None: it cannot be said, or it grows."""

    waiting: int
    seconds: float | None
    grows: bool


def of(webhook: Webhook) -> Backlog | None:
    """What waits there; None if that is nothing worth a word, or if the webhook is paused."""
    if webhook.state != WebhookState.ACTIVE or not webhook.url:
        return None
    waiting = _waiting(webhook.id)
    if waiting < SHOWN_FROM:
        return None
    now = utcnow()
    sent, came = _sent_a_second(webhook, now), _came_a_second(webhook, now)
    if webhook.rate is not None:
        sent = min(sent, webhook.rate) if sent is not None else float(webhook.rate)
    return estimate(waiting, sent, came, _rest(webhook, now))


def estimate(waiting: int, sent: float | None, came: float, rest: float = 0.0) -> Backlog:
    """From the leads that go out and come in a second, and the seconds that the webhook rests before that."""
    if sent is None:
        return Backlog(waiting, None, grows=False)
    if came >= sent:
        return Backlog(waiting, None, grows=True)
    return Backlog(waiting, rest + waiting / (sent - came), grows=False)


def behind(webhook_ids: Collection[int]) -> set[int]:
    """Those of these webhooks for which BEHIND leads or more wait for their first try."""
    of_it = select(Delivery.id).where(Delivery.webhook_id == Webhook.id, ledger.FRESH).order_by(Delivery.id)
    last = of_it.offset(BEHIND - 1).limit(1).correlate(Webhook).scalar_subquery()
    found = select(Webhook.id).where(Webhook.id.in_(webhook_ids), ledger.ACTIVE, last.is_not(None))
    return set(db.session.scalars(found))


def _waiting(webhook_id: int) -> int:
    of_it = select(Delivery.id).where(Delivery.webhook_id == webhook_id).limit(COUNTED)
    parts = of_it.where(ledger.FRESH), of_it.where(ledger.AGAIN, Delivery.due_at <= now_sql())
    counts = [select(func.count()).select_from(part.subquery()).scalar_subquery() for part in parts]
    return min(db.session.scalar(select(counts[0] + counts[1])) or 0, COUNTED)


def _newest(webhook: Webhook, *conditions: Any) -> Any:
    leads = select(Lead.id, Lead.received_at).where(Lead.interface_id == webhook.interface_id, *conditions)
    return leads.order_by(Lead.id.desc()).limit(SAMPLE).subquery()


def _sent_a_second(webhook: Webhook, now: datetime) -> float | None:
    """From the leads before the oldest one that waits: they were sent last, because new leads are sent in order."""
    oldest = select(Delivery.lead_id).where(Delivery.webhook_id == webhook.id, ledger.FRESH).order_by(Delivery.id)
    first = db.session.scalar(oldest.limit(1))
    leads = _newest(webhook, *([] if first is None else [Lead.id < first]))
    number, since = _measure(webhook, leads, Delivery.last_at, now - SENT_WITHIN)
    return number / max((now - since).total_seconds(), 1.0) if number >= FEWEST and since else None


def _came_a_second(webhook: Webhook, now: datetime) -> float:
    leads = _newest(webhook)
    number, since = _measure(webhook, leads, leads.c.received_at, now - CAME_WITHIN)
    span = now - since if number == SAMPLE and since else CAME_WITHIN
    return number / max(span.total_seconds(), 1.0)


def _measure(webhook: Webhook, leads: Any, at: Any, after: datetime) -> tuple[int, datetime | None]:
    """How many of the leads went to the webhook since then, and when the first of these did."""
    query = select(func.count(), func.min(at)).select_from(leads).join(Delivery, Delivery.lead_id == leads.c.id)
    row = db.session.execute(query.where(Delivery.webhook_id == webhook.id, at > after)).one()
    return row[0], row[1]


def _rest(webhook: Webhook, now: datetime) -> float:
    until = webhooks.resting_until(webhook)
    return max((until - now).total_seconds(), 0.0) if until else 0.0
