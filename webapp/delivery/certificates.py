"""Client certificates that end soon: which of them the account's owner has to be told about."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_

from webapp.models import Webhook, WebhookState
from webapp.webhooks.client_certificates import WARNED_BEFORE


def to_tell(now: datetime) -> ColumnElement[bool]:
    """SQL: the webhook's certificate ends soon or has ended, and no one was told. A shadow writes no mails."""
    ends_soon = and_(Webhook.certificate_until <= now + WARNED_BEFORE, Webhook.certificate_warned_at.is_(None))
    is_live = and_(Webhook.interface_id.is_not(None), Webhook.removed_at.is_(None), ~Webhook.is_shadow)
    return and_(ends_soon, is_live, Webhook.state != WebhookState.ARCHIVED)
