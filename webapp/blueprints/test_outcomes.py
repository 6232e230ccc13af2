"""What a page shows of a test lead: its attempt, its token, and whether it is still waited for."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import render_template

from webapp.clock import utcnow
from webapp.extensions import db
from webapp.models import ApiKey, Delivery, Interface, Status
from webapp.services.webhooks import shown
from webapp.services.webhooks.connections import ORDINARY
from webapp.webhooks.outcome import NO_ANSWER

PATIENCE = timedelta(seconds=45)  # how long a page polls for a test's outcome: longer than the longest attempt
PHRASES = {status.value: status.phrase for status in HTTPStatus}


def page(template: str, interface: Interface, delivery: Delivery) -> str:
    """The template with the delivery of a test lead."""
    attempt = delivery.attempts[0] if delivery.attempts else None
    token = db.session.get(ApiKey, attempt.signed_with_id) if attempt and attempt.signed_with_id else None
    waits = delivery.status == Status.QUEUED
    late = waits and utcnow() - delivery.lead.received_at > PATIENCE
    context: dict[str, Any] = {"attempt": attempt, "token": token, "waits": waits, "late": late, "phrase": PHRASES}
    context["proof"] = shown.title(delivery.webhook) if delivery.webhook.authentication not in ORDINARY else ""
    context["sent"] = shown.test_request(delivery, attempt) if attempt else None
    return render_template(template, interface=interface, delivery=delivery, no_answer=NO_ANSWER, **context)
