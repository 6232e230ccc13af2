"""Standard Webhooks v1a: a signature by a private key. The receiver holds the public key only, which is no secret.

The specification (standardwebhooks.com, "Signature scheme") says: Ed25519 over `id.timestamp.body`, base64 after
`v1a,`; keys in base64 after `whsk_` and `whpk_`.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from webapp.webhooks.authentications.given import given
from webapp.webhooks.authentications.keys import PREVIOUS, private_ed25519, public_key_of
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting

PRIVATE_KEY = Setting(
    "private_key", "Private key", secret=True, hint="Empty for a new one, or whsk_ and base64 to bring your own."
)


@dataclass(frozen=True, slots=True)
class V1a:
    """`webhook-signature: v1a,<base64>`; two of them with a space between, newest first, while a rotation's overlap
    lasts."""

    TITLE: ClassVar[str] = "Standard Webhooks with a public key (v1a)"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (PRIVATE_KEY,)
    MASKED: ClassVar[tuple[str, ...]] = ("webhook-signature",)

    keys: tuple[Ed25519PrivateKey, ...]

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for a text that is no Ed25519 key."""
        keys = [private_ed25519(given(PRIVATE_KEY, secrets), PRIVATE_KEY)]
        if secrets.get(PREVIOUS):
            former = replace(PRIVATE_KEY, name=PREVIOUS, label="The previous private key")
            keys.append(private_ed25519(given(former, secrets), former))
        return cls(tuple(keys))

    @property
    def public_keys(self) -> tuple[str, ...]:
        """The keys that receivers need, as `whpk_…`; newest first."""
        return tuple(map(public_key_of, self.keys))

    def add_to(self, message: Message) -> Message:
        """With the headers of Standard Webhooks. ValueError for an empty id or an id with a dot, which separates the
        signed parts."""
        if "." in message.message_id or not message.message_id:
            raise ValueError("A message id must not be empty or contain a dot")
        signed = f"{message.message_id}.{message.timestamp:d}.".encode() + message.body
        signatures = ["v1a," + base64.b64encode(key.sign(signed)).decode("ascii") for key in self.keys]
        added = {
            "webhook-id": message.message_id,
            "webhook-timestamp": str(message.timestamp),
            "webhook-signature": " ".join(signatures),
        }
        return replace(message, headers={**message.headers, **added})


def published(webhook_id: str, secrets: Mapping[str, str]) -> dict[str, Any]:
    """What `/.well-known/leadhook/<webhook id>.json` says: the public keys of a webhook, newest first. Receivers accept
    a signature of any of them. Has nothing that is secret. WrongSetting as `V1a.of`.
    """
    return {"webhook": webhook_id, "scheme": "v1a", "public_keys": list(V1a.of({}, secrets).public_keys)}
