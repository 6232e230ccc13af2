"""A shadow webhook: compares what its receiver answers with the first webhook's, and takes its place.

To switch over changes only which of the two is the first and which is the shadow. Each keeps its settings, its receiver
and its deliveries: what waits goes where it was promised, in the format it was made in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.orm import aliased, defer

from webapp.delivery import states
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Lead, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.webhooks import editing, webhooks

NEWEST = 25  # leads


class Pair(NamedTuple):
    """A lead at both; `first` is None if the first webhook did not get it."""

    lead: Lead
    first: Delivery | None
    shadow: Delivery

    @property
    def result(self) -> str:
        """Same, Different, or "" while one has no code. Two successes are the same, also with different codes."""
        if self.first is None or self.first.last_code is None or self.shadow.last_code is None:
            return ""
        succeeded = [one.state == DeliveryState.DELIVERED for one in (self.first, self.shadow)]
        return "Same" if all(succeeded) or self.first.last_code == self.shadow.last_code else "Different"


@dataclass(frozen=True)
class Comparison:
    """The newest leads that the shadow got, newest first."""

    first: Webhook
    pairs: Sequence[Pair]

    def number(self, result: str) -> int:
        return sum(pair.result == result for pair in self.pairs)


def compare(shadow: Webhook) -> Comparison:
    """The answers to the newest NEWEST leads, without tests."""
    first, its, own = shadow.interface.webhook, aliased(Delivery), aliased(Delivery)
    query = (
        select(Lead, its, own)
        .join(own, and_(own.lead_id == Lead.id, own.webhook_id == shadow.id))
        .outerjoin(its, and_(its.lead_id == Lead.id, its.webhook_id == first.id))
        .where(Lead.interface_id == shadow.interface_id, ~Lead.test)
        .options(defer(its.payload), defer(own.payload))
        .order_by(Lead.id.desc())
        .limit(NEWEST)
    )
    return Comparison(first, [Pair(*row) for row in db.session.execute(query)])


def switch_over(shadow: Webhook) -> Webhook:
    """Makes a shadow the first webhook of its interface, and the first one its shadow; returns that one.

    Refused for a webhook that is no shadow any more, and for a paused one.
    """
    first = shadow.interface.webhook
    connection = db.session.connection()
    for webhook_id in sorted((first.id, shadow.id)):
        states.lock_lane(connection, webhook_id)
    db.session.refresh(first)
    db.session.refresh(shadow)
    if not shadow.is_shadow or not first.is_first or shadow.removed_at:
        raise Refused("This webhook is not a shadow: there is nothing to switch.")
    if shadow.state != WebhookState.ACTIVE:
        raise Refused("The shadow is paused. Resume it first.")
    shadow.is_first, shadow.is_shadow = True, False
    first.is_first, first.is_shadow = False, True
    db.session.flush()
    db.session.expire(shadow.interface, ["webhooks"])
    webhooks.begin_anew(first.id, shadow.id)  # what a shadow's receiver did before counts no more
    states.forms_changed(connection, shadow.id)
    editing.record("switched_over", shadow, f"The first webhook before: {first.label}")
    return first
