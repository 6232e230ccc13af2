"""Makes the payloads that could not be made when their leads came, once the webhook's template was changed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from webapp.delivery import states
from webapp.extensions import db
from webapp.models import Delivery, Webhook
from webapp.services.webhooks.shapes import Shape, shape_of
from webapp.webhooks.payload import payload_of

MOST = 1000  # of one webhook at a time; the next save makes the rest


def render_again(webhook: Webhook) -> int:
    """Makes the missing payloads of a webhook's deliveries on hold, oldest first; returns how many are made now.

    The others keep the new reason. The lane must be locked.
    """
    missing = select(Delivery).where(Delivery.webhook_id == webhook.id, states.ON_HOLD, Delivery.payload == b"")
    waiting = db.session.scalars(missing.order_by(Delivery.id).limit(MOST)).all()
    shape = shape_of(webhook) if waiting else Shape()
    made = 0
    for delivery in waiting:
        body = payload_of(delivery.lead, webhook.interface)
        columns: Mapping[str, Any] = shape.of_lead(body, spam=False, always=True) or {}
        payload = columns.get("payload", body)
        db.session.execute(
            update(Delivery)
            .where(Delivery.id == delivery.id)
            .values(
                payload=payload,
                content_type=columns.get("content_type"),
                state_reason=columns.get("state_reason", delivery.state_reason),
            )
        )
        made += bool(payload)
    return made
