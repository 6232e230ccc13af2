"""Leads that come from webhooks: how often one was sent on, so that none goes round in a circle.

A webhook may lead to a form: of another installation, or of ours by an address that we do not know as ours. Such a post
has a `webhook-id`, as of all senders of Standard Webhooks, or our own header `leadhook-hops`. Others do not come here.
"""

import re
from collections.abc import Sequence

from sqlalchemy import exists, select

from webapp.db.transactions import read_autocommit
from webapp.ids import MESSAGE_ID
from webapp.models import Delivery

MOST = 4  # webhooks that may have brought a lead; one that a fifth brings is refused
OURS = (
    "This lead was sent by a webhook of this Leadhook, so it is here already. Change the Lead Webhook URL: "
    "it leads back to a form of the same Leadhook."
)
TOO_MANY = (
    "This lead has come through five webhooks from form to form, so it goes round in a circle. "
    "Change one of the Lead Webhook URLs."
)

_NUMBER = re.compile(" *[0-9]+ *")


class Loop(Exception):
    """A post goes round in a circle and must not become a lead. The text is a sentence for the people who sent it."""

    def __init__(self, sentence: str, hops: int) -> None:
        super().__init__(sentence)
        self.hops = hops


def of_post(message_id: str, hops: str) -> int:
    """How many webhooks brought a post here, the last one included, by its headers `webhook-id` and `leadhook-hops`.

    Each is empty where it is missing. Proxies may join several of them: any id and the largest number count. Loop if
    we issued that webhook-id ourselves, or if there are more than MOST.
    """
    count = 1 + max((int(part) for part in hops[:100].split(",") if _NUMBER.fullmatch(part)), default=0)
    if count > MOST:
        raise Loop(TOO_MANY, count)
    found = MESSAGE_ID.findall(message_id[:500])
    if found and _are_ours(found):
        raise Loop(OURS, count)
    return count


def _are_ours(message_ids: Sequence[str]) -> bool:
    with read_autocommit() as connection:
        return bool(connection.scalar(select(exists().where(Delivery.message_id.in_(message_ids)))))
