"""Compares what another system has with the leads here: which of them it lacks, and which of its we do not know.

A page looks at a bounded number of leads, newest first, so it takes the same time for any interface.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, select
from werkzeug.exceptions import NotFound

from webapp.db import bulk
from webapp.extensions import db
from webapp.models import Delivery, Interface, Lead, Webhook
from webapp.services.intake.answers import clean

MOST_HELD = 10_000  # values of the other system in one question
LOOKED_AT = 10_000  # leads of a page, at most
SPARE = 100  # of them, that are held twice or left out
# Rows are numbered nearly in the order in which leads were received. What two hosts' clocks and two commits differ by
# is less.
DISORDER = timedelta(days=1)
EARLIEST, LATEST = datetime(1970, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)

By = Literal["ids", "emails", "webhook_ids"]
_KEYS: dict[By, Any] = {"ids": Lead.public_id, "emails": Lead.visitor, "webhook_ids": Delivery.message_id}
# What is not compared, and why. A lead's `visitor` is its e-mail address in lower case, if it has one.
_LEFT_OUT = ((Lead.spam.is_not(None), "spam"), (Lead.test, "test"), (Lead.anonymised_at.is_not(None), "anonymised"))
_WITHOUT_EMAIL = (Lead.email == "", "without_email")


@dataclass(frozen=True)
class Question:
    """Leads of an interface, or those that one of its webhooks took; received at `since` or later, before `until`.

    `interface`, `webhook`: a public id, one of the two; `by="webhook_ids"` needs a webhook. `held`: what the other
    system has, e-mail addresses in any case. `only`: the public ids of the interfaces that may be asked about.
    """

    account_id: int
    by: By
    held: Sequence[str]
    interface: str = ""
    webhook: str = ""
    since: datetime | None = None
    until: datetime | None = None
    only: Sequence[str] | None = None

    @property
    def values(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.held) if self.by == "emails" else self.held)


class LackedLead(NamedTuple):
    """A lead that the other system does not have."""

    public_id: str
    received_at: datetime
    name: str
    email: str


class Difference(NamedTuple):
    """A page. `unknown`: of what is held, what no lead of the interface has; told with the first page only. `left_out`:
    leads of this page that are not compared, by reason. `next`: the row that the next page begins after."""

    lacked: Sequence[LackedLead]
    unknown: Sequence[str]
    looked_at: int
    left_out: Mapping[str, int]
    next: int | None


class _Place(NamedTuple):
    interface_id: int
    webhook_id: int | None
    known: frozenset[str]


def page(question: Question, after: int | None, size: int) -> Difference:
    """The leads after the row `after` that are lacked, `size` at most; there may be none although a page follows. Three
    statements. NotFound for an interface or a webhook that is not the account's, or was deleted."""
    values = question.values
    place = _place(question, values if after is None else frozenset())
    most = min(LOOKED_AT, size + len(values) + SPARE)
    rows = db.session.connection().execute(_leads(question, place, after).limit(most)).all()
    lacked, left_out, looked_at = list[int](), Counter[str](), 0
    for row_id, key, why in rows:
        if len(lacked) == size:
            break
        looked_at += 1
        if why:
            left_out[why] += 1
        elif key not in values:
            lacked.append(row_id)
    more = looked_at < len(rows) or len(rows) == most
    unknown = [] if after else [each for each in question.held if _folded(question, each) not in place.known]
    return Difference(_lacked(lacked), unknown, looked_at, left_out, rows[looked_at - 1][0] if more else None)


def _lacked(row_ids: Sequence[int]) -> list[LackedLead]:
    asked = select(Lead.public_id, Lead.received_at, Lead.name, Lead.email).where(Lead.id.in_(row_ids))
    return [LackedLead(*row) for row in db.session.execute(asked.order_by(Lead.id.desc()))] if row_ids else []


def _folded(question: Question, value: str) -> str:
    return value.lower() if question.by == "emails" else value


def _place(question: Question, values: frozenset[str]) -> _Place:
    """The rows that are asked about, and which of the values are known there, in one statement."""
    asked = [each for each in values if "\0" not in each]  # PostgreSQL refuses it, and no value has it
    connection, key = db.session.connection(), _KEYS[question.by]
    dialect = connection.dialect.name
    is_asked = bulk.among(dialect, key, "asked")
    of_account = [Interface.account_id == question.account_id, Interface.archived_at.is_(None)]
    if question.only is not None:
        of_account.append(Interface.public_id.in_(question.only))
    found = select(Interface.id, Webhook.id, key).select_from(Interface).where(*of_account)
    if question.webhook:
        is_it = Webhook.public_id == clean(question.webhook), Webhook.removed_at.is_(None)
        found = found.join(Webhook, Webhook.interface_id == Interface.id).where(*is_it)
    else:
        found = found.join(Webhook, and_(Webhook.interface_id == Interface.id, Webhook.is_first))
        found = found.where(Interface.public_id == clean(question.interface))
    if question.by == "webhook_ids":
        found = found.outerjoin(Delivery, and_(Delivery.webhook_id == Webhook.id, is_asked))
    else:
        found = found.outerjoin(Lead, and_(Lead.interface_id == Interface.id, is_asked))
    rows = connection.execute(found.distinct(), {"asked": bulk.ids(dialect, asked)}).all()
    if not rows:
        raise NotFound
    known = frozenset(row[2] for row in rows if row[2] is not None)
    return _Place(rows[0][0], rows[0][1] if question.webhook else None, known)


def _leads(question: Question, place: _Place, after: int | None) -> Select[Any]:
    """Row, key, and why it is left out, of the leads that are asked about, newest first."""
    reasons = [*_LEFT_OUT, _WITHOUT_EMAIL] if question.by == "emails" else _LEFT_OUT
    why = case(*reasons, else_=None)
    found = select(Lead.id, _KEYS[question.by], why).where(Lead.interface_id == place.interface_id)
    if place.webhook_id is not None:
        of_webhook = and_(Delivery.lead_id == Lead.id, Delivery.webhook_id == place.webhook_id)
        found = found.join(Delivery, of_webhook)
    if after is not None:
        found = found.where(Lead.id < after)
    return found.where(*_window(question)).order_by(Lead.id.desc())


def _window(question: Question) -> list[ColumnElement[bool]]:
    """Exact by the time, and a range of rows besides, so that older and newer ones are not read."""
    row = select(Lead.id).where(Lead.account_id == question.account_id).correlate(None).limit(1)
    conditions: list[ColumnElement[bool]] = []
    if question.since:
        since = _possible(question.since)
        first = row.where(Lead.received_at >= since - DISORDER).order_by(Lead.received_at, Lead.id)
        conditions += [Lead.received_at >= since, Lead.id >= first.scalar_subquery()]
    if question.until:
        until = _possible(question.until)
        last = row.where(Lead.received_at < until + DISORDER).order_by(Lead.received_at.desc(), Lead.id.desc())
        conditions += [Lead.received_at < until, Lead.id <= last.scalar_subquery()]
    return conditions


def _possible(at: datetime) -> datetime:
    return min(max(at, EARLIEST), LATEST)
