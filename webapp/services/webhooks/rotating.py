"""Gives a webhook's signature a new secret. Where the scheme can, the old one also signs until a person ends it."""

from webapp.delivery import states
from webapp.extensions import db
from webapp.models import Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks import connections, editing, webhooks
from webapp.webhooks.authentications import schemes
from webapp.webhooks.authentications.keys import PREVIOUS


def secret_name(webhook: Webhook) -> str | None:
    """The setting that is the secret of its signature; None if it has none that Leadhook can make."""
    made = connections.new_secret(webhook.authentication, _options(webhook))
    return made[0] if made else None


def overlaps(webhook: Webhook) -> bool:
    """Whether both secrets sign for a time after a rotation. Else the new one signs alone, at once."""
    return schemes.overlaps(webhook.authentication, _options(webhook))


def rotate(webhook: Webhook, given: str = "") -> str:
    """Makes a new secret, or takes the given one; returns it. Refused for one that cannot be used."""
    _lock(webhook)
    made = connections.new_secret(webhook.authentication, _options(webhook))
    secrets = connections.secrets_of(webhook)
    if made is None or "authentication" not in secrets:
        raise Refused("This authentication has no secret of which Leadhook could make another.")
    name, value = made[0], given or made[1]
    before = secrets["authentication"].get(name, "")
    own = {**secrets["authentication"], name: value}
    own |= {PREVIOUS: before} if before and overlaps(webhook) else {}
    try:
        connections.replace_secrets(webhook, {**secrets, "authentication": own})
    except Refused as refusal:
        raise Refused(str(refusal), "secret") from None
    webhook.examination = None  # what was seen is not about this secret
    webhooks.begin_anew(webhook.id)
    editing.record("rotated", webhook)
    return value


def end_previous(webhook: Webhook) -> bool:
    """Ends the secret from before the last rotation; returns whether there was one."""
    _lock(webhook)
    secrets = connections.secrets_of(webhook)
    own = dict(secrets.get("authentication", {}))
    if own.pop(PREVIOUS, None) is None:
        return False
    connections.replace_secrets(webhook, {**secrets, "authentication": own})
    editing.record("previous_ended", webhook)
    return True


def _lock(webhook: Webhook) -> None:
    states.lock_lane(db.session.connection(), webhook.id)
    db.session.refresh(webhook)


def _options(webhook: Webhook) -> dict[str, str]:
    options: dict[str, str] = (webhook.connection or {}).get("authentication", {})
    return options
