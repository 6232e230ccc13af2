"""Webhooks: check the URL, pause, resume, and release held deliveries."""

from sqlalchemy import Connection

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db.transactions import after_commit, end_transaction
from webapp.delivery import rings, states
from webapp.extensions import db
from webapp.models import Lane, Webhook, WebhookState
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.reports import reports
from webapp.webhooks.addresses import BlockedAddress, UnusableURL, parse_url, resolve

LOOKUP_SECONDS = 2.0  # a person waits for the page, and a slow lookup must not block a web thread


def check_reachable(url: str | None) -> str:
    """A warning for the person who saves this URL; empty if there is none.

    Refused for an unusable URL, or if its name leads to an address that webhooks may not reach. Ends the current
    transaction first, because the lookup can take 2 s. This check only helps the person: the check that protects is
    made at every connection.
    """
    end_transaction()
    if not url:
        return ""
    try:
        destination = parse_url(url)
        resolve(destination.host, destination.port, LOOKUP_SECONDS, current_config.allowed_networks)
    except (UnusableURL, BlockedAddress) as fault:
        raise Refused(f"{str(fault).rstrip('.')}.", "webhook_url") from None
    except TimeoutError:
        return f"The name {destination.host} could not be looked up within {LOOKUP_SECONDS:g} s. Check the spelling."
    except OSError:
        return f"The name {destination.host} does not resolve at the moment. Check the spelling."
    return ""


def pause(webhook: Webhook, reason: str) -> None:
    """Stops sending: waiting and new deliveries are held until `resume`. Mails the reason to the account owner."""
    connection = _locked(webhook)
    if not states.pause(connection, webhook.id, reason):
        return
    db.session.refresh(webhook)
    reports.note_paused(webhook, reason)
    _record("interface.paused", webhook)


def resume(webhook: Webhook) -> int:
    """Starts sending again, held leads in the order they arrived; returns how many were held.

    The count of failures restarts at zero.
    """
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
    """Makes held leads due again after their cause (no URL, a revoked token) is fixed; returns how many."""
    if webhook.state != WebhookState.ACTIVE or not webhook.url:
        return 0
    return _release(_locked(webhook), webhook)


def _release(connection: Connection, webhook: Webhook) -> int:
    released = states.release(connection, webhook.id)
    webhook_id = webhook.id
    after_commit(lambda: rings.ring_unless_locked(webhook_id))
    return released


def _record(action: str, webhook: Webhook) -> None:
    interface = webhook.interface
    audit.record(action, webhook.account_id, interface.name, target_id=interface.public_id)


def _locked(webhook: Webhook) -> Connection:
    """The session's connection, with the webhook's lane locked: no worker can record results at the same time."""
    db.session.flush()
    connection = db.session.connection()
    states.lock_lane(connection, webhook.id)
    return connection
