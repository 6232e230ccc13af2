"""Changes many deliveries of a webhook at once. Each locks the lane's row first, so no result is recorded meanwhile."""

from sqlalchemy import Connection, bindparam, case, null, or_, select, text, update

from webapp.clock import now_sql, utcnow
from webapp.db import bulk
from webapp.delivery import events
from webapp.delivery.ledger import AGAIN, FRESH, Sent
from webapp.delivery.record import REPORT_NOW, report_entry
from webapp.models import Delivery, DeliveryState, Interface, Lane, ReportEntry, ReportKind, Webhook, WebhookState

# The exact text of the partial indexes, as in ledger.py: SQLite uses such an index only for the same text.
PENDING = or_(FRESH, AGAIN)
ON_HOLD = text("deliveries.state = 'held'")
PAUSED_REASON = events.PAUSED_REASON  # the sweep releases by these words, events too
IN_WINDOW = Webhook.maintenance_from.is_(None) & Webhook.maintenance_until.is_not(None)  # maintenance that has begun


_LOCK = update(Lane).where(Lane.webhook_id == bindparam("lane")).values(webhook_id=bindparam("lane"))


def lock_lane(connection: Connection, webhook_id: int) -> None:
    """Locks the lane's row until the transaction ends; by an UPDATE, which locks on both databases."""
    connection.execute(_LOCK, {"lane": webhook_id})


def pause(connection: Connection, webhook_id: int, reason: str) -> bool:
    """Pauses an active webhook and puts its due deliveries on hold, manual retries included; whether it did.

    It does so, too, for one that a maintenance window has paused: the window is over, so its end resumes nothing.
    The lane's row must be locked.
    """
    of_it = update(Webhook).where(Webhook.id == webhook_id)
    columns = {"state": WebhookState.PAUSED, "state_reason": reason[:500], "state_changed_at": utcnow()}
    active = of_it.where(Webhook.state == WebhookState.ACTIVE).values(columns)
    in_window = of_it.where(Webhook.state == WebhookState.PAUSED, IN_WINDOW).values(maintenance_until=null(), **columns)
    pauses = any(connection.execute(statement).rowcount for statement in (in_window, active))
    if pauses:
        forms_changed(connection, webhook_id)
        events.note_of_webhook(connection, webhook_id, events.PAUSED, reason)
    hold(connection, webhook_id)
    return pauses


def forms_changed(connection: Connection, webhook_id: int) -> None:
    """Has every process read the webhooks of this one's interface again before it captures a lead for them."""
    of_webhook = select(Webhook.interface_id).where(Webhook.id == webhook_id).scalar_subquery()
    changed = update(Interface).where(Interface.id == of_webhook)
    connection.execute(changed.values(webhooks_version=Interface.webhooks_version + 1))


def report_pause(connection: Connection, webhook_id: int, sent: Sent) -> None:
    """Makes a report due about a pause that an attempt caused; it waits for no window. If the same delivery pauses the
    webhook again after a resume, it is reported again."""
    entry = bulk.insert(connection.dialect.name, ReportEntry).values(report_entry(webhook_id, sent, ReportKind.PAUSED))
    again = {"attempt_id": entry.excluded.attempt_id, "report_id": None}
    connection.execute(entry.on_conflict_do_update(index_elements=["delivery_id", "kind"], set_=again))
    connection.execute(REPORT_NOW, {"webhook": webhook_id})


def hold(connection: Connection, webhook_id: int) -> int:
    """Puts due deliveries on hold; returns how many. A test fails instead: its page does not wait that long."""
    of_webhook = update(Delivery).where(Delivery.webhook_id == webhook_id)
    connection.execute(of_webhook.where(Delivery.retry_at.is_not(None)).values(retry_at=null()))
    held = case((Delivery.test, DeliveryState.FAILED.value), else_=DeliveryState.ON_HOLD.value)
    return connection.execute(of_webhook.where(PENDING).values(state=held, state_reason=PAUSED_REASON)).rowcount


def resume(connection: Connection, webhook_id: int) -> int:
    """Makes a paused webhook active again, and releases its deliveries on hold, oldest first; returns how many.

    The count of failures restarts at zero. A maintenance window that has begun is over. Nothing changes for a webhook
    that was removed. The lane's row must be locked.
    """
    active = {"state": WebhookState.ACTIVE, "state_reason": "", "state_changed_at": utcnow()}
    planned = case((Webhook.maintenance_from.is_not(None), Webhook.maintenance_until))  # not one that has begun
    resumed = update(Webhook).where(Webhook.id == webhook_id, Webhook.state != WebhookState.ARCHIVED)
    if not connection.execute(resumed.values({**active, "maintenance_until": planned})).rowcount:
        return 0
    connection.execute(update(Lane).where(Lane.webhook_id == webhook_id).values(failures=0, failing_since=None))
    forms_changed(connection, webhook_id)
    return release(connection, webhook_id)


def release(connection: Connection, webhook_id: int) -> int:
    """Makes deliveries on hold due again, oldest first; returns how many. Without a payload one stays on hold, with
    the reason."""
    of_webhook = update(Delivery).where(Delivery.webhook_id == webhook_id, ON_HOLD, Delivery.payload != b"")
    return connection.execute(
        of_webhook.values(state=DeliveryState.PENDING, state_reason="", due_at=now_sql())
    ).rowcount


def cancel(connection: Connection, webhook_id: int, reason: str = "The interface was deleted.") -> int:
    """Cancels the due deliveries of an archived webhook, and those on hold; returns how many."""
    of_webhook = update(Delivery).where(Delivery.webhook_id == webhook_id)
    connection.execute(of_webhook.where(Delivery.retry_at.is_not(None)).values(retry_at=null()))
    waiting = of_webhook.where(or_(PENDING, ON_HOLD))
    return connection.execute(waiting.values(state=DeliveryState.CANCELLED, state_reason=reason)).rowcount
