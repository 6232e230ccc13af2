"""Standard Webhooks v1 signatures (standardwebhooks.com), which existing receiver libraries can verify."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64
RANDOM_BYTES = 32  # of a new key
HOPS = (
    "leadhook-hops"  # of a lead that came from a webhook itself: how many brought it here. No setting may use this name
)


def generate_secret() -> str:
    """A new signing secret: `whsec_` and the base64 of a key of 43 letters, digits, - and _ (256 random bits).

    The key is text, because tools such as n8n's Crypto node take no other. The base64 of such text never has + or /,
    so a reader of URL-safe base64 reads the same key.
    """
    return PREFIX + base64.b64encode(secrets.token_urlsafe(RANDOM_BYTES).encode("ascii")).decode("ascii")


def key_as_text(secret: str) -> str | None:
    """The key of a secret as text; None for keys that have other bytes than printable ASCII, as older ones do."""
    key = decode_secret(secret)
    return key.decode("ascii") if all(0x20 <= byte < 0x7F for byte in key) else None


def decode_secret(secret: str) -> bytes:
    """The 24 to 64 key bytes of a `whsec_` secret. Anything else raises ValueError, which never quotes the secret.

    Short keys are refused here too, where every signature passes, and not only where a secret is saved: some libraries
    accepted an empty key and signed with no secret at all.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"A signing secret begins with {PREFIX}")
    try:
        key = base64.b64decode(secret[len(PREFIX) :].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        # "from None": the encoding error has the secret among its arguments.
        raise ValueError(f"A signing secret is base64 after {PREFIX}") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"A signing secret has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes; this one has {len(key)}")
    return key


def message_headers(
    message_id: str,
    timestamp: int | None,
    signature: str | None = None,
    hops: int | None = None,
    content_type: str | None = None,
) -> dict[str, str]:
    """The headers of one attempt that belong to its message, by lower-case name; without those that are None.

    `timestamp` is in unix seconds, `signature` as `Signer.sign` returns it, `hops` as in services/intake/hops.py.
    `content_type` None is JSON.
    """
    headers = {"content-type": content_type or "application/json", "webhook-id": message_id}
    if timestamp is not None:
        headers["webhook-timestamp"] = str(timestamp)
    if signature is not None:
        headers["webhook-signature"] = signature
    if hops:
        headers[HOPS] = str(hops)
    return headers


class Signer:
    """Signs many messages with the same secrets, newest first; decodes them once. ValueError without a secret.

    It keeps HMAC's two hashes for each key, begun with the padded key: OpenSSL's `hmac.digest` costs three times as
    much as copies of them, because it looks its own parts up each time.
    """

    __slots__ = ("_begun",)

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets:
            raise ValueError("A signature needs a list of at least one secret")
        self._begun = [_begun(decode_secret(secret)) for secret in secrets]

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The value of `webhook-signature`: one `v1,<base64>` for each secret, separated by spaces.

        `timestamp` is in Unix seconds; `body` must be exactly the bytes that are sent. ValueError for an empty id or an
        id with a dot: dots separate the signed parts.
        """
        if "." in message_id or not message_id:
            raise ValueError("A message id must not be empty or contain a dot")
        message = f"{message_id}.{timestamp:d}.".encode() + body
        return " ".join([f"v1,{_digest(inner, outer, message)}" for inner, outer in self._begun])


def _begun(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """The inner and the outer hash of RFC 2104. A key has at most MAX_KEY_BYTES, SHA-256's block."""
    padded = key.ljust(MAX_KEY_BYTES, b"\0")
    return hashlib.sha256(padded.translate(hmac.trans_36)), hashlib.sha256(padded.translate(hmac.trans_5C))


def _digest(inner: "hashlib._Hash", outer: "hashlib._Hash", message: bytes) -> str:
    """HMAC-SHA256 in base64."""
    inner, outer = inner.copy(), outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    return binascii.b2a_base64(outer.digest(), newline=False).decode("ascii")


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Signs one message. To sign many with the same secrets, create a Signer once. Raises the same errors."""
    return Signer(secrets).sign(message_id, timestamp, body)
