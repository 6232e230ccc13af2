"""Deliveries: what a webhook gets for a lead, and every attempt to send it."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from webapp.blueprints.api.shapes import Moment, moment
from webapp.models import Delivery, Scope
from webapp.services.leads import whole_leads
from webapp.services.leads.whole_leads import Numbered
from webapp.web.api import keys
from webapp.web.api.operations import operation
from webapp.webhooks import shown_addresses

STATUS = "delivered, queued, retrying, failed, held, cancelled; later versions may have more."


class WebhookName(msgspec.Struct):
    id: str
    name: str


class AttemptResource(msgspec.Struct):
    id: str
    number: Annotated[int, Meta(description="1 is the first.")]
    at: Moment
    reason: Annotated[str, Meta(description="automatic, retry or test; later versions may have more.")]
    url: Annotated[str, Meta(description="Scheme and host: the rest may hold a secret.")]
    code: Annotated[int, Meta(description="The HTTP status; 999: no answer came, and response says why.")]
    error: Annotated[str | None, Meta(description="What kind of error it was, such as timeout; null for none.")]
    duration_ms: int
    response: Annotated[str, Meta(description="The body of the answer, its first 16 KB.")]
    truncated: Annotated[bool, Meta(description="Whether the answer went on.")]


class DeliverySummary(msgspec.Struct):
    id: Annotated[str, Meta(description="The webhook-id: the same in every attempt.")]
    webhook: WebhookName
    status: Annotated[str, Meta(description=STATUS)]
    reason: Annotated[str | None, Meta(description="Why it is held.")]
    next_at: Annotated[Moment | None, Meta(description="When the next automatic attempt is due.")]
    last_code: int | None
    last_at: Moment | None


class LeadDelivery(DeliverySummary):
    attempts: Annotated[list[AttemptResource], Meta(description="The newest 25, the oldest of them first.")]


class DeliveryResource(LeadDelivery):
    lead: str
    payload: Annotated[str, Meta(description="The body that is sent.")]
    content_type: str


SUMMARY: dict[str, Any] = {
    "id": "msg_01m83pph3v2r0yfay9n7db9hyk",
    "webhook": {"id": "wh_3fWq8Zt0LmXa", "name": "Lead Webhook"},
    "status": "delivered",
    "reason": None,
    "next_at": None,
    "last_code": 200,
    "last_at": "2026-11-23T08:00:00.311Z",
}
ATTEMPT = {
    "id": "att_01m83pph5d3s1zgbz0p8ec0jzm",
    "number": 1,
    "at": "2026-11-23T08:00:00.180Z",
    "reason": "automatic",
    "url": "https://crm.example.com/…",
    "code": 200,
    "error": None,
    "duration_ms": 131,
    "response": "ok",
    "truncated": False,
}
OF_LEAD = {**SUMMARY, "attempts": [ATTEMPT]}
EXAMPLE = {
    **OF_LEAD,
    "lead": "lead_01m83pph3v0019fd3g78e43pkn",
    "payload": '{"type":"lead.created","timestamp":"2026-11-23T08:00:00.123Z","data":{}}',
    "content_type": "application/json",
}


@operation(
    "GET",
    "/deliveries/<delivery_id>",
    "Get a delivery",
    tag="Deliveries",
    scope=Scope.READ,
    answer=DeliveryResource,
    example=EXAMPLE,
)
def get_delivery(delivery_id: str) -> DeliveryResource:
    delivery = whole_leads.delivery(keys.account_id(), delivery_id)
    keys.check_reach(delivery.lead.interface.public_id)
    found = whole_leads.attempts([delivery])[delivery.id]
    return DeliveryResource(
        **summary(delivery),
        attempts=attempts(delivery, found),
        lead=delivery.lead.public_id,
        payload=delivery.payload.decode("utf-8", "replace"),
        content_type=delivery.content_type or "application/json",
    )


def summary(delivery: Delivery) -> dict[str, Any]:
    """The values of a DeliverySummary."""
    status = delivery.status
    return {
        "id": delivery.message_id,
        "webhook": WebhookName(delivery.webhook.public_id, delivery.webhook.label),
        "status": status.slug,
        "reason": delivery.state_reason or None,
        "next_at": moment(delivery.planned_at),
        "last_code": delivery.last_code,
        "last_at": moment(delivery.last_at),
    }


def attempts(delivery: Delivery, found: Sequence[Numbered]) -> list[AttemptResource]:
    """Addresses and answers as a person sees them who may not open the Lead Generation tab."""
    urls = {delivery.webhook.url, *(each.attempt.url for each in found)}
    return [
        AttemptResource(
            id=attempt.id,
            number=number,
            at=utc,
            reason=attempt.reason.value,
            url=shown_addresses.CUT.address(attempt.url),
            code=attempt.code,
            error=attempt.error,
            duration_ms=attempt.duration_ms,
            response=shown_addresses.CUT.answer(attempt.response, urls),
            truncated=attempt.truncated,
        )
        for number, attempt in found
        if (utc := moment(attempt.started_at))
    ]
