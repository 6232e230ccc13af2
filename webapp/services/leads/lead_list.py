"""The Leads page: which leads, and in which order; as fast with a million leads as with ten.

Pages are read by keyset of the id, so that no lead is skipped. Payloads are not loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select, text, union_all
from sqlalchemy.orm import aliased, defer, joinedload, selectinload
from werkzeug.exceptions import NotFound

from webapp.clock import utcnow
from webapp.db.pages import Page, read_page
from webapp.delivery import ledger, states
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lead, Status, Webhook
from webapp.services.intake.answers import clean
from webapp.services.leads import worst

PAGE = 25
# Shown as filters even if no lead has this status.
ALWAYS_OFFERED = (Status.DELIVERED, Status.RETRYING, Status.FAILED, Status.HELD, Status.NO_WEBHOOK)
RECEIVED = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}


_Earlier = aliased(Lead)
_REAL = and_(~_Earlier.test, _Earlier.spam.is_(None))
_BY_SLUG = {status.slug: status for status in Status}
IS = {
    Status.SPAM: Lead.spam.is_not(None),
    Status.NO_WEBHOOK: Delivery.id.is_(None),
    **worst.is_in(Delivery),
}
WORD = case(*((condition, status.value) for status, condition in IS.items()))
NO_WEBHOOK = text("leads.no_webhook")  # the exact text of the partial index


@dataclass(frozen=True)
class Filter:
    """Which leads of an account to show. Made by `of`, which ignores what it does not understand."""

    account_id: int
    status: Status | None = None
    q: str = ""
    interface: str = ""
    received: str = ""
    # The row of `interface`, read first: PostgreSQL chooses another index for a value than for a subquery.
    interface_id: int | None = None
    only: tuple[str, ...] | None = None  # the public ids of the interfaces that an API Key is limited to

    @classmethod
    def of(cls, account_id: int, status: str = "", q: str = "", interface: str = "", received: str = "") -> "Filter":
        """The filter for the values of a URL's query."""
        since = received if received in RECEIVED else ""
        public_id = clean(interface)[:40]
        row = _interface_id(account_id, public_id) if public_id else None
        return cls(account_id, _BY_SLUG.get(status), clean(q)[:200], public_id, since, row)

    @cached_property
    def several(self) -> bool:
        """Whether a lead of the account may have several deliveries, of which the worst one decides."""
        return worst.may_be_one_of_several(self.account_id)

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
    delivery = selectinload(Lead.deliveries).options(
        defer(Delivery.payload), joinedload(Delivery.webhook).joinedload(Webhook.lane)
    )
    return defer(Lead.fields), defer(Lead.source), defer(Lead.consents), webhook, delivery


def _cursor(wanted: Filter, public_id: str) -> int | None:
    if not public_id:
        return None
    known = select(Lead.id).where(Lead.account_id == wanted.account_id, Lead.public_id == clean(public_id))
    return db.session.scalar(known)


def matching(query: Select[Any], wanted: Filter) -> Select[Any]:
    """`query` for leads, limited to those that match; spam only if the filter asks for it."""
    is_spam = wanted.status == Status.SPAM
    query = in_scope(query, wanted).where(IS[Status.SPAM] if is_spam else Lead.spam.is_(None))
    if wanted.status == Status.NO_WEBHOOK:
        return query.where(NO_WEBHOOK)
    if wanted.status is None or is_spam:
        return query
    has_status = (IS[wanted.status], worst.IS_WORST) if wanted.several else (IS[wanted.status],)
    has_delivery = select(Delivery.id).where(Delivery.lead_id == Lead.id, *has_status).correlate(Lead).exists()
    if wanted.status == Status.QUEUED:
        query = query.where(Lead.id.in_(_queued(wanted.account_id)))
        return query.where(has_delivery) if wanted.several else query
    if not by_delivery(wanted):  # reads the leads of the interface, until enough of them are found
        return query.where(has_delivery)
    query = query.join(Delivery, Delivery.lead_id == Lead.id)
    query = query.where(*has_status, Delivery.account_id == wanted.account_id)
    return query.where(*_of_interface(wanted)) if wanted.interface else query


def _of_interface(wanted: Filter) -> tuple[ColumnElement[bool], ...]:
    """What a delivery says of its interface, so that SQLite reads no lead of another one, and no deliveries that are
    newer or older than all its leads."""
    webhooks = select(Webhook.id).where(Webhook.interface_id == wanted.interface_id)
    first, last = (
        select(end(Lead.id)).where(Lead.interface_id == wanted.interface_id).scalar_subquery()
        for end in (func.min, func.max)
    )
    of_it = Delivery.webhook_id.in_(webhooks), Delivery.lead_id.between(first, last)
    if wanted.status != Status.HELD:
        return of_it
    # One look into the index of what is on hold: nearly no interface has any.
    return select(Delivery.id).where(of_it[0], states.ON_HOLD).correlate(None).exists(), *of_it


def _queued(account_id: int) -> Any:
    """The ids of Queued leads, by the indexes that drains use. By account, all that are retried would be read."""
    return union_all(*(waiting(account_id, part) for part in (ledger.CLICKED, and_(ledger.FRESH, ledger.UNCLICKED))))


def waiting(account_id: int, part: Any) -> Any:
    webhooks = select(Webhook.id).where(Webhook.account_id == account_id)
    return select(Delivery.lead_id).where(Delivery.webhook_id.in_(webhooks), part)


def in_scope(query: Select[Any], wanted: Filter) -> Select[Any]:
    """`query` for leads, limited by all but the status."""
    return narrowed(query.where(Lead.account_id == wanted.account_id), wanted)


def narrowed(query: Select[Any], wanted: Filter) -> Select[Any]:
    if wanted.interface:
        query = query.where(false() if wanted.interface_id is None else Lead.interface_id == wanted.interface_id)
    if wanted.only is not None:
        of_account = select(Interface.id).where(Interface.account_id == wanted.account_id)
        query = query.where(Lead.interface_id.in_(of_account.where(Interface.public_id.in_(wanted.only))))
    if wanted.received:
        query = query.where(key(wanted) >= _first_since(wanted))
    return query.where(_search(wanted.q)) if wanted.q else query


def key(wanted: Filter) -> Any:
    """The lead's id, to order and cut pages by; from the table whose index finds the matching leads in this order.

    Three failed leads among a million are found by their deliveries. Ordered by `leads.id`, all leads would be read.
    """
    return Delivery.lead_id if by_delivery(wanted) else Lead.id


def by_delivery(wanted: Filter) -> bool:
    """Whether `matching` starts from the deliveries: few have the status. Most leads of an interface are delivered."""
    if wanted.status == Status.DELIVERED and wanted.interface:
        return False
    return wanted.status not in (None, Status.NO_WEBHOOK, Status.SPAM, Status.QUEUED)


def _interface_id(account_id: int, public_id: str) -> int | None:
    of_account = select(Interface.id).where(Interface.account_id == account_id)
    return db.session.scalar(of_account.where(Interface.public_id == public_id))


def _first_since(wanted: Filter) -> Any:
    """The id of the first lead that is recent enough: one index lookup, so that a page stays a range of ids."""
    since = utcnow() - RECEIVED[wanted.received]
    recent = select(Lead.id).where(Lead.account_id == wanted.account_id, Lead.received_at >= since)
    return recent.order_by(Lead.received_at, Lead.id).limit(1).scalar_subquery()


LEAD_ID = 31  # characters
KNOWN = 10  # of them at least: then the rest are the leads of less than half a day


def _search(q: str) -> ColumnElement[bool]:
    """Finds by id, or by a part of the name, of the address or of what identifies the visitor.

    SQLite ignores case only for ASCII, so text with other letters is also searched in other cases.
    """
    if q.startswith("lead_"):
        return _of_id(q)
    spellings = {q} if q.isascii() else {q, q.lower(), q.upper(), q.title()}
    columns = (Lead.name, Lead.email, Lead.visitor)
    return or_(false(), *(column.icontains(word, autoescape=True) for column in columns for word in spellings))


def _of_id(q: str) -> ColumnElement[bool]:
    """Leads whose id begins with these characters; by the index of ids, unless that would find most leads."""
    if len(q) >= LEAD_ID:
        return Lead.public_id == q
    begins = Lead.public_id.startswith(q, autoescape=True)
    if len(q) < KNOWN:
        return begins
    found = aliased(Lead)
    # In this range for any collation: an id consists of digits and lower-case letters, and z is the last of them.
    in_range = select(found.id).where(found.public_id.between(q, q.ljust(LEAD_ID + 1, "z")))
    return and_(Lead.id.in_(in_range), begins)


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
