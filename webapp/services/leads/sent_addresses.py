"""The addresses that leads were sent to: who may not see them must not see them in a receiver's answer either."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import and_, bindparam, select

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
    # The ids are part of the statement: five hundred parameters of an export would take longer than the rest.
    of_leads = Delivery.lead_id.in_(bindparam("ids", asked, expanding=True, literal_execute=True))
    urls = select(Delivery.lead_id, Webhook.url, Attempt.url).join(Webhook, Delivery.webhook_id == Webhook.id)
    elsewhere = and_(Attempt.delivery_id == Delivery.id, Attempt.url.is_distinct_from(Webhook.url))
    urls = urls.outerjoin(Attempt, elsewhere).where(of_leads)
    for lead_id, now, then in db.session.connection().execute(urls).all():
        found[lead_id].update(filter(None, (now, then)))
    return found
