"""The health of each webhook of some interfaces: the word of the Interfaces page, and a sentence that says more."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import contains_eager

from webapp.clock import moment, utc
from webapp.extensions import db
from webapp.models import Webhook
from webapp.services.interfaces.interface_list import HEALTH, Health


class WebhookHealth(NamedTuple):
    """`says`: since when, or why; empty where the word says all."""

    webhook: Webhook
    health: Health
    says: str


def of_interfaces(interface_ids: Sequence[int]) -> Mapping[int, list[WebhookHealth]]:
    """By interface, the first webhook first. One statement for all."""
    found: dict[int, list[WebhookHealth]] = defaultdict(list)
    asked = select(Webhook, HEALTH).join(Webhook.lane).options(contains_eager(Webhook.lane))
    asked = asked.where(Webhook.interface_id.in_(interface_ids), Webhook.removed_at.is_(None))
    for webhook, word in db.session.execute(asked.order_by(Webhook.is_first.desc(), Webhook.id)):
        health = Health(word)
        found[webhook.interface_id].append(WebhookHealth(webhook, health, _says(health, webhook)))
    return found


def _says(health: Health, webhook: Webhook) -> str:
    lane = webhook.lane
    if health == Health.NO_WEBHOOK:
        return "It has no Lead Webhook URL, so it gets no leads."
    if health == Health.PAUSED:
        return webhook.state_reason
    if health == Health.RESTING:
        return f"The receiver asked for a rest{_when(' until', lane.rests_until)}."
    if health == Health.FAILING:
        failed = "1 attempt" if lane.failures == 1 else f"{lane.failures:,} attempts in a row"
        return f"{failed} failed{_when(' since', lane.failing_since)}."
    if health == Health.HEALTHY and lane.succeeded_at:
        return f"The last good answer came{_when(' at', lane.succeeded_at)}."
    return ""


def _when(word: str, epoch: float | None) -> str:
    return f"{word} {utc(moment(epoch))}" if epoch else ""
