"""Signatures by a private key for "Signature by template", and the public key in the forms that verifiers take."""

import base64
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from webapp.webhooks.authentications.keys import SEED_BYTES, Reading, private_ed25519, read_bytes
from webapp.webhooks.settings import Setting, WrongSetting

PEM = "-----BEGIN "
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey


def ed25519(text: str, setting: Setting, reading: Reading) -> Ed25519PrivateKey:
    """A private key in PEM, or its 32 or 64 bytes; WrongSetting otherwise."""
    if text.lstrip().startswith(PEM) or reading == Reading.TEXT:
        key = _loaded(text, setting, reading)
        if not isinstance(key, Ed25519PrivateKey):
            raise WrongSetting(f"{setting.label} is not a private Ed25519 key.", setting.name)
        return key
    return private_ed25519(text, setting, reading)


def p256(text: str, setting: Setting, reading: Reading) -> EllipticCurvePrivateKey:
    """A private key of the curve P-256 in PEM or DER, or its 32 bytes; WrongSetting otherwise."""
    key = _loaded(text, setting, reading)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise WrongSetting(f"{setting.label} is not a private key of the curve P-256.", setting.name)
    return key


def _loaded(text: str, setting: Setting, reading: Reading) -> object:
    try:
        if text.lstrip().startswith(PEM):
            return load_pem_private_key(text.encode("utf-8"), None)
        if reading == Reading.TEXT:
            raise WrongSetting(f"{setting.label} does not begin with {PEM}…: choose how it is read.", setting.name)
        raw = read_bytes(text, setting, reading)
        if len(raw) == SEED_BYTES:
            return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
        return load_der_private_key(raw, None)
    except TypeError:  # cryptography's word for a key that needs a pass phrase
        raise WrongSetting(f"{setting.label} is encrypted. Enter it without a pass phrase.", setting.name) from None
    except WrongSetting:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise WrongSetting(f"{setting.label} cannot be read as a private key.", setting.name) from None


def signing(key: PrivateKey) -> Callable[[bytes], bytes]:
    """A function that signs bytes: 64 bytes for Ed25519; for ECDSA with SHA-256 a DER structure, another each time."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign
    return lambda signed: key.sign(signed, ec.ECDSA(SHA256()))


def public_forms(key: PrivateKey) -> dict[str, str]:
    """The public key as receivers want it, by the form's name. No part of it is secret."""
    public = key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    forms = {"PEM": pem, "base64 of DER": base64.b64encode(der).decode("ascii")}
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes_raw()
        forms = {"hex": raw.hex(), "base64": base64.b64encode(raw).decode("ascii")} | forms
    return forms


def _pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


GENERATED: dict[str, Callable[[], str]] = {
    "ed25519": lambda: _pem(Ed25519PrivateKey.generate()),
    "ecdsa-p256": lambda: _pem(ec.generate_private_key(ec.SECP256R1())),
}
