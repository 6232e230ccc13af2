"""The Leads page: which leads, in which order, and how many of each status; as fast with a million leads as with ten.

Pages are read by keyset of the id, so that no lead is skipped. Counts stop at 10,000 and say so. Payloads are not
loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select
from sqlalchemy.orm import aliased, defer, joinedload, selectinload
from werkzeug.exceptions import NotFound

from webapp.clock import utcnow
from webapp.db.pages import Page, read_page
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lead, Status
from webapp.models.status import delivery_rules
from webapp.services.intake.answers import clean

PAGE = 25
MOST = 10_000  # leads are counted up to here
# Shown as filters even if no lead has this status.
ALWAYS_OFFERED = (Status.DELIVERED, Status.RETRYING, Status.FAILED, Status.HELD, Status.NO_WEBHOOK)
RECEIVED = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}


_Earlier = aliased(Lead)
_REAL = and_(~_Earlier.test, _Earlier.spam.is_(None))
_BY_SLUG = {status.slug: status for status in Status}
_IS = {
    Status.SPAM: Lead.spam.is_not(None),
    Status.NO_WEBHOOK: Delivery.id.is_(None),
    **delivery_rules(Delivery.retry_at.is_not(None), Delivery.retry_at.is_(None), Delivery.state, Delivery.tries),
}
WORD = case(*((condition, status.value) for status, condition in _IS.items()))
_OF_DELIVERY = case(*((condition, status.value) for status, condition in _IS.items() if status != Status.SPAM))


class Number(NamedTuple):
    """A count. Unless it is `exact`, there are at least this many."""

    least: int
    exact: bool = True


@dataclass(frozen=True)
class Filter:
    """Which leads of an account to show. Made by `of`, which ignores what it does not understand."""

    account_id: int
    status: Status | None = None
    q: str = ""
    interface: str = ""
    received: str = ""

    @classmethod
    def of(cls, account_id: int, status: str = "", q: str = "", interface: str = "", received: str = "") -> "Filter":
        """The filter for the values of a URL's query."""
        since = received if received in RECEIVED else ""
        return cls(account_id, _BY_SLUG.get(status), clean(q)[:200], clean(interface)[:40], since)

    @property
    def narrow(self) -> bool:
        """Whether it filters by anything besides the status."""
        return bool(self.q or self.interface or self.received)

    @property
    def arguments(self) -> dict[str, str]:
        """The filter as values of a URL's query."""
        words = {"status": self.status.slug if self.status else "", "q": self.q}
        words |= {"interface": self.interface, "received": self.received}
        return {name: word for name, word in words.items() if word}


def page(wanted: Filter, before: str = "", after: str = "", size: int = PAGE) -> Page[Lead, str]:
    """The leads just before the one with the id `before`, or just after `after`; unknown ids are ignored."""
    newer, older = _cursor(wanted, before), _cursor(wanted, after)
    found = matching(select(Lead).options(*_light()), wanted)
    return read_page(found, key(wanted), lambda lead: str(lead.public_id), before=newer, after=older, size=size)


EARLIER = 99  # leads of one visitor are counted up to here


def earlier(leads: Sequence[Lead]) -> dict[int, int]:
    """By lead id, how many leads its visitor sent through the same interface before, up to 99. Leads with none are left
    out.

    One statement for a whole page; it reads a short range of an index for each lead.
    """
    asked = [lead.id for lead in leads if not lead.test and lead.visitor]
    if not asked:
        return {}
    before = select(_Earlier.id).where(*_same_visitor(_Earlier, Lead), _Earlier.id < Lead.id, _REAL)
    count = select(func.count()).select_from(before.limit(EARLIER).correlate(Lead).subquery()).scalar_subquery()
    rows = db.session.execute(select(Lead.id, count).where(Lead.id.in_(asked)))
    return {lead_id: number for lead_id, number in rows if number}


def _same_visitor(one: Any, other: Any) -> tuple[ColumnElement[bool], ...]:
    return one.interface_id == other.interface_id, one.visitor == other.visitor, one.visitor.is_not(None)


def _light() -> tuple[Any, ...]:
    """Loads what a row shows and what `leads.retryable` reads, in two statements, without the long columns."""
    webhook = joinedload(Lead.interface, innerjoin=True).selectinload(Interface.webhooks)
    delivery = selectinload(Lead.deliveries).options(defer(Delivery.payload), joinedload(Delivery.webhook))
    return defer(Lead.fields), defer(Lead.source), defer(Lead.consents), webhook, delivery


def _cursor(wanted: Filter, public_id: str) -> int | None:
    if not public_id:
        return None
    known = select(Lead.id).where(Lead.account_id == wanted.account_id, Lead.public_id == clean(public_id))
    return db.session.scalar(known)


def matching(query: Select[Any], wanted: Filter) -> Select[Any]:
    """`query` for leads, limited to those that match; spam only if the filter asks for it."""
    is_spam = wanted.status == Status.SPAM
    query = query.where(Lead.account_id == wanted.account_id, _IS[Status.SPAM] if is_spam else Lead.spam.is_(None))
    if wanted.interface:
        query = query.where(Lead.interface_id == _interface_id(wanted))
    if wanted.received:
        query = query.where(Lead.id >= _first_since(wanted))
    if wanted.q:
        query = query.where(_search(wanted.q))
    if wanted.status and not is_spam:
        query = query.outerjoin(Delivery, Delivery.lead_id == Lead.id).where(_IS[wanted.status])
    return query.where(Delivery.account_id == wanted.account_id) if _by_delivery(wanted) else query


def key(wanted: Filter) -> Any:
    """The lead's id, to order and cut pages by; from the table whose index finds the matching leads in this order.

    Three failed leads among a million are found by their deliveries. Ordered by `leads.id`, all leads would be read.
    """
    return Delivery.lead_id if _by_delivery(wanted) else Lead.id


def _by_delivery(wanted: Filter) -> bool:
    return wanted.status not in (None, Status.NO_WEBHOOK, Status.SPAM)


def _interface_id(wanted: Filter) -> Any:
    of_account = select(Interface.id).where(Interface.account_id == wanted.account_id)
    return of_account.where(Interface.public_id == wanted.interface).scalar_subquery()


def _first_since(wanted: Filter) -> Any:
    """The id of the first lead that is recent enough: one index lookup, so that a page stays a range of ids."""
    since = utcnow() - RECEIVED[wanted.received]
    recent = select(Lead.id).where(Lead.account_id == wanted.account_id, Lead.received_at >= since)
    return recent.order_by(Lead.received_at, Lead.id).limit(1).scalar_subquery()


def _search(q: str) -> ColumnElement[bool]:
    """Finds by id, or by a part of the name, of the address or of what identifies the visitor.

    SQLite ignores case only for ASCII, so text with other letters is also searched in other cases.
    """
    if q.startswith("lead_"):
        return Lead.public_id.startswith(q, autoescape=True)
    spellings = {q} if q.isascii() else {q, q.lower(), q.upper(), q.title()}
    columns = (Lead.name, Lead.email, Lead.visitor)
    return or_(false(), *(column.icontains(word, autoescape=True) for column in columns for word in spellings))


def counts(wanted: Filter) -> dict[Status | None, Number]:
    """How many leads match, by status; the filter's own status is ignored. None: all of them except spam.

    Up to 10,000 matching leads are counted in one pass. If there are more, each status is counted by the index of
    deliveries; with a filter besides the status, the counts of that one pass are lower bounds.
    """
    everything = replace(wanted, status=None)
    seen = matching(select(Lead.id.label("id")), everything).limit(MOST + 1).subquery()
    tally = select(_OF_DELIVERY, func.count()).select_from(seen).outerjoin(Delivery, Delivery.lead_id == seen.c.id)
    found = {row[0]: int(row[1]) for row in db.session.execute(tally.group_by(_OF_DELIVERY))}
    total = sum(found.values())
    numbers: dict[Status | None, Number] = {None: _number(total)}
    for status in (each for each in Status if each != Status.SPAM):
        numbers[status] = Number(found.get(status.value, 0), exact=total <= MOST)
        if total > MOST and not wanted.narrow and status != Status.NO_WEBHOOK:
            numbers[status] = _number(_count(wanted.account_id, status))
    spam = matching(select(Lead.id), replace(wanted, status=Status.SPAM)).limit(MOST + 1).subquery()
    numbers[Status.SPAM] = _number(db.session.scalar(select(func.count()).select_from(spam)) or 0)
    return numbers


def _count(account_id: int, status: Status) -> int:
    some = select(Delivery.id).where(Delivery.account_id == account_id, _IS[status]).limit(MOST + 1)
    return db.session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _number(found: int) -> Number:
    return Number(min(found, MOST), exact=found <= MOST)


def interfaces(account_id: int) -> Sequence[Interface]:
    """The account's interfaces for the filter, by name; deleted ones too, because their leads are kept."""
    of_account = select(Interface).where(Interface.account_id == account_id)
    return db.session.scalars(of_account.order_by(Interface.name, Interface.id).limit(500)).all()


def rows(account_id: int, public_ids: Sequence[str]) -> Sequence[Lead]:
    """These leads, loaded as for a page; NotFound if any of them is not the account's."""
    ids = {clean(public_id) for public_id in public_ids}
    query = select(Lead).options(*_light()).where(Lead.account_id == account_id, Lead.public_id.in_(ids))
    found = db.session.scalars(query.order_by(Lead.id.desc())).all()
    if len(found) != len(ids):
        raise NotFound
    return found
