"""How many leads of each status there are, for the Leads page. Counts stop at 10,000 and say so."""

from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, case, func, select, union

from webapp.delivery import ledger
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Lead, Status
from webapp.models.status import WORST_FIRST
from webapp.services.leads import worst
from webapp.services.leads.lead_list import IS, NO_WEBHOOK, Filter, in_scope, key, narrowed, waiting

MOST = 10_000  # leads are counted up to here
MOST_NARROW = 1_000  # with a filter besides the status: then each lead must be read

_OF_DELIVERY = case(*((condition, status.value) for status, condition in IS.items() if status != Status.SPAM))


class Number(NamedTuple):
    """A count. Unless it is `exact`, there are at least this many."""

    least: int
    exact: bool = True


def counts(wanted: Filter) -> dict[Status | None, Number]:
    """How many leads match, by status; the filter's own status is ignored. None: all of them except spam.

    Up to 10,000 are counted. With a filter besides the status, the newest 1,000 leads are counted in one pass; if there
    are more, all counts of that pass are lower bounds. Where leads may have several deliveries, the newest 1,000 leads
    of each state are judged.
    """
    if wanted.narrow:
        return _narrow_counts(replace(wanted, status=None), wanted.several)
    return _several_counts(wanted.account_id) if wanted.several else _all_counts(wanted.account_id)


def _narrow_counts(wanted: Filter, several: bool) -> dict[Status | None, Number]:
    # An interface's row is of this account. Without the account an index is enough, and the few leads without a
    # delivery are read: only they can be spam.
    narrow = in_scope if wanted.interface_id is None else narrowed
    newest = narrow(select(Lead.id.label("id")), wanted).order_by(key(wanted).desc()).limit(MOST_NARROW + 1).subquery()
    found = _several_words(newest) if several else _words(newest)
    is_exact = sum(found.values()) <= MOST_NARROW
    numbers: dict[Status | None, Number] = {
        status: Number(min(found.get(status.value, 0), MOST_NARROW), is_exact) for status in Status
    }
    numbers[None] = Number(min(sum(found.values()) - found.get(Status.SPAM.value, 0), MOST_NARROW), is_exact)
    return numbers


def _words(newest: Any) -> dict[str, int]:
    """How many of these leads have each status."""
    is_spam = select(IS[Status.SPAM]).where(Lead.id == newest.c.id).scalar_subquery()
    word = case((and_(Delivery.id.is_(None), is_spam), Status.SPAM.value), else_=_OF_DELIVERY).label("word")
    tally = select(word, func.count()).select_from(newest).outerjoin(Delivery, Delivery.lead_id == newest.c.id)
    return {row[0]: int(row[1]) for row in db.session.execute(tally.group_by("word"))}


def _several_words(leads: Any) -> dict[str, int]:
    """As `_words`, where a lead may have several deliveries, and one in Spam may have some, too."""
    ranked = worst.ranks(leads).subquery()
    spam = select(IS[Status.SPAM]).where(Lead.id == ranked.c.id).scalar_subquery()
    ranks = ((ranked.c.rank == number, status.value) for number, status in enumerate(WORST_FIRST))
    word = case((spam, Status.SPAM.value), *ranks, else_=Status.NO_WEBHOOK.value).label("word")
    return {row[0]: int(row[1]) for row in db.session.execute(select(word, func.count()).group_by("word"))}


def _several_counts(account_id: int) -> dict[Status | None, Number]:
    """All leads of an account, by status, where leads may have several deliveries.

    Each lead of a status has a delivery in that state, or one that was clicked. So of each kind the newest leads are
    found by an index, and judged by all their deliveries.
    """
    of_account = Delivery.account_id == account_id, Delivery.lead_id.is_not(None)
    kinds = {state: select(Delivery.lead_id).where(*of_account, Delivery.state == state) for state in DeliveryState}
    newest = [kind.distinct().order_by(Delivery.lead_id.desc()).limit(MOST_NARROW + 1) for kind in kinds.values()]
    clicked = waiting(account_id, ledger.CLICKED).where(Delivery.lead_id.is_not(None)).limit(MOST_NARROW + 1)
    parts = [part.subquery() for part in (*newest, clicked)]
    sizes = db.session.execute(select(*(select(func.count()).select_from(part).scalar_subquery() for part in parts)))
    *states, clicks = [size <= MOST_NARROW for size in sizes.one()]
    is_whole = dict(zip(kinds, states, strict=True))
    judged = union(*(select(part.c.lead_id.label("id")) for part in parts)).subquery()
    found = _several_words(judged)
    exact = {
        Status.DELIVERED: is_whole[DeliveryState.DELIVERED],
        Status.QUEUED: is_whole[DeliveryState.PENDING] and clicks,
        Status.RETRYING: is_whole[DeliveryState.PENDING],
        Status.FAILED: is_whole[DeliveryState.FAILED],
        Status.HELD: is_whole[DeliveryState.ON_HOLD],
        Status.CANCELLED: is_whole[DeliveryState.CANCELLED],
    }
    numbers: dict[Status | None, Number] = {
        status: Number(min(found.get(status.value, 0), MOST_NARROW), is_exact) for status, is_exact in exact.items()
    }
    return {**numbers, **_without_deliveries(account_id)}


def _without_deliveries(account_id: int) -> dict[Status | None, Number]:
    """The counts that no delivery decides: all leads except spam, those in Spam, those without a webhook."""
    leads = select(Lead.id).where(Lead.account_id == account_id)
    spam = leads.where(Lead.spam.is_not(None)).order_by(Lead.id.desc())  # as in _all_counts
    parts = [_count(part, MOST) for part in (leads.where(Lead.spam.is_(None)), spam, leads.where(NO_WEBHOOK))]
    everything, in_spam, nowhere = (_number(count) for count in db.session.execute(select(*parts)).one())
    return {None: everything, Status.SPAM: in_spam, Status.NO_WEBHOOK: nowhere}


def _all_counts(account_id: int) -> dict[Status | None, Number]:
    """All leads of an account, by status, in two statements that read indexes.

    Reading ten thousand rows would take longer than the rest of the page. What an index cannot tell is subtracted: the
    few deliveries that were clicked count as Queued, in any state, and spam is not among all leads.
    """
    of_account = Delivery.account_id == account_id
    kinds: list[Any] = [and_(ledger.CLICKED, Delivery.state == state) for state in DeliveryState]
    few: list[Any] = [*kinds, and_(ledger.CLICKED, ledger.FRESH), ledger.FRESH]
    # In order of the id, so that SQLite uses the index of spam.
    spam = select(Lead.id).where(Lead.account_id == account_id, Lead.spam.is_not(None)).order_by(Lead.id.desc())
    parts = [_count(waiting(account_id, part), MOST) for part in few]
    *clicked, clicked_fresh, fresh, spam_count = db.session.execute(select(*parts, _count(spam, MOST))).one()
    less = dict(zip(DeliveryState, clicked, strict=True))

    in_state = [
        _count(select(Delivery.id).where(of_account, Delivery.state == state), MOST + less[state] + fresh)
        for state in DeliveryState
    ]
    leads = select(Lead.id).where(Lead.account_id == account_id)
    total = _count(leads, MOST + spam_count) if spam_count <= MOST else _count(leads.where(Lead.spam.is_(None)), MOST)
    without = _count(select(Lead.id).where(Lead.account_id == account_id, NO_WEBHOOK), MOST)
    *states, all_leads, no_webhook = db.session.execute(select(*in_state, total, without)).one()
    found = {state: number - less[state] for state, number in zip(DeliveryState, states, strict=True)}
    return {
        None: _number(all_leads - (spam_count if spam_count <= MOST else 0)),
        Status.DELIVERED: _number(found[DeliveryState.DELIVERED]),
        Status.QUEUED: _number(sum(clicked) + fresh - clicked_fresh),
        Status.RETRYING: _number(found[DeliveryState.PENDING] - (fresh - clicked_fresh)),
        Status.FAILED: _number(found[DeliveryState.FAILED]),
        Status.HELD: _number(found[DeliveryState.ON_HOLD]),
        Status.CANCELLED: _number(found[DeliveryState.CANCELLED]),
        Status.NO_WEBHOOK: _number(no_webhook),
        Status.SPAM: _number(spam_count),
    }


def totals(account_id: int) -> dict[Status | None, Number]:
    """Of all leads of an account, how many are not spam (None), and whether there is any spam."""
    leads = select(Lead.id).where(Lead.account_id == account_id)
    spam = leads.where(Lead.spam.is_not(None)).order_by(Lead.id.desc())  # as in _all_counts
    parts = _count(leads.where(Lead.spam.is_(None)), MOST), _count(spam, 0)
    all_leads, spam = db.session.execute(select(*parts)).one()
    return {None: _number(all_leads), Status.SPAM: Number(spam, exact=False)}


def _count(rows: Select[Any], most: int) -> Any:
    """The number of these rows, counted up to one more than `most`."""
    return select(func.count()).select_from(rows.limit(most + 1).subquery()).scalar_subquery()


def _number(found: int) -> Number:
    return Number(min(found, MOST), exact=found <= MOST)
