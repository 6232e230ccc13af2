"""Every address that a lead was sent to is known, so that no answer can repeat it to those who may not see it."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from tests.support.factories import captured
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Attempt, Interface, Lead
from webapp.models.delivery import Reason
from webapp.services.leads import sent_addresses

NOW, OLD, OLDER = (f"https://hooks.example.com/{name}" for name in ("now", "old", "older"))


def sent(interface: Interface, *urls: str) -> Lead:
    """A lead with an attempt at each of these addresses."""
    with transaction():
        lead = captured(interface.public_id, {"name": "Ada", "email": "ada@example.com", "phone": "", "message": ""})
        for url in urls:
            at = datetime.now(UTC)
            more = {"started_at": at, "timestamp": 1, "code": 500, "response": "", "truncated": False}
            attempt = Attempt(delivery=lead.deliveries[0], reason=Reason.AUTOMATIC, url=url, **more)
            attempt.response_headers, attempt.duration_ms = [], 1
            db.session.add(attempt)
    return lead


@pytest.mark.parametrize("now", [NOW, None])
def test_the_addresses_of_a_lead_are_those_of_its_attempts_and_the_current_one(
    app: Flask, interface: Interface, now: str | None
) -> None:
    with transaction():
        interface.webhook.url = OLD
    same, moved, waiting = sent(interface, OLD), sent(interface, OLDER, OLDER, OLD), sent(interface)
    with transaction():
        interface.webhook.url = now
    current = {now} if now else set()
    found = sent_addresses.of_leads([same.id, moved.id, waiting.id])
    assert (found[same.id], found[moved.id]) == ({OLD} | current, {OLD, OLDER} | current)
    assert found[waiting.id] == current
    assert sent_addresses.of_leads([]) == {}
