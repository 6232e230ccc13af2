"""Maintenance windows: a webhook holds its leads while its receiver is worked on, and then sends them in order.

A window that has begun has no `maintenance_from` any more: so a person who resumes the webhook, or pauses it for
another reason, ends it.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, null, select, update

from webapp.clock import moment, now_sql
from webapp.delivery import states
from webapp.models import Webhook, WebhookState

REASON = "Maintenance"
_BEGINS = Webhook.maintenance_from <= now_sql()
_ENDS = Webhook.maintenance_from.is_(None) & (Webhook.maintenance_until <= now_sql())
IS_DUE = _BEGINS | _ENDS  # a window has to begin or to end now
_NONE = {"maintenance_from": null(), "maintenance_until": null()}


def due(connection: Connection) -> Sequence[int]:
    """The webhooks with a window that has to begin or to end now."""
    return connection.scalars(select(Webhook.id).where(IS_DUE)).all()


def apply(connection: Connection, webhook_id: int) -> None:
    """Begins or ends the window of a webhook, if its time has come."""
    states.lock_lane(connection, webhook_id)
    _begin(connection, webhook_id)
    _end(connection, webhook_id)


def end_with_pause(connection: Connection, webhook_id: int, reason: str) -> None:
    """Ends a window that has begun, if there is one, with its webhook paused: a person wants it so. The lane's row must
    be locked."""
    lasts = Webhook.maintenance_from.is_(None) & Webhook.maintenance_until.is_not(None)
    own = update(Webhook).where(Webhook.id == webhook_id, Webhook.state == WebhookState.PAUSED, lasts)
    connection.execute(own.values({**_NONE, "state_reason": reason[:500]}))


def _begin(connection: Connection, webhook_id: int) -> None:
    of_it = Webhook.id == webhook_id
    asked = select(Webhook.maintenance_until, Webhook.state).where(
        of_it, _BEGINS, Webhook.maintenance_until.is_not(None)
    )
    row = connection.execute(asked).one_or_none()
    if row is None:
        return
    if row.state != WebhookState.ACTIVE:  # it was paused before, and stays so
        connection.execute(update(Webhook).where(of_it).values(_NONE))
        return
    states.pause(connection, webhook_id, f"{REASON} until {moment(row.maintenance_until):%d %b, %H:%M} UTC.")
    connection.execute(update(Webhook).where(of_it).values(maintenance_from=null()))


def _end(connection: Connection, webhook_id: int) -> None:
    over = Webhook.id == webhook_id, _ENDS
    state = connection.execute(select(Webhook.state, Webhook.state_reason).where(*over)).one_or_none()
    if state is None:
        return
    connection.execute(update(Webhook).where(*over).values(_NONE))
    if state.state == WebhookState.PAUSED and state.state_reason.startswith(REASON):
        states.resume(connection, webhook_id)
