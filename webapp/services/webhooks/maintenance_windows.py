"""Plans a webhook's maintenance window, and ends it early."""

from datetime import datetime, timedelta

from webapp.clock import moment
from webapp.db import database_clock
from webapp.delivery import states
from webapp.extensions import db
from webapp.models import Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks import editing

LONGEST = timedelta(days=7)


def plan(webhook: Webhook, begins: datetime, ends: datetime) -> None:
    """Holds the webhook's leads between these two times, with their time zone, and sends them after that, in order.

    Refused for times that are over, in the wrong order or too far apart, and while a window lasts.
    """
    states.lock_lane(db.session.connection(), webhook.id)  # the sweep may begin or end one right now
    db.session.refresh(webhook)
    now = database_clock.now()
    if webhook.maintenance_until is not None and webhook.maintenance_from is None:
        raise Refused("A window lasts right now. End it first.")
    if ends <= begins or ends <= now:
        raise Refused("The window must end after it begins, and in the future.", "maintenance_until")
    if ends - max(begins, now) > LONGEST:
        raise Refused(f"A window lasts {LONGEST.days} days at most. Or pause the webhook.", "maintenance_until")
    webhook.maintenance_from, webhook.maintenance_until = begins.timestamp(), ends.timestamp()
    editing.record("maintenance_planned", webhook)


def cancel(webhook: Webhook) -> None:
    """Ends the window now: the sweep releases what is held within seconds. Nothing happens without one."""
    states.lock_lane(db.session.connection(), webhook.id)
    db.session.refresh(webhook)
    if webhook.maintenance_until is None:
        return
    if webhook.maintenance_from is None:
        webhook.maintenance_until = database_clock.now().timestamp()
    else:
        webhook.maintenance_from = webhook.maintenance_until = None
    editing.record("maintenance_ended", webhook)


def of(webhook: Webhook) -> tuple[datetime | None, datetime] | None:
    """When the window begins (None: it has begun) and ends; None without a window."""
    if webhook.maintenance_until is None:
        return None
    begins = webhook.maintenance_from
    return (None if begins is None else moment(begins)), moment(webhook.maintenance_until)
