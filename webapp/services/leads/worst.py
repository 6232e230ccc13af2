"""The worst delivery of a lead that went to several webhooks, in SQL: its status is the lead's.

Most accounts have one webhook for each interface. There every lead has one delivery at most, which no shadow got, and
the statements of the Leads page ask for none of this. `may_be_one_of_several` says which accounts need it.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, func, or_, select
from sqlalchemy.orm import aliased

from webapp.extensions import db
from webapp.models import Delivery, Status, Webhook
from webapp.models.status import WORST_FIRST, delivery_rules
from webapp.services.webhooks import more
from webapp.webhooks.conditions import SPAM

_Other = aliased(Delivery)


def is_in(of: Any) -> dict[Status, Any]:
    """By status, whether a delivery has it: an expression over the columns of `of`."""
    return delivery_rules(of.retry_at.is_not(None), of.retry_at.is_(None), of.state, of.tries)


def _rank(of: Any) -> ColumnElement[int]:
    rules = is_in(of)
    return case(*((rules[status], number) for number, status in enumerate(WORST_FIRST)))


RANK = _rank(Delivery)  # its place in WORST_FIRST
COUNTS = ~Delivery.shadow
_WORSE = or_(_rank(_Other) < RANK, and_(_rank(_Other) == RANK, _Other.id < Delivery.id))
_OTHERS = select(_Other.id).where(_Other.lead_id == Delivery.lead_id, ~_Other.shadow, _WORSE)
# True for one delivery of each lead that has any: as `Lead.delivery`. It reads the lead's few other deliveries.
IS_WORST = and_(COUNTS, ~_OTHERS.correlate(Delivery).exists())

_NAMES_SPAM = cast(Webhook.connection, Text).contains(f'"{SPAM}"')
_TAKES_SPAM = select(Webhook.id).where(Webhook.account_id == more.ACCOUNT, Webhook.connection.is_not(None), _NAMES_SPAM)
_ASKED = select(or_(more.OTHERS.exists(), _TAKES_SPAM.exists()))


def may_be_one_of_several(account_id: int) -> bool:
    """Whether a delivery of this account may be one of several of its lead, or of a lead in Spam."""
    return bool(db.session.scalar(_ASKED, {"account": account_id}))


def ranks(leads: Any) -> Select[Any]:
    """For each row of `leads`, a subquery with the column `id`: the id, and the rank of its worst delivery or None."""
    counted = and_(Delivery.lead_id == leads.c.id, COUNTS)
    found = select(leads.c.id, func.min(RANK).label("rank")).select_from(leads).outerjoin(Delivery, counted)
    return found.group_by(leads.c.id)
