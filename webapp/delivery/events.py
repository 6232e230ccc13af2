"""Events of an account, for the one URL that it may name for them.

An event is a delivery like any other, without a lead: signed, sent, retried and shown in the same way. The sweep rings
for it, within seconds. There is no event about the webhook of the events itself, and none about a shadow.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from webapp.clock import now_sql
from webapp.db import bulk
from webapp.delivery.ledger import ENDS_IN_FAILURE, Move, Sent
from webapp.ids import message_id, message_id_after
from webapp.models import Delivery, DeliveryState, Interface, Lead, Webhook, WebhookState
from webapp.webhooks.payload import event_payload

FAILED, PAUSED, RECOVERED, SPAM = "delivery.failed", "webhook.paused", "webhook.recovered", "lead.spam"
ALL = (FAILED, PAUSED, RECOVERED, SPAM)
PAUSED_REASON = "The webhook is paused."


def note(
    connection: Connection, account_id: int, event: str, found: Iterable[Mapping[str, Any]], ids: Iterable[str] = ()
) -> None:
    """Writes one event for each of `found`, its data, in the current transaction, if the account wants this event.

    `ids`: the message ids of the events, in the same order. One that is there already is not written again.
    """
    asked = select(Webhook.id, Webhook.url, Webhook.state, Webhook.connection).where(
        Webhook.account_id == account_id, ~Webhook.is_first, Webhook.interface_id.is_(None)
    )
    webhook = connection.execute(asked.where(Webhook.removed_at.is_(None))).first()
    if webhook is None or not webhook.url or event not in (webhook.connection or {}).get("events", ALL):
        return
    on_hold, given = webhook.state == WebhookState.PAUSED, iter(ids)
    for data in found:
        columns = {
            "message_id": next(given, "") or message_id(),
            "account_id": account_id,
            "webhook_id": webhook.id,
            "event": event,
            "payload": event_payload(event, data),
            "test": False,
            "tries": 0,
            "state": DeliveryState.ON_HOLD if on_hold else DeliveryState.PENDING,
            "state_reason": PAUSED_REASON if on_hold else "",
            "due_at": now_sql(),
        }
        connection.execute(bulk.insert(connection.dialect.name, Delivery).values(columns).on_conflict_do_nothing())


def note_of_webhook(connection: Connection, webhook_id: int, event: str, reason: str) -> None:
    """An event about a webhook: it was paused, or its receiver takes leads again. `reason`: a sentence."""
    asked = select(*_ABOUT, Webhook.account_id).join(Interface, Interface.id == Webhook.interface_id)
    row = connection.execute(asked.where(Webhook.id == webhook_id, ~Webhook.is_shadow)).first()
    if row is not None:
        note(connection, row.account_id, event, [{**_about(row), "reason": reason}])


def note_failures(connection: Connection, account_id: int, moves: Sequence[tuple[Sent, Move]]) -> None:
    """An event about each delivery that will not be tried again, unless it was cancelled meanwhile. Call it after the
    record, in its transaction.

    A record whose commit succeeded, but without an answer, is made again. So the event's id is that of its attempt.
    """
    final = {sent.due.id: sent for sent, goes in moves if goes.state in ENDS_IN_FAILURE and sent.due.retry_at is None}
    asked = select(*_ABOUT, Delivery.id, Delivery.message_id, Lead.public_id.label("lead")).select_from(Delivery)
    asked = asked.join(Webhook, Webhook.id == Delivery.webhook_id).join(Lead, Lead.id == Delivery.lead_id)
    asked = asked.join(Interface, Interface.id == Lead.interface_id).where(Delivery.state != DeliveryState.CANCELLED)
    found = [(row, final[row.id]) for row in connection.execute(asked.where(Delivery.id.in_(final)))]
    ids = [message_id_after(sent.attempt_id) for _, sent in found]
    note(connection, account_id, FAILED, [{**_about(row), **_failure(row, sent)} for row, sent in found], ids)


def note_spam(connection: Connection, found: Iterable[tuple[Interface, Any]]) -> None:
    """An event about each lead that was taken for spam."""
    for interface, lead in found:
        about = {"lead": {"id": lead.public_id}, "interface": {"id": interface.public_id, "name": interface.name}}
        note(connection, interface.account_id, SPAM, [{**about, "reason": lead.spam}])


_ABOUT = (
    Webhook.public_id.label("webhook"),
    Webhook.name.label("webhook_name"),
    Interface.public_id.label("interface"),
    Interface.name.label("interface_name"),
)


def _about(row: Any) -> dict[str, Any]:
    """Without the webhook's URL, which may hold a secret."""
    webhook = {"id": row.webhook, "name": row.webhook_name or ""}
    return {"webhook": webhook, "interface": {"id": row.interface, "name": row.interface_name}}


def _failure(row: Any, sent: Sent) -> dict[str, Any]:
    outcome = sent.outcome
    failure = {"code": outcome.code, "error": outcome.error, "tries": sent.due.tries + 1}
    return {"lead": {"id": row.lead}, "delivery": {"message_id": row.message_id, **failure}}
