"""The public keys that receivers verify with: those of webhooks that sign with a private key (v1a)."""

from typing import Any

from sqlalchemy import select
from werkzeug.exceptions import NotFound

from webapp.extensions import db
from webapp.models import Authentication, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.webhooks import connections
from webapp.webhooks.authentications import v1a
from webapp.webhooks.settings import WrongSetting


def document(public_id: str) -> dict[str, Any]:
    """What is published of this webhook, as in webhooks/authentications/v1a.py. NotFound for one that was removed,
    signs in another way, or whose key cannot be read."""
    asked = select(Webhook).where(Webhook.public_id == public_id, Webhook.authentication == Authentication.V1A)
    webhook = db.session.scalar(asked.where(Webhook.removed_at.is_(None), Webhook.state != WebhookState.ARCHIVED))
    if webhook is None:
        raise NotFound
    try:
        return v1a.published(webhook.public_id, connections.secrets_of(webhook).get("authentication", {}))
    except (Refused, WrongSetting):
        raise NotFound from None
