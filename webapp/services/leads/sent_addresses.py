"""The addresses that leads were sent to: who may not see them must not see them in a receiver's answer either."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select, union

from webapp.extensions import db
from webapp.models import Attempt, Delivery, Webhook


def of_leads(lead_ids: Iterable[int]) -> Mapping[int, set[str]]:
    """By lead id, every address its attempts went to, and the current one: an answer may repeat any of them.

    One statement for a whole page, none without leads. A lead without an address has an empty set.
    """
    asked = list(lead_ids)
    found: dict[int, set[str]] = defaultdict(set)
    if not asked:
        return found
    of_leads = Delivery.lead_id.in_(asked)
    then: Any = select(Delivery.lead_id, Attempt.url).join(Attempt, Attempt.delivery_id == Delivery.id).where(of_leads)
    now: Any = select(Delivery.lead_id, Webhook.url).join(Webhook, Delivery.webhook_id == Webhook.id).where(of_leads)
    for row in db.session.execute(union(then, now.where(Webhook.url.is_not(None)))):
        found[row[0]].add(row[1])
    return found
