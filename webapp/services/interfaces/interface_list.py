"""The Interfaces page: one page of an account's interfaces, each with its health and its leads of seven days.

A page takes the same number of queries for any number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from webapp.clock import utcnow
from webapp.db.pages import Page, read_page
from webapp.delivery import ledger, states
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Lead, Webhook, WebhookState

PAGE = 25
DAYS = 7


class Health(StrEnum):
    """The health of an interface's webhook, in the words of the screen."""

    HEALTHY = "Healthy"
    FAILING = "Failing"
    PAUSED = "Paused"
    RESTING = "Resting"
    NO_WEBHOOK = "No webhook"
    NOT_TESTED = "Not tested"


# A test does not change the lane, so a successful test is found by its delivery.
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
    (ledger.RESTING, Health.RESTING.value),
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
    """An interface on the page; `days` counts its leads on each of the last seven UTC days, today last.

    `held` counts its deliveries on hold.
    """

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
class InterfacePage(Page[Row, str]):
    """One page of rows; `total` counts the matching interfaces on all pages."""

    total: int


@dataclass(frozen=True)
class InterfaceFilter:
    """The query of the page's address: `q` is searched in names and webhook URLs, `health` is compared exactly.

    `before` and `after` are public ids: the page ends before the one, or begins after the other. Unknown ids are
    ignored.
    """

    q: str = ""
    health: str = ""
    before: str = ""
    after: str = ""


def page(account_id: int, asked: InterfaceFilter = InterfaceFilter(), size: int = PAGE) -> InterfacePage:
    """The page of the account's interfaces that match."""
    matching = _matching(account_id, asked.q, asked.health)
    total = db.session.scalar(matching.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    before, after = _cursor(account_id, asked.before), _cursor(account_id, asked.after)
    found = read_page(matching, Interface.id, lambda row: str(row[0].public_id), before=before, after=after, size=size)
    return InterfacePage(_rows(account_id, found.rows), found.prev, found.next, total)


def health(interface: Interface) -> Health:
    """The health of one interface: that of its first webhook."""
    return healths(interface)[interface.webhook.id]


def healths(interface: Interface) -> dict[int, Health]:
    """The health of each webhook of an interface, by id."""
    query = select(Webhook.id, HEALTH).select_from(Webhook).join(Lane).where(Webhook.interface_id == interface.id)
    return {webhook_id: Health(word) for webhook_id, word in db.session.execute(query)}


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
    """Leads of each of the last seven UTC days, by interface; one query, which reads only those days of an index."""
    today = utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=DAYS - 1)
    # On PostgreSQL a time has the time zone of the session, which is UTC, unless a pooler has other settings.
    is_sqlite = db.engine.dialect.name == "sqlite"
    day = func.date(Lead.received_at if is_sqlite else func.timezone("UTC", Lead.received_at))
    query = (
        select(Lead.interface_id, day, func.count())
        .where(Lead.account_id == account_id, Lead.received_at >= first, ~Lead.test, Lead.spam.is_(None))
        .group_by(Lead.interface_id, day)
    )
    place = {(first + timedelta(days=number)).date().isoformat(): number for number in range(DAYS)}
    counts: dict[int, list[int]] = {}
    for interface_id, date, number in db.session.execute(query):
        if str(date) in place:  # a host whose clock is fast may have written tomorrow's date
            counts.setdefault(interface_id, [0] * DAYS)[place[str(date)]] = number
    return counts


def _held(webhook_ids: Sequence[int]) -> dict[int, int]:
    query = select(Delivery.webhook_id, func.count()).group_by(Delivery.webhook_id)
    found = db.session.execute(query.where(Delivery.webhook_id.in_(webhook_ids), states.ON_HOLD))
    return dict(found.all())
