"""Where a webhook leads, pausing and resuming it, and what waits for it."""

from sqlalchemy import Connection

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db.transactions import after_commit, end_transaction
from webapp.delivery import lanes, states
from webapp.extensions import db
from webapp.models import Lane, Webhook, WebhookState
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.reports import reports
from webapp.webhooks.addresses import BlockedAddress, UnusableURL, parse_target, resolve

LOOKUP_SECONDS = 2.0  # somebody waits for the page, and a name that hangs must not keep a web thread


def vet(url: str | None) -> str:
    """A warning for whoever is about to save this URL, empty where there is nothing to say.

    Refused where it cannot be one, and where a webhook may not reach what its name leads to now. Ends the transaction
    at hand, for it may look up for 2 s. This is a courtesy: what counts is looked up and vetted at every connection.
    """
    end_transaction()
    if not url:
        return ""
    try:
        target = parse_target(url)
        resolve(target.host, target.port, LOOKUP_SECONDS, current_config.allowed_networks)
    except (UnusableURL, BlockedAddress) as fault:
        raise Refused(f"{str(fault).rstrip('.')}.", "webhook_url") from None
    except TimeoutError:
        return f"The name {target.host} could not be looked up within {LOOKUP_SECONDS:g} s. Check it for slips."
    except OSError:
        return f"The name {target.host} does not resolve at the moment. Check it for slips."
    return ""


def pause(webhook: Webhook, reason: str) -> None:
    """Stops sending: what waits, and what comes, is held until `resume`. The account owner is mailed the reason."""
    connection = _locked(webhook)
    if not states.pause(connection, webhook.id, reason):
        return
    db.session.refresh(webhook)
    reports.note_paused(webhook, reason)
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
