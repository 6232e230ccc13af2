"""The headers of MetaLocator's lead webhooks, so that a receiver which was made for them goes on to work.

MetaLocator's documents describe the signature twice: as base64 of an HMAC-SHA256, and as a PHP sample. The sample
encodes the digest twice, because PHP's hash_hmac returns hex: base64 of 64 hex digits, 88 characters. Receivers were
copied from the sample, so this computes what the sample computes.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from webapp.webhooks.authentications.keys import Reading, read_key
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting

SIGNATURE = "x-metalocator-webhook-signature"
TIMESTAMP = "x-metalocator-webhook-signature-timestamp"
SECRET = Setting("secret", "Shared token", secret=True, hint="The text that the receiver has as its token.")


@dataclass(frozen=True, slots=True)
class Metalocator:
    """Signs the timestamp and the body, with nothing between them. The key is the token as text.

    The header has room for one signature: a rotation swaps at once.
    """

    TITLE: ClassVar[str] = "MetaLocator's headers"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (SECRET,)
    MASKED: ClassVar[tuple[str, ...]] = (SIGNATURE,)

    key: bytes

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for a token that is missing or too short."""
        return cls(read_key(secrets, SECRET, Reading.TEXT))

    def add_to(self, message: Message) -> Message:
        """With both headers; the timestamp is in Unix seconds."""
        digest = hmac.digest(self.key, b"%d%b" % (message.timestamp, message.body), "sha256")
        signature = base64.b64encode(digest.hex().encode("ascii")).decode("ascii")
        added = {SIGNATURE: signature, TIMESTAMP: str(message.timestamp)}
        return replace(message, headers={**message.headers, **added})
