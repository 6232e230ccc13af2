"""What a webhook sent: one page of its deliveries, newest lead first."""

from sqlalchemy import select
from sqlalchemy.orm import contains_eager, defer, joinedload

from webapp.db.pages import Page, read_page
from webapp.extensions import db
from webapp.models import Delivery, Lead, Webhook

SIZE = 25


def page(webhook: Webhook, before: str = "", after: str = "") -> Page[Delivery, str]:
    """`before` and `after` are public ids of leads: the page ends before the one, or begins after the other.

    Unknown ids are ignored. It is read in the order of the interface's leads, by an index that leads have anyway.
    """
    query = (
        select(Delivery)
        .join(Lead, Lead.id == Delivery.lead_id)
        .where(Lead.interface_id == webhook.interface_id, Delivery.webhook_id == webhook.id)
        .options(contains_eager(Delivery.lead), defer(Delivery.payload), joinedload(Delivery.webhook))
    )
    ends = [_cursor(webhook, public_id) for public_id in (before, after)]
    found: Page[Delivery, str] = read_page(
        query, Lead.id, lambda delivery: str(delivery.lead.public_id), before=ends[0], after=ends[1], size=SIZE
    )
    return found


def _cursor(webhook: Webhook, public_id: str) -> int | None:
    if not public_id or "\0" in public_id:
        return None
    own = select(Lead.id).where(Lead.public_id == public_id, Lead.interface_id == webhook.interface_id)
    return db.session.scalar(own)
