"""Client certificates (mTLS) as people have them, read once when they are saved: any PEM, DER or PFX.

Everything is parsed by cryptography, which never asks for a pass phrase on a terminal. pem_blocks.py finds the parts in
what was pasted. The result is one PEM to store encrypted; identities.py puts it to use.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from webapp.webhooks.certificate_parts import Parts, PrivateKey, parts_of
from webapp.webhooks.identities import ClientCertificate, UnusableCertificate
from webapp.webhooks.settings import Setting, WrongSetting

CERTIFICATE = Setting(
    "certificate",
    "Client certificate and its key",
    secret=True,
    lines=True,
    optional=True,
    hint="PEM: the private key, the certificate and its chain, in any order. Or a PFX file (.pfx, .p12).",
)
PASS_PHRASE = Setting("pass_phrase", "Pass phrase of the key or file", secret=True, optional=True)
SETTINGS = (CERTIFICATE, PASS_PHRASE)

WARNED_BEFORE = timedelta(days=30)
CLOCKS_DIFFER = timedelta(minutes=5)
SHORTEST_RSA, SHORTEST_CURVE = 2048, 224  # bits; OpenSSL loads no shorter ones
LONGEST_CHAIN = 10


@dataclass(frozen=True, slots=True)
class ReadCertificate:
    """`pem`: the key (PKCS #8, not encrypted: store it encrypted), the certificate, then its chain.

    `subject`: its name, for people. `until`: its last moment, in UTC.
    """

    pem: str = field(repr=False)
    subject: str
    until: datetime


def read(pasted: Sequence[bytes], pass_phrase: str, now: datetime) -> ReadCertificate:
    """Reads the texts or files that a person gave together. WrongSetting says what is wrong with them.

    `now`: with a time zone. The pass phrase is used where it is needed, and not kept.
    """
    parts = parts_of(pasted, pass_phrase)
    key = _only_key(parts)
    leaf = _of_key(parts.certificates, key)
    _check_dates(leaf, now)
    _check_strength(key)
    chain = _chain(leaf, parts.certificates)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    pem = private + "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in chain)
    _try_out(pem)
    return ReadCertificate(pem, _name_of(leaf), leaf.not_valid_after_utc)


def warning(until: datetime, now: datetime) -> str | None:
    """What to tell people about a certificate that ends within 30 days, or has ended; None before that."""
    left = until - now
    if left > WARNED_BEFORE:
        return None
    if left <= timedelta(0):
        return f"The client certificate ended on {_day(until)}: receivers refuse it. Enter a new one."
    days = left.days
    when = "today" if days == 0 and until.date() == now.date() else "in 1 day" if days <= 1 else f"in {days} days"
    return f"The client certificate ends {when}, on {_day(until)}. Enter a new one before."


def _only_key(parts: Parts) -> PrivateKey:
    different = {_public(key): key for key in parts.keys}
    if not different:
        what = "a certificate, but not its private key" if parts.certificates else "no certificate and no private key"
        raise _wrong(f"This is {what}. {_missing_key(parts)}")
    if not parts.certificates:
        raise _wrong(f"This is a private key, but no certificate. {parts.hint or 'Paste both, one after the other.'}")
    fitting = [key for public, key in different.items() if any(_public(each) == public for each in parts.certificates)]
    if len(different) > 1 and len(fitting) != 1:
        raise _wrong(f"There are {len(different)} private keys. Paste only that of the client certificate.")
    return fitting[0] if fitting else next(iter(different.values()))


def _missing_key(parts: Parts) -> str:
    return parts.hint or 'Paste both: the key begins with "-----BEGIN PRIVATE KEY-----" or similar words.'


def _of_key(certificates: Sequence[x509.Certificate], key: PrivateKey) -> x509.Certificate:
    """The certificate of the key."""
    public = _public(key)
    fitting = list(dict.fromkeys(one for one in certificates if _public(one) == public))
    if not fitting:
        raise _wrong("The private key does not fit the certificate: they are of two different pairs.")
    if len(fitting) > 1:
        raise _wrong("Several certificates fit the private key. Paste only the newest, and its chain.")
    others = [one for one in certificates if one != fitting[0] and not _is_authority(one)]
    if others:
        words = f"of {_name_of(fitting[0])} and of {_name_of(others[0])}"
        raise _wrong(f"There are several certificates that are no authority's: {words}. Paste one, and its chain.")
    return fitting[0]


def _check_dates(leaf: x509.Certificate, now: datetime) -> None:
    if leaf.not_valid_after_utc < now:
        raise _wrong(f"The certificate expired on {_day(leaf.not_valid_after_utc)}. Get a new one.")
    if leaf.not_valid_before_utc > now + CLOCKS_DIFFER:
        raise _wrong(f"The certificate is not valid before {_day(leaf.not_valid_before_utc)}. Enter it then.")


def _check_strength(key: PrivateKey) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        kind, bits, least = "RSA", key.key_size, SHORTEST_RSA
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind, bits, least = "elliptic curve", key.key_size, SHORTEST_CURVE
    elif isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return
    else:
        raise _wrong("Keys of this kind cannot be used. Use one of RSA, an elliptic curve or Ed25519.")
    if bits < least:
        words = f"The {kind} key has {bits} bits, which is too short: receivers and OpenSSL want {least} or more"
        raise _wrong(f"{words}. Make a new key, and get a certificate for it.")


def _chain(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The certificate and its authorities, each signed by the next one. Others are left out."""
    chain = [leaf]
    while len(chain) < LONGEST_CHAIN:
        above = [one for one in certificates if one not in chain and _has_issued(one, chain[-1])]
        if not above:
            break
        chain.append(max(above, key=lambda one: one.not_valid_after_utc))
    return chain


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _try_out(pem: str) -> None:
    """OpenSSL has the last word: it refuses weak signatures, too."""
    try:
        ClientCertificate.of(pem).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except UnusableCertificate as error:
        if "MD_TOO_WEAK" in (error.reason or ""):
            words = "The certificate is signed with an old algorithm, such as SHA-1, which OpenSSL refuses"
            raise _wrong(f"{words}. Get a new one.") from None
        reason = (error.reason or "unknown reason").replace("_", " ").lower()
        raise _wrong(f"OpenSSL does not take this certificate: {reason}.") from None


def _public(owner: PrivateKey | x509.Certificate) -> bytes:
    try:
        public = owner.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:  # version 1 had no extensions; then a self-signed one may be an authority
        return certificate.issuer == certificate.subject
    except ValueError:
        return False


def _name_of(certificate: x509.Certificate) -> str:
    """Its common name, or else the whole subject or the first name in it; at most 200 characters."""
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        name = cast(str, names[0].value) if names else certificate.subject.rfc4514_string()
    except ValueError:
        name = ""
    name = "".join(character for character in name if character.isprintable())
    return name[:200] or f"serial number {certificate.serial_number:x}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _wrong(sentence: str) -> WrongSetting:
    return WrongSetting(sentence, CERTIFICATE.name)
