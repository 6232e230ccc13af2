"""The Interfaces page: one page of an account's interfaces, each with its health and its leads of seven days.

A page takes the same number of queries for any number of rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import aliased

from webapp.clock import utcnow
from webapp.db.pages import Page, read_page
from webapp.delivery import ledger, states
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Lane, Lead, Webhook, WebhookState
from webapp.services.webhooks import backlog, more
from webapp.webhooks.authentications.schemes import SIGNED

PAGE = 25
DAYS = 7


class Health(StrEnum):
    """The health of a webhook, in the words of the screen. An interface has the worst one of its webhooks."""

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
    .where(Delivery.webhook_id == Webhook.id)
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
# The worst first. A webhook without a URL counts only where no other one has a URL.
WORST_FIRST = (Health.PAUSED, Health.FAILING, Health.RESTING, Health.NOT_TESTED, Health.HEALTHY, Health.NO_WEBHOOK)
# Its webhooks that count: not a shadow, and not one that was removed.
_COUNTS = and_(~Webhook.is_shadow, Webhook.removed_at.is_(None))
_HEALTHS = select(Webhook.id, HEALTH.label("health")).join(Lane, Lane.webhook_id == Webhook.id)
_PLACE = case({word.value: number for number, word in enumerate(WORST_FIRST)}, value=HEALTH)
_AnyWebhook = aliased(Webhook)
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
    """An interface on the page, with its webhook of the worst health; `days` counts its leads on each of the last seven
    UTC days, today last. `more` counts its other webhooks, `held` the deliveries on hold of all; shadows do not count.
    `behind`: for one of them many leads wait.
    """

    interface: Interface
    webhook: Webhook
    lane: Lane
    health: Health
    last_lead_at: datetime | None
    days: Sequence[int]
    held: int
    more: int = 0
    behind: bool = False

    @property
    def leads(self) -> int:
        return sum(self.days)

    @property
    def signed(self) -> bool:
        return self.webhook.authentication in (Authentication.SHARED_TOKEN, *SIGNED)


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
    several = more.exist(account_id)
    matching = _matching(account_id, asked.q, asked.health, several)
    total = db.session.scalar(matching.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    before, after = _cursor(account_id, asked.before), _cursor(account_id, asked.after)
    found = read_page(matching, Interface.id, lambda row: str(row[0].public_id), before=before, after=after, size=size)
    return InterfacePage(_rows(account_id, found.rows, several), found.prev, found.next, total)


def health(interface: Interface) -> Health:
    """The health of one interface: the worst one of its webhooks, without shadows."""
    counted = {webhook.id for webhook in interface.webhooks if not webhook.is_shadow}
    found = healths(interface)
    return min((found[webhook_id] for webhook_id in counted), key=WORST_FIRST.index)


def healths(interface: Interface) -> dict[int, Health]:
    """The health of each of an interface's webhooks, by id."""
    query = _HEALTHS.where(Webhook.interface_id == interface.id, Webhook.removed_at.is_(None))
    return {webhook_id: Health(word) for webhook_id, word in db.session.execute(query)}


def _matching(account_id: int, q: str, health: str, several: bool) -> Select[*tuple[Any, ...]]:
    query = select(Interface, Webhook, Lane, HEALTH.label("health"), _LAST_LEAD.label("last_lead_at"))
    if several:
        worst = _worst(account_id)
        query = query.join(worst, and_(worst.c.interface_id == Interface.id, worst.c.place == 1))
        query = query.join(Webhook, Webhook.id == worst.c.id)
    else:
        query = query.join(Webhook, Webhook.interface_id == Interface.id)
    query = query.join(Lane, Lane.webhook_id == Webhook.id)
    query = query.where(Interface.account_id == account_id, Interface.archived_at.is_(None))
    q = q.replace("\0", "").strip()
    if q:
        found = _of_any_webhook(q) if several else Webhook.url.icontains(q, autoescape=True)
        query = query.where(or_(Interface.name.icontains(q, autoescape=True), found))
    return query.where(HEALTH.in_([health])) if health in {word.value for word in Health} else query


def _worst(account_id: int) -> Any:
    """The webhooks of live interfaces that count, each with its place among those of its interface: 1 is the worst."""
    place = func.row_number().over(partition_by=Webhook.interface_id, order_by=(_PLACE, Webhook.id)).label("place")
    webhooks = select(Webhook.id, Webhook.interface_id, place).join(Lane, Lane.webhook_id == Webhook.id)
    live = Webhook.interface_id.is_not(None), Webhook.state != WebhookState.ARCHIVED
    return webhooks.where(Webhook.account_id == account_id, *live, _COUNTS).subquery()


def _of_any_webhook(q: str) -> ColumnElement[bool]:
    """Whether the address or the name of one of the interface's webhooks has the text."""
    texts = (_AnyWebhook.url, _AnyWebhook.name)
    found = select(_AnyWebhook.id).where(or_(*(text.icontains(q, autoescape=True) for text in texts)))
    of_it = _AnyWebhook.interface_id == Interface.id, _AnyWebhook.removed_at.is_(None)
    return found.where(*of_it).correlate(Interface).exists()


def _cursor(account_id: int, public_id: str) -> int | None:
    if not public_id or "\0" in public_id:
        return None
    query = select(Interface.id).where(Interface.account_id == account_id, Interface.public_id == public_id)
    return db.session.scalar(query)


def _rows(account_id: int, found: Sequence[Any], several: bool) -> list[Row]:
    days = _leads_a_day(account_id) if found else {}
    webhooks = {interface.id: [webhook.id] for interface, webhook, *_ in found}
    if several:
        webhooks = _counted(webhooks)
    held = _held([webhook_id for ids in webhooks.values() for webhook_id in ids]) if found else {}
    late = backlog.behind([webhook_id for ids in webhooks.values() for webhook_id in ids]) if found else set()
    return [
        Row(
            interface,
            webhook,
            lane,
            Health(health),
            last_lead_at,
            days.get(interface.id, [0] * DAYS),
            sum(held.get(webhook_id, 0) for webhook_id in webhooks[interface.id]),
            len(webhooks[interface.id]) - 1,
            not late.isdisjoint(webhooks[interface.id]),
        )
        for interface, webhook, lane, health, last_lead_at in found
    ]


def _counted(interface_ids: Collection[int]) -> dict[int, list[int]]:
    """By interface, the ids of its webhooks that count."""
    found: dict[int, list[int]] = {interface_id: [] for interface_id in interface_ids}
    counted = select(Webhook.interface_id, Webhook.id).where(Webhook.interface_id.in_(interface_ids), _COUNTS)
    for interface_id, webhook_id in db.session.execute(counted):
        found[interface_id].append(webhook_id)
    return found


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
