"""The headers of a delivery that is read from a feed: those of its message, and the webhook's signature.

A signature is made for each reading, as for each attempt. Credentials (Bearer, Basic, a key, custom headers) are not
given out: a key that may read leads does not get the receiver's secrets.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from webapp.encryption import CannotDecrypt, decrypt
from webapp.models import Authentication, Webhook
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.webhooks.connections import secrets_of
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import SIGNED
from webapp.webhooks.connectors import Connector
from webapp.webhooks.settings import WrongSetting
from webapp.webhooks.signing import Signer

Prove = Callable[[Message], Message]


def signature_of(webhook: Webhook) -> Prove:
    """What adds the webhook's signature to a message, if the webhook signs; Refused, in words, where it cannot be made:
    nothing is given out unsigned that must be signed."""
    try:
        if webhook.authentication == Authentication.SHARED_TOKEN:
            return _by_token(webhook)
        if webhook.authentication in SIGNED:
            scheme = Connector.of(webhook.authentication, webhook.connection or {}, secrets_of(webhook)).scheme
            assert scheme
            return scheme.add_to
    except CannotDecrypt:
        raise Refused("The Shared Token cannot be decrypted: ENCRYPTION_KEYS lacks its key.") from None
    except WrongSetting as wrong:
        raise Refused(str(wrong)) from None
    return lambda message: message


def _by_token(webhook: Webhook) -> Prove:
    token = webhook.shared_token
    if token is None or token.revoked_at or token.secret_encrypted is None:
        raise Refused("The Shared Token was revoked: choose another one, or no authentication.")
    former = api_keys.previous(token)
    secrets = [decrypt(token.secret_encrypted), *([decrypt(former.secret_encrypted)] if former else [])]
    signer = Signer(secrets)

    def signed(message: Message) -> Message:
        signature = signer.sign(message.message_id, message.timestamp, message.body)
        headers: Mapping[str, str] = {**message.headers, "webhook-signature": signature}
        return replace(message, headers=headers)

    return signed
