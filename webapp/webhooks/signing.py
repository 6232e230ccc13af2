"""Standard Webhooks v1 signatures (standardwebhooks.com): what existing receiver libraries verify."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64
NEW_KEY_BYTES = 32


def generate_secret() -> str:
    """A new signing secret: `whsec_` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_KEY_BYTES)).decode("ascii")


def decode_secret(secret: str) -> bytes:
    """The 24 to 64 key bytes of a `whsec_` secret; ValueError, which never quotes the secret, for anything else.

    Short keys are refused here, where every signature passes, and not only where a secret is saved: libraries that
    accepted an empty key signed with nothing.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"A signing secret begins with {PREFIX}")
    try:
        key = base64.b64decode(secret[len(PREFIX) :].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        # "from None": the encoding error would carry the secret as one of its arguments.
        raise ValueError(f"A signing secret is base64 after {PREFIX}") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"A signing secret holds {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes; this one holds {len(key)}")
    return key


class Signer:
    """Signs many messages with the same secrets; decodes them once. Newest secret first; ValueError where none is."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets:
            raise ValueError("A signature needs a list of at least one secret")
        self._keys = tuple(decode_secret(secret) for secret in secrets)

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The value of `webhook-signature`: `v1,<base64>` for each secret, separated by spaces.

        `timestamp` is in unix seconds; `body` must be the very bytes that are sent. ValueError for an id with a dot,
        which is what separates the parts that are signed.
        """
        if "." in message_id or not message_id:
            raise ValueError("A message id is not empty and holds no dot")
        message = f"{message_id}.{timestamp:d}.".encode() + body
        digests = (hmac.digest(key, message, "sha256") for key in self._keys)
        return " ".join(["v1," + binascii.b2a_base64(digest, newline=False).decode("ascii") for digest in digests])


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """One signature header for one message; for many with the same secrets make a Signer once. Errors as there."""
    return Signer(secrets).sign(message_id, timestamp, body)
