"""The Interfaces page: one page of an account's interfaces, each with its health and its last seven days.

A page costs the same few queries however many rows it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from webapp.clock import utcnow
from webapp.delivery import states
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Lead, Webhook, WebhookState

PAGE = 25
DAYS = 7


class Health(StrEnum):
    """How an interface's webhook is, in the words of the screen."""

    HEALTHY = "Healthy"
    FAILING = "Failing"
    PAUSED = "Paused"
    NO_WEBHOOK = "No webhook"
    NOT_TESTED = "Not tested"


# A test tells the lane nothing, but whoever sent one with success has tested.
_TESTED = (
    select(Delivery.id)
    .join(Lead)
    .where(Lead.interface_id == Webhook.interface_id, Lead.test, Delivery.state == DeliveryState.DELIVERED)
    .correlate(Webhook)
    .exists()
)
HEALTH: ColumnElement[str] = case(
    (Webhook.url.is_(None), Health.NO_WEBHOOK.value),
    (Webhook.state == WebhookState.PAUSED, Health.PAUSED.value),
    (Lane.failures > 0, Health.FAILING.value),
    (and_(Lane.succeeded_at.is_(None), ~_TESTED), Health.NOT_TESTED.value),
    else_=Health.HEALTHY.value,
)
_LAST_LEAD = (
    select(Lead.received_at)
    .where(Lead.interface_id == Interface.id, ~Lead.test, Lead.spam.is_(None))
    .order_by(Lead.id.desc())
    .limit(1)
    .correlate(Interface)
    .scalar_subquery()
)


@dataclass(frozen=True)
class Row:
    """An interface on the page; `days` counts its leads on each of the last seven UTC days, today last."""

    interface: Interface
    webhook: Webhook
    lane: Lane
    health: Health
    last_lead_at: datetime | None
    days: Sequence[int]
    held: int

    @property
    def leads(self) -> int:
        return sum(self.days)


@dataclass(frozen=True)
class Page:
    """Rows, newest interface first; `prev` and `next` are cursors, None at an end; `total` counts what matches."""

    rows: Sequence[Row]
    total: int
    prev: str | None
    next: str | None


@dataclass(frozen=True)
class Asked:
    """What the address of the page says: whose name or webhook URL holds `q`, whose health is `health`.

    `before` and `after` are public ids of the row that the page ends or begins beside; unknown ones are ignored.
    """

    q: str = ""
    health: str = ""
    before: str = ""
    after: str = ""


def page(account_id: int, asked: Asked = Asked(), size: int = PAGE) -> Page:
    """The interfaces of an account that were asked for."""
    matching = _matching(account_id, asked.q, asked.health)
    total = db.session.scalar(matching.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    newer, older = _cursor(account_id, asked.before), _cursor(account_id, asked.after)
    if newer is not None:
        found = db.session.execute(matching.where(Interface.id > newer).order_by(Interface.id).limit(size + 1)).all()
        kept = list(reversed(found[:size]))
        more_before, more_after = len(found) > size, True
    else:
        query = matching if older is None else matching.where(Interface.id < older)
        found = db.session.execute(query.order_by(Interface.id.desc()).limit(size + 1)).all()
        kept = list(found[:size])
        more_before, more_after = older is not None, len(found) > size
    rows = _rows(account_id, kept)
    return Page(
        rows,
        total,
        prev=rows[0].interface.public_id if rows and more_before else None,
        next=rows[-1].interface.public_id if rows and more_after else None,
    )


def health(interface: Interface) -> Health:
    """The health of one interface."""
    query = select(HEALTH).select_from(Webhook).join(Lane).where(Webhook.interface_id == interface.id)
    return Health(db.session.scalars(query).one())


def _matching(account_id: int, q: str, health: str) -> Select[*tuple[Any, ...]]:
    query = (
        select(Interface, Webhook, Lane, HEALTH.label("health"), _LAST_LEAD.label("last_lead_at"))
        .join(Webhook, Webhook.interface_id == Interface.id)
        .join(Lane, Lane.webhook_id == Webhook.id)
        .where(Interface.account_id == account_id, Interface.archived_at.is_(None))
    )
    q = q.replace("\0", "").strip()
    if q:
        query = query.where(
            or_(Interface.name.icontains(q, autoescape=True), Webhook.url.icontains(q, autoescape=True))
        )
    return query.where(HEALTH.in_([health])) if health in {word.value for word in Health} else query


def _cursor(account_id: int, public_id: str) -> int | None:
    if not public_id or "\0" in public_id:
        return None
    query = select(Interface.id).where(Interface.account_id == account_id, Interface.public_id == public_id)
    return db.session.scalar(query)


def _rows(account_id: int, found: Sequence[Any]) -> list[Row]:
    days = _leads_a_day(account_id) if found else {}
    held = _held([webhook.id for _, webhook, *_ in found]) if found else {}
    return [
        Row(
            interface,
            webhook,
            lane,
            Health(health),
            last_lead_at,
            days.get(interface.id, [0] * DAYS),
            held.get(webhook.id, 0),
        )
        for interface, webhook, lane, health, last_lead_at in found
    ]


def _leads_a_day(account_id: int) -> dict[int, list[int]]:
    """Leads of the last seven UTC days by interface, one query over an index that holds just those days."""
    today = utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=DAYS - 1)
    day = func.date(Lead.received_at)
    query = (
        select(Lead.interface_id, day, func.count())
        .where(Lead.account_id == account_id, Lead.received_at >= first, ~Lead.test, Lead.spam.is_(None))
        .group_by(Lead.interface_id, day)
    )
    place = {(first + timedelta(days=number)).date().isoformat(): number for number in range(DAYS)}
    counts: dict[int, list[int]] = {}
    for interface_id, date, number in db.session.execute(query):
        if str(date) in place:  # a clock ahead of ours may have written tomorrow
            counts.setdefault(interface_id, [0] * DAYS)[place[str(date)]] = number
    return counts


def _held(webhook_ids: Sequence[int]) -> dict[int, int]:
    query = select(Delivery.webhook_id, func.count()).group_by(Delivery.webhook_id)
    found = db.session.execute(query.where(Delivery.webhook_id.in_(webhook_ids), states.HELD))
    return dict(found.all())
