"""Keys that people paste: how they are read, and new ones.

The same text is another key for another receiver: Stripe's library takes `whsec_…` as it is, Standard Webhooks' decodes
what is after the prefix. So how a key is read is a setting.
"""

import base64
import binascii
import re
import secrets as random
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from webapp.webhooks.authentications.given import given
from webapp.webhooks.settings import Setting, WrongSetting

PREVIOUS = "previous"  # the name, among the secrets, of the one before the last rotation
LEAST_BYTES = 8
MARK, PRIVATE_MARK, PUBLIC_MARK = "whsec_", "whsk_", "whpk_"
SEED_BYTES, PAIR_BYTES = 32, 64  # Ed25519: the private key alone (RFC 8032), or with the public key after it (NaCl)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Reading(StrEnum):
    """How the text of a secret becomes the bytes of a key."""

    TEXT = "text"
    BASE64 = "base64"
    HEX = "hex"


def read_key(secrets: Mapping[str, str], setting: Setting, reading: Reading) -> bytes:
    """The bytes of a key of an HMAC; WrongSetting for one that is missing, short or not as `reading` says.

    Empty keys are refused here, where every signature passes: an HMAC takes them, and signs with no secret at all.
    """
    key = read_bytes(given(setting, secrets), setting, reading)
    if len(key) < LEAST_BYTES:
        raise WrongSetting(f"{setting.label} is too short: it has {len(key)} of {LEAST_BYTES} bytes.", setting.name)
    return key


def read_previous(secrets: Mapping[str, str], setting: Setting, reading: Reading) -> bytes | None:
    """The key from before the last rotation, while it is to sign too."""
    if not secrets.get(PREVIOUS):
        return None
    former = replace(setting, name=PREVIOUS, label=f"{setting.label}, the previous one")
    return read_key(secrets, former, reading)


def read_bytes(text: str, setting: Setting, reading: Reading) -> bytes:
    """The bytes that a text stands for; WrongSetting, which does not quote it, if it does not."""
    if text != text.strip():
        raise WrongSetting(f"{setting.label} begins or ends with a space or a line break.", setting.name)
    if _CONTROL.search(text):
        raise WrongSetting(f"{setting.label} has a line break or an invisible character.", setting.name)
    if reading == Reading.TEXT:
        return text.encode("utf-8")
    if reading == Reading.HEX:
        if len(text) % 2 or not re.fullmatch("[0-9A-Fa-f]*", text):
            raise WrongSetting(f"{setting.label} is not hex: pairs of 0 to 9 and a to f.", setting.name)
        return bytes.fromhex(text)
    return _from_base64(text.removeprefix(MARK), setting)


def _from_base64(text: str, setting: Setting) -> bytes:
    """Without padding too: the bytes are the same. Not in the URL-safe alphabet, which some libraries skip unsaid."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        words = "it has the letters - or _ of URL-safe base64" if set("-_") & set(text) else "see how the key is read"
        raise WrongSetting(f"{setting.label} is not base64: {words}.", setting.name) from None


def private_ed25519(text: str, setting: Setting, reading: Reading = Reading.BASE64) -> Ed25519PrivateKey:
    """An Ed25519 key of 32 bytes, or of 64 with the public key at the end, which must belong to it."""
    if text.startswith(PUBLIC_MARK):
        words = f"is a public key. Enter the private one, which begins with {PRIVATE_MARK}"
        raise WrongSetting(f"{setting.label} {words}.", setting.name)
    raw = read_bytes(text.removeprefix(PRIVATE_MARK), setting, reading)
    if len(raw) not in (SEED_BYTES, PAIR_BYTES):
        words = f"a private Ed25519 key has {SEED_BYTES} or {PAIR_BYTES} bytes; this one has {len(raw)}"
        raise WrongSetting(f"{setting.label}: {words}.", setting.name)
    key = Ed25519PrivateKey.from_private_bytes(raw[:SEED_BYTES])
    if raw[SEED_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise WrongSetting(f"{setting.label}: its second half is not the public key of the first.", setting.name)
    return key


def generate_private_key() -> str:
    """A new key for v1a: `whsk_` and the base64 of the private and the public key, 64 bytes, as other senders store
    theirs."""
    key = Ed25519PrivateKey.generate()
    return PRIVATE_MARK + _text(key.private_bytes_raw() + key.public_key().public_bytes_raw())


def public_key_of(key: Ed25519PrivateKey) -> str:
    """`whpk_` and the base64 of the 32 bytes of the public key."""
    return PUBLIC_MARK + _text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def generate_key(reading: Reading) -> str:
    """A new key of 256 bits for an HMAC, as the receiver is to enter it."""
    if reading == Reading.HEX:
        return random.token_hex(SEED_BYTES)
    if reading == Reading.BASE64:
        return MARK + _text(random.token_urlsafe(SEED_BYTES).encode("ascii"))
    return random.token_urlsafe(SEED_BYTES)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
