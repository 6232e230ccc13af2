"""*Examine my receiver*: begins it, and makes its test leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from webapp.clock import utcnow
from webapp.db.transactions import after_commit
from webapp.delivery import rings
from webapp.delivery.examining import SIGNED, Letter
from webapp.extensions import db
from webapp.ids import message_id
from webapp.models import Interface, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.intake import capture, consents
from webapp.services.interfaces import field_types, interfaces
from webapp.services.webhooks import editing
from webapp.services.webhooks.shapes import shape_of
from webapp.webhooks.examinations import TITLES, WARNING, Case
from webapp.webhooks.payload import payload_of

LETTERS = 7
PATIENCE = timedelta(minutes=4)  # the longest examination: eight deadlines; after this it was lost

__all__ = ["WARNING", "Seen", "begin", "can_be_examined", "is_running", "letters_of", "seen"]


def can_be_examined(webhook: Webhook) -> bool:
    """Whether its requests are signed, so that a receiver can verify something."""
    return bool(webhook.url) and webhook.authentication in SIGNED


def begin(webhook: Webhook) -> None:
    """Has a worker examine the receiver; Refused if there is nothing to examine, or it is being examined."""
    if not can_be_examined(webhook):
        raise Refused(
            "Choose an authentication with a signature first: without one, a receiver cannot verify anything."
        )
    if webhook.state == WebhookState.PAUSED:
        raise Refused("This webhook is paused. Resume it, then examine its receiver.")
    if is_running(webhook):
        raise Refused("The receiver is being examined right now.")
    webhook.examination = {"since": utcnow().isoformat()}
    editing.record("examined", webhook)
    webhook_id = webhook.id
    after_commit(lambda: rings.ring_examination(webhook_id))


def is_running(webhook: Webhook) -> bool:
    """Whether a verdict is expected."""
    since = (webhook.examination or {}).get("since")
    return since is not None and utcnow() - datetime.fromisoformat(since) < PATIENCE


class ShownFinding(NamedTuple):
    """What one of the eight answers says. `result`: Right, Wrong or Not clear; `code` None: the lead was not sent."""

    title: str
    result: str
    code: int | None
    words: str


@dataclass(frozen=True)
class Seen:
    """What pages show. `runs`: a verdict is expected. `lost`: it was, but no worker gave one."""

    runs: bool
    lost: bool
    verified: bool
    headline: str
    at: datetime | None
    findings: Sequence[ShownFinding]


def seen(webhook: Webhook) -> Seen | None:
    """The verdict, or that one is expected. None if its receiver was not examined since its URL or secret changed."""
    found = webhook.examination
    if found is None or not can_be_examined(webhook):
        return None
    if "since" in found:
        runs = is_running(webhook)
        return Seen(runs, not runs, verified=False, headline="", at=None, findings=())
    results = {True: "Right", False: "Wrong", None: "Not clear"}
    findings = [
        ShownFinding(TITLES[Case(each["case"])], results[each["is_good"]], each["code"], each["words"])
        for each in found["findings"]
    ]
    at = datetime.fromisoformat(found["at"]) if found.get("at") else None
    return Seen(False, False, bool(found["verified"]), found["headline"], at, findings)


def letters_of(webhook_id: int) -> list[Letter]:
    """Test leads with every field of the form, in the webhook's own format. They are not stored. None for a webhook
    that was removed meanwhile."""
    webhook = db.session.get(Webhook, webhook_id)
    if webhook is None or webhook.removed_at or not can_be_examined(webhook):
        return []
    interface, shape = webhook.interface, shape_of(webhook)
    return [_letter(_lead(interface), interface, shape) for _ in range(LETTERS)]


def _letter(lead: capture.NewLead, interface: Interface, shape: Any) -> Letter:
    body = payload_of(lead, interface)
    shaped = shape.of_lead(body, spam=False, always=True) or {}
    return Letter(message_id(), shaped.get("payload", body), shaped.get("content_type"))


def _lead(interface: Interface) -> capture.NewLead:
    asked = [field for field in interface.fields if field.type in field_types.SENT]
    fields = {field.key: field_types.sample(field) for field in asked}
    source = {"page_url": interfaces.form_url(interface)}
    given = consents.given(asked, fields, source["page_url"])
    return capture.new_lead(interface, fields, source, consents=given, test=True)
