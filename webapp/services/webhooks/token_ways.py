"""Finds out, when a person asks for it, how a webhook's token server wants the client's credentials."""

from webapp.db.transactions import end_transaction
from webapp.delivery.sending import sender
from webapp.models import Authentication, Webhook
from webapp.services.errors import Refused
from webapp.services.webhooks import connections
from webapp.webhooks.authentications.credential_ways import Ways, find_the_way
from webapp.webhooks.authentications.oauth2 import CREDENTIALS
from webapp.webhooks.identities import ClientCertificate
from webapp.webhooks.settings import WrongSetting

WORDS = dict(CREDENTIALS.choices)


def find(webhook: Webhook) -> Ways:
    """Asks the token server in each way, through the sender with its address guard and its deadline.

    Ends the current transaction first, because that can take 15 s. Refused for another authentication.
    """
    if webhook.authentication != Authentication.OAUTH2:
        raise Refused("Only OAuth 2.0 has a token server.")
    options = dict((webhook.connection or {}).get("authentication", {}))
    secrets, webhook_id, account_id = connections.secrets_of(webhook), webhook.id, webhook.account_id
    pem = secrets.get("certificate")
    end_transaction()
    try:
        identity = ClientCertificate.of(pem) if pem else None
        return find_the_way(sender, webhook_id, options, secrets.get("authentication", {}), account_id, identity)
    except WrongSetting as wrong:
        raise Refused(str(wrong)) from None


def keep(webhook: Webhook, way: str) -> bool:
    """Stores the way; returns whether it is another than before."""
    stored = webhook.connection or {}
    options = stored.get("authentication", {})
    if webhook.authentication != Authentication.OAUTH2 or options.get(CREDENTIALS.name, CREDENTIALS.default) == way:
        return False
    webhook.connection = {**stored, "authentication": {**options, CREDENTIALS.name: way}}
    return True


def in_words(ways: Ways) -> list[str]:
    """What was tried, a sentence each."""
    return [f"Sent {WORDS[tried.way]}: {tried.sentence or 'the token server gave a token.'}" for tried in ways.tried]
