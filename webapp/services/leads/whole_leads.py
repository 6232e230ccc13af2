"""Leads with their answers, deliveries and attempts, as programs read them: few statements for any number of leads."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import aliased, contains_eager, defer, joinedload, selectinload
from werkzeug.exceptions import NotFound

from webapp.db.pages import Page, read_page
from webapp.extensions import db
from webapp.models import Attempt, Delivery, Lead
from webapp.services.intake.answers import clean
from webapp.services.leads import lead_list
from webapp.services.leads.lead_list import Filter

NEWEST = 25  # attempts of a delivery that are read


class Numbered(NamedTuple):
    """An attempt, and which of its delivery's it is: 1 is the first."""

    number: int
    attempt: Attempt


def page(wanted: Filter, after: int | None, size: int) -> Page[Lead, int]:
    """The leads after the one with the id `after`, newest first, in two statements."""
    deliveries = selectinload(Lead.deliveries).options(defer(Delivery.payload), joinedload(Delivery.webhook))
    whole = select(Lead).options(joinedload(Lead.interface, innerjoin=True), deliveries)
    found = lead_list.matching(whole, wanted)
    return read_page(found, lead_list.key(wanted), lambda lead: int(lead.id), before=None, after=after, size=size)


def get(account_id: int, public_id: str) -> Lead:
    """The account's lead with its deliveries, in one statement; NotFound for any other."""
    deliveries = joinedload(Lead.deliveries).options(defer(Delivery.payload), joinedload(Delivery.webhook))
    asked = select(Lead).options(joinedload(Lead.interface, innerjoin=True), deliveries)
    asked = asked.where(Lead.account_id == account_id, Lead.public_id == clean(public_id))
    found = db.session.scalars(asked.execution_options(populate_existing=True)).unique().one_or_none()
    if found is None:
        raise NotFound
    return found


def delivery(account_id: int, message_id: str) -> Delivery:
    """The account's delivery of a lead with this webhook-id; NotFound for any other."""
    lead = contains_eager(Delivery.lead).joinedload(Lead.interface, innerjoin=True)
    asked = select(Delivery).join(Delivery.lead).options(lead, joinedload(Delivery.webhook))
    asked = asked.where(Delivery.account_id == account_id, Delivery.message_id == clean(message_id))
    found = db.session.scalars(asked).one_or_none()
    if found is None:
        raise NotFound
    return found


def attempts(deliveries: Sequence[Delivery]) -> Mapping[int, list[Numbered]]:
    """By delivery id, its attempts, the oldest first; of many, the newest 25. One statement for all deliveries."""
    found: dict[int, list[Numbered]] = defaultdict(list)
    if not deliveries:
        return found
    of_them = Attempt.delivery_id.in_([each.id for each in deliveries])
    number = func.row_number().over(partition_by=Attempt.delivery_id, order_by=Attempt.id).label("number")
    total = func.count().over(partition_by=Attempt.delivery_id).label("total")
    ranked = select(Attempt, number, total).where(of_them).subquery()
    each = aliased(Attempt, ranked)
    newest = select(each, ranked.c.number).where(ranked.c.number > ranked.c.total - NEWEST)
    for attempt, place in db.session.execute(newest.order_by(each.delivery_id, ranked.c.number)):
        found[attempt.delivery_id].append(Numbered(place, attempt))
    return found
