"""Pausing and resuming a webhook, and what waits for it."""

from sqlalchemy import Connection

from webapp.clock import utcnow
from webapp.delivery import lanes, states
from webapp.extensions import db
from webapp.models import Lane, Webhook, WebhookState
from webapp.services import audit
from webapp.transaction import after_commit


def pause(webhook: Webhook, reason: str) -> None:
    """Stops sending: what waits, and what comes, is held until `resume`."""
    connection = _locked(webhook)
    states.pause(connection, webhook.id, reason)
    db.session.refresh(webhook)
    _record("interface.paused", webhook)


def resume(webhook: Webhook) -> int:
    """Sends again, held leads first come first served; returns how many were held. Counting failures begins anew."""
    connection = _locked(webhook)
    webhook.state = WebhookState.ACTIVE
    webhook.state_reason = ""
    webhook.state_changed_at = utcnow()
    lane = db.session.get_one(Lane, webhook.id)
    lane.failures = 0
    lane.failing_since = None
    db.session.flush()
    _record("interface.resumed", webhook)
    return _release(connection, webhook)


def release_held(webhook: Webhook) -> int:
    """Makes held leads due again once what held them (no URL, a revoked token) is mended; returns how many."""
    if webhook.state != WebhookState.ACTIVE or not webhook.url:
        return 0
    return _release(_locked(webhook), webhook)


def _release(connection: Connection, webhook: Webhook) -> int:
    released = states.release(connection, webhook.id)
    webhook_id = webhook.id
    after_commit(lambda: lanes.ring_unless_held(webhook_id))
    return released


def _record(action: str, webhook: Webhook) -> None:
    interface = webhook.interface
    audit.record(action, webhook.account_id, interface.name, target_id=interface.public_id)


def _locked(webhook: Webhook) -> Connection:
    """The session's connection, the webhook's lane locked on it: nothing is recorded while its deliveries change."""
    db.session.flush()
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    return connection
