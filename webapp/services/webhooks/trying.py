"""What settings that are not saved yet would do with the last leads. Computed only: nothing is sent or saved."""

import difflib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from webapp.extensions import db
from webapp.models import Lead, Webhook
from webapp.services.webhooks import connections, shapes, shown
from webapp.services.webhooks.connections import Settled
from webapp.services.webhooks.editing import Plan
from webapp.services.webhooks.shapes import UNRENDERED, Shape
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.payload import payload_of

LEADS = 20
LONGEST = 20_000  # characters that are compared line by line
SECONDS = 3.0  # for all leads; what is left then is not tried


@dataclass(frozen=True)
class Made:
    """What a webhook makes of a lead. `body` None: it does not get the lead. `fault`: why the lead would be held."""

    body: str | None = None
    content_type: str = shown.JSON
    fault: str = ""


@dataclass(frozen=True)
class TriedLead:
    """A lead with the settings of the form (`now`) and with the saved ones (`before`); how the bodies differ."""

    lead: Lead
    now: Made
    before: Made
    difference: Sequence[str] = ()

    @property
    def words(self) -> str:
        """What changes for this lead."""
        if self.now.body is None and self.before.body is None:
            return "not sent today either"
        if self.now == self.before:
            return "same as today"
        if self.before.body is None:
            return "not sent today"
        return "sent today" if self.now.body is None else "another body than today"


@dataclass(frozen=True)
class Trial:
    """`request`: how the leads would be sent, with masks for secrets; its body is that of the first that is sent.

    `is_cut`: the older leads were not tried, because the template takes long.
    """

    request: Message | None
    leads: Sequence[TriedLead]
    is_cut: bool = False

    @property
    def sent(self) -> int:
        """How many would be sent."""
        return sum(tried.now.body is not None for tried in self.leads)


def on_last_leads(webhook: Webhook, plan: Plan, limit: int = LEADS) -> Trial:
    """The newest leads of its interface, without tests. Refused, as when saving, for settings that cannot be used."""
    interface, deadline = webhook.interface, time.monotonic() + SECONDS
    settled = connections.settle(interface, plan.wanted, webhook)
    shape = shapes.made(settled.connection or {})  # checked by then
    before = shapes.shape_of(webhook)
    newest = select(Lead).where(Lead.interface_id == interface.id, ~Lead.test).order_by(Lead.id.desc())
    found: list[TriedLead] = []
    is_cut = False
    for lead in db.session.scalars(newest.limit(limit)):
        if is_cut := bool(found) and time.monotonic() > deadline:
            break
        body = payload_of(lead, interface)
        found.append(_tried(lead, _made(shape, lead, body), _made(before, lead, body)))
    return Trial(_request(plan, settled, found), found, is_cut)


def _tried(lead: Lead, now: Made, before: Made) -> TriedLead:
    if now == before or None in (now.body, before.body):
        return TriedLead(lead, now, before)
    return TriedLead(lead, now, before, _difference(before.body or "", now.body or ""))


def _made(shape: Shape, lead: Lead, body: bytes) -> Made:
    """As capture.py decides when a lead arrives."""
    is_spam = lead.spam is not None
    if is_spam and not shape.takes_spam:
        return Made()
    columns: Mapping[str, Any] | None = shape.of_lead(body, spam=is_spam)
    if columns is None:
        return Made()
    payload = columns.get("payload", body)
    if payload == UNRENDERED:
        return Made(fault=columns["state_reason"])
    return Made(_readable(payload), columns.get("content_type") or shown.JSON)


def _readable(payload: bytes) -> str:
    """JSON with line breaks; of a form, one field a line."""
    text = payload.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text.replace("&", "\n&")


def _difference(before: str, now: str) -> Sequence[str]:
    """Lines with + and - before those that are new and gone; empty for texts that are the same or too long."""
    if max(len(before), len(now)) > LONGEST:
        return ()
    lines = list(difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=1))
    return lines[2:]


def _request(plan: Plan, settled: Settled, leads: Sequence[TriedLead]) -> Message | None:
    first = next((tried for tried in leads if tried.now.body is not None), None)
    if first is None or not plan.url:
        return None
    message = Message("POST", plan.url, {}, (first.now.body or "").encode(), "msg_…", 0, 0)
    stored = settled.connection or {}
    return shown.request(settled.authentication, stored, settled.secrets, message, first.now.content_type)
