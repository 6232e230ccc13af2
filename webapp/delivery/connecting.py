"""Sends for webhooks with settings of their own: another authentication, method, header, certificate, Success rule.

An ordinary webhook needs none of this.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from webapp.db.transactions import read_autocommit
from webapp.delivery.ledger import Due, Unsendable, WebhookSettings
from webapp.encryption import CannotDecrypt, decrypt
from webapp.models import Webhook
from webapp.per_app import per_app
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.oauth2 import OAuth2
from webapp.webhooks.authentications.tokens import TokenSource
from webapp.webhooks.connectors import Connector
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.sender import Sender
from webapp.webhooks.settings import WrongSetting

MOST = 500  # connectors a process keeps


class UnusableSettings(Exception):
    """Why nothing can be sent with a webhook's settings, in words."""


def rendered(rows: Sequence[Due]) -> tuple[list[Due], list[Unsendable]]:
    """The deliveries that have a payload; and those that have none, because it could not be made when the lead came."""
    missing = "The payload could not be made from the template when the lead came. Save the webhook to try again."
    return [due for due in rows if due.payload], [Unsendable(due, missing) for due in rows if not due.payload]


class ConnectorSender:
    """Sends a webhook's messages as its settings say, on any thread: it needs no app context."""

    def __init__(self, settings: WebhookSettings, connector: Connector, sender: Sender, tokens: TokenSource) -> None:
        self._settings = settings
        self._connector = connector
        self._sender = sender
        self._tokens = tokens

    def send(self, due: Due, headers: Mapping[str, str], timestamp: int) -> Outcome:
        """As `Sender.send`, judged by the webhook's Success rule. `headers` are those of the message."""
        settings, connector = self._settings, self._connector
        milliseconds = timestamp * 1000 + int(time.time() * 1000) % 1000
        message = Message(
            connector.method, settings.url or "", headers, due.payload, due.message_id, timestamp, milliseconds
        )
        return connector.judged(self._sent(connector.proven(message)), message)

    def _sent(self, message: Message) -> Outcome:
        webhook_id, account = self._settings.webhook_id, self._settings.account_id
        scheme, identity = self._connector.scheme, self._connector.certificate
        if isinstance(scheme, OAuth2):
            return self._tokens.send(webhook_id, scheme, message, account, identity)
        url, body, headers = message.url, message.body, message.headers
        return self._sender.send(webhook_id, url, body, headers, account, message.method, identity)


_kept: dict[int, tuple[Any, Connector]] = per_app("connectors")
_token_sources: dict[str, TokenSource] = per_app("token_sources")
_STORED = select(Webhook.authentication, Webhook.connection, Webhook.secrets_encrypted, Webhook.url)


def _tokens_of(sender: Sender) -> TokenSource:
    """The only one of the process, made when it is first needed: it keeps the tokens."""
    if "all" not in _token_sources:
        _token_sources.setdefault("all", TokenSource(sender))
    return _token_sources["all"]


def connection_of(settings: WebhookSettings, sender: Sender) -> ConnectorSender:
    """Reads the webhook's settings; UnusableSettings, with a sentence for people, if nothing can be sent with them.

    `sender`: the process's own, not a proxy for it.
    """
    with read_autocommit() as connection:
        *stored, url = connection.execute(_STORED.where(Webhook.id == settings.webhook_id)).one()
    if not url:
        raise UnusableSettings("The webhook has no URL any more.")
    # The batch was read before: a URL that was saved since is the one that these secrets are for.
    settings = replace(settings, url=url)
    kept = _kept.get(settings.webhook_id)
    if kept is None or kept[0] != stored:
        if len(_kept) >= MOST:
            _kept.clear()
        kept = _kept[settings.webhook_id] = stored, _connector(*stored)
    return ConnectorSender(settings, kept[1], sender, _tokens_of(sender))


def _connector(authentication: str, stored: Mapping[str, Any] | None, encrypted: bytes | None) -> Connector:
    try:
        secrets = json.loads(decrypt(encrypted)) if encrypted else {}
        return Connector.of(authentication, stored or {}, secrets)
    except CannotDecrypt:
        raise UnusableSettings("The webhook's secrets cannot be decrypted: ENCRYPTION_KEYS lacks their key.") from None
    except WrongSetting as wrong:
        raise UnusableSettings(str(wrong)) from None
