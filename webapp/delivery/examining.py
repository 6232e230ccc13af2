"""Sends the eight test leads of *Examine my receiver*, and notes what the answers say.

They are no deliveries: nothing of them is in a lane, in a report, in the health of the webhook or in its log.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select, update

from webapp.clock import utcnow
from webapp.db.transactions import read_autocommit
from webapp.delivery.sending import sender
from webapp.delivery.slots import waiting
from webapp.delivery.spacing import Spacing
from webapp.encryption import CannotDecrypt, decrypt
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Webhook
from webapp.webhooks import examinations, signing
from webapp.webhooks.authentications import schemes
from webapp.webhooks.authentications.keys import PREVIOUS
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.connectors import Connector
from webapp.webhooks.lookups import NoTurn
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.signing import Signer, message_headers

SIGNED = (Authentication.SHARED_TOKEN, *(Authentication(name) for name in schemes.SIGNED))


class Letter(NamedTuple):
    """A test lead: its message id, its payload and the payload's type, None for JSON."""

    message_id: str
    payload: bytes
    content_type: str | None


class _Examined(NamedTuple):
    """What is read of a webhook once, before the first lead is sent."""

    account_id: int
    url: str
    authentication: Authentication
    connection: Mapping[str, Any]
    secrets: Mapping[str, Any]
    token: str | None
    rate: int | None

    @property
    def secret(self) -> tuple[str, str]:
        """The name of the scheme's secret setting, and the secret; the Shared Token has no name."""
        if self.authentication == Authentication.SHARED_TOKEN:
            return "", self.token or ""
        scheme = schemes.SCHEMES[self.authentication]
        name = next(setting.name for setting in scheme.SETTINGS if setting.secret)
        return name, self.secrets.get("authentication", {}).get(name, "")

    def another_secret(self) -> str:
        """A fresh one of the same kind, which the receiver does not know."""
        if self.authentication == Authentication.SHARED_TOKEN:
            return signing.generate_secret()
        made = schemes.new_secret(self.authentication, self.connection.get("authentication", {}))
        return made[1] if made else ""

    def connector(self, keys: Sequence[str]) -> Connector:
        """With these secrets, newest first."""
        name, _ = self.secret
        changed = {name: keys[0], **({PREVIOUS: keys[1]} if len(keys) > 1 else {})} if name else {}
        scheme = {**self.secrets.get("authentication", {}), **changed}
        return Connector.of(self.authentication, self.connection, {**self.secrets, "authentication": scheme})


def examine(webhook_id: int, letters: Sequence[Letter]) -> None:
    """Sends the test leads one after the other, and stores the verdict. It takes up to eight deadlines."""
    with read_autocommit() as connection:
        columns = Webhook.account_id, Webhook.url, Webhook.authentication, Webhook.connection, Webhook.secrets_encrypted
        asked = select(*columns, ApiKey.secret_encrypted, Webhook.rate)
        asked = asked.outerjoin(ApiKey, ApiKey.id == Webhook.shared_token_id)
        row = connection.execute(asked.where(Webhook.id == webhook_id)).one_or_none()
    if row is None or not row[1] or row[2] not in SIGNED:
        return
    try:
        secrets = json.loads(decrypt(row[4])) if row[4] else {}
        token = decrypt(row[5]) if row[5] else None
        examined = _Examined(row[0], row[1], row[2], row[3] or {}, secrets, token, row[6])
        found = examinations.verdict(_outcomes(webhook_id, examined, letters)).stored()
    except (CannotDecrypt, WrongSetting, ValueError, NoTurn) as error:
        words = str(error) or "The secret cannot be decrypted: ENCRYPTION_KEYS lacks its key."
        found = {"verified": False, "headline": f"The receiver could not be examined. {words}", "findings": []}
    with db.engine.begin() as connection:
        now = connection.execute(asked.where(Webhook.id == webhook_id)).one_or_none()
        if now is None or _about(now) != _about(row):
            return  # another URL or secret was saved meanwhile, and nothing was seen about that
        same = Webhook.id == webhook_id, Webhook.url == row[1], Webhook.authentication == row[2]
        connection.execute(update(Webhook).where(*same).values(examination={**found, "at": utcnow().isoformat()}))


def _about(row: Any) -> tuple[Any, ...]:
    """What a verdict is about: the URL, and what proves who sends."""
    return row[1], row[2], *(_plain(encrypted) for encrypted in row[4:6])


def _plain(encrypted: bytes | None) -> str | None:
    try:
        return decrypt(encrypted) if encrypted else None
    except CannotDecrypt:
        return None


def _outcomes(webhook_id: int, examined: _Examined, letters: Sequence[Letter]) -> Mapping[examinations.Case, Outcome]:
    types = {letter.payload: letter.content_type for letter in letters}

    def signed(message_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> Message:
        headers = message_headers(message_id, timestamp, content_type=types.get(body, letters[0].content_type))
        if examined.authentication == Authentication.SHARED_TOKEN:
            headers["webhook-signature"] = Signer(keys).sign(message_id, timestamp, body)
        connector = examined.connector(keys)
        message = Message(connector.method, examined.url, headers, body, message_id, timestamp, timestamp * 1000)
        return connector.proven(message)

    secret, others = examined.secret[1], [examined.another_secret() for _ in range(2)]
    pairs = [(letter.message_id, letter.payload) for letter in letters]
    connector = examined.connector([secret])
    found = {}
    spacing = Spacing(examined.rate, lambda: True) if examined.rate else None
    for case, message in examinations.messages(signed, [secret], others, pairs, int(time.time())).items():
        request = message.url, message.body, message.headers, examined.account_id, message.method, connector.certificate
        if spacing:
            spacing.may_begin(waiting)
        with waiting():
            outcome = sender.send(webhook_id, *request)
        found[case] = connector.judged(outcome, message)
    return found
