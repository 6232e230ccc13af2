"""Finds private keys and certificates in what a person pasted or uploaded, however it was changed on the way."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_pem_private_key,
    load_ssh_private_key,
    pkcs7,
    pkcs12,
)

from webapp.webhooks.settings import WrongSetting

PrivateKey = PrivateKeyTypes
LONGEST = 100_000  # bytes
DER = b"\x30"  # a sequence: a certificate, a key or a PFX file
JAVA = b"\xfe\xed\xfe\xed"
# Word processors make other dashes of these; forms and chats make one line of many.
_BLOCK = re.compile(
    r"[-–—]{2,}\s*BEGIN ([A-Z0-9 ]+?)\s*[-–—]{2,5}(.*?)[-–—]{2,}\s*END [A-Z0-9 ]+?\s*[-–—]{2,5}", re.DOTALL
)
_BEGINS = re.compile(r"[-–—]{2,}\s*BEGIN ")
_ENCRYPTED = re.compile(r"Proc-Type:\s*4,\s*ENCRYPTED\s+DEK-Info:\s*([A-Za-z0-9-]+),\s*([0-9A-Fa-f]+)\s")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_HINTS = {
    "PUBLIC KEY": "A public key is not enough: the private key is needed.",
    "CERTIFICATE REQUEST": "A request is not a certificate: paste what the authority made of it.",
    "NEW CERTIFICATE REQUEST": "A request is not a certificate: paste what the authority made of it.",
}
WRONG_PHRASE = "The pass phrase does not open the private key."
NO_PHRASE = "The private key is encrypted. Enter its pass phrase, too."


@dataclass(slots=True)
class Parts:
    """What was found. `hint`: a sentence about something that is there instead of what is needed."""

    keys: list[PrivateKey] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    hint: str = ""


def parts_of(pasted: Sequence[bytes], pass_phrase: str) -> Parts:
    """All parts of all texts and files; WrongSetting for what cannot be read."""
    parts = Parts()
    given = [data for data in pasted if data.strip()]
    if not given:
        raise _wrong("There is no certificate: paste it, or choose a file.")
    for data in given:
        if len(data) > LONGEST:
            raise _wrong(f"This is longer than {LONGEST // 1000} KB, so it is no certificate.")
        if data.startswith(DER):
            _add_der(parts, data, pass_phrase)
        elif data.startswith(JAVA):
            raise _wrong("This is a Java keystore. Export it as PKCS #12 (.p12), and choose that file.")
        else:
            _add_text(parts, _text_of(data), pass_phrase)
    parts.certificates = list(dict.fromkeys(parts.certificates))
    return parts


def _text_of(data: bytes) -> str:
    """Windows' editor also saves UTF-16. `\\n` stands for a line break where JSON or an environment was copied."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, "replace").replace("\\r", "\n").replace("\\n", "\n").replace("\xa0", " ")


def _add_text(parts: Parts, text: str, pass_phrase: str) -> None:
    blocks = list(_BLOCK.finditer(text))
    if len(_BEGINS.findall(text)) > len(blocks):
        raise _wrong('A part is cut off: its line "-----END …-----" is missing.')
    for block in blocks:
        _add_block(parts, block[1], block[2], pass_phrase)
    if blocks:
        return
    der = _decoded(text) if _BASE64.fullmatch(text) else b""
    if not der.startswith(DER):
        raise _wrong('This is no certificate. In PEM, it begins with "-----BEGIN CERTIFICATE-----".')
    _add_der(parts, der, pass_phrase)


def _add_block(parts: Parts, label: str, inside: str, pass_phrase: str) -> None:
    if label.endswith("PRIVATE KEY"):
        parts.keys.append(_key_of_block(label, inside, pass_phrase))
    elif label in ("CERTIFICATE", "X509 CERTIFICATE"):
        parts.certificates.append(_certificate(_decoded(inside)))
    elif label in ("PKCS7", "CMS"):
        parts.certificates += _read(pkcs7.load_der_pkcs7_certificates, _decoded(inside))
    elif label in _HINTS or label.endswith("PUBLIC KEY"):
        parts.hint = _HINTS.get(label, _HINTS["PUBLIC KEY"])
    elif label == "TRUSTED CERTIFICATE":
        raise _wrong("This is OpenSSL's own form of a certificate. Convert it: openssl x509 -in FILE -out NEW.")


def _key_of_block(label: str, inside: str, pass_phrase: str) -> PrivateKey:
    head = _ENCRYPTED.search(inside)
    lines = base64.b64encode(_decoded(inside[head.end() :] if head else inside)).decode("ascii")
    above = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {head[1]},{head[2]}\n\n" if head else ""
    wrapped = "\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    pem = f"-----BEGIN {label}-----\n{above}{wrapped}\n-----END {label}-----\n".encode("ascii")
    load = load_ssh_private_key if label.startswith("OPENSSH") else load_pem_private_key
    return _key(load, pem, pass_phrase, is_encrypted=bool(head) or label.startswith("ENCRYPTED"))


def _key(
    load: Callable[[bytes, bytes | None], PrivateKey], data: bytes, pass_phrase: str, is_encrypted: bool
) -> PrivateKey:
    """Never without a pass phrase for an encrypted key, and never with one for another."""
    try:
        return load(data, None)
    except TypeError:  # cryptography's word for: encrypted
        is_encrypted = True
    except UnsupportedAlgorithm:
        raise _wrong(_UNKNOWN_KEY) from None
    except ValueError:
        if not is_encrypted:
            raise _wrong("The private key is damaged, or a part of it is missing.") from None
    if not pass_phrase:
        raise WrongSetting(NO_PHRASE, "pass_phrase")
    try:
        return load(data, pass_phrase.encode())
    except UnsupportedAlgorithm:
        raise _wrong(_UNKNOWN_KEY) from None
    except (ValueError, TypeError):
        raise WrongSetting(WRONG_PHRASE, "pass_phrase") from None


_UNKNOWN_KEY = "The private key is of a kind, or encrypted in a way, that cannot be read. Convert it to PKCS #8."


def _add_der(parts: Parts, der: bytes, pass_phrase: str) -> None:
    """A certificate, a key, a bundle of certificates, or a PFX file: tried in this order."""
    for load in (_as_certificate, _as_bundle, _as_key, _as_pfx):
        if load(parts, der, pass_phrase):
            return
    raise _wrong("This file is no certificate, no private key and no PFX file, or it is damaged.")


def _as_certificate(parts: Parts, der: bytes, _: str) -> bool:
    try:
        parts.certificates.append(x509.load_der_x509_certificate(der))
    except ValueError:
        return False
    return True


def _as_bundle(parts: Parts, der: bytes, _: str) -> bool:
    try:
        parts.certificates += pkcs7.load_der_pkcs7_certificates(der)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _as_key(parts: Parts, der: bytes, pass_phrase: str) -> bool:
    try:
        parts.keys.append(load_der_private_key(der, None))
    except TypeError:
        parts.keys.append(_key(load_der_private_key, der, pass_phrase, is_encrypted=True))
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _as_pfx(parts: Parts, der: bytes, pass_phrase: str) -> bool:
    phrases: Iterable[bytes | None] = [pass_phrase.encode()] if pass_phrase else [None, b""]
    if der[1:16].find(b"\x02\x01\x03") < 0:  # its version, which is always 3
        return False
    for phrase in phrases:
        try:
            key, certificate, others = pkcs12.load_key_and_certificates(der, phrase)
        except (ValueError, UnsupportedAlgorithm):
            continue
        parts.keys += [key] if key else []
        parts.certificates += ([certificate] if certificate else []) + others
        return True
    if pass_phrase:
        raise WrongSetting("The pass phrase does not open the PFX file, or the file is damaged.", "pass_phrase")
    raise WrongSetting("The PFX file has a pass phrase. Enter it, too.", "pass_phrase")


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        raise _wrong("A certificate is damaged, or a part of it is missing.") from None


def _read(load: Callable[[bytes], list[x509.Certificate]], der: bytes) -> list[x509.Certificate]:
    try:
        return load(der)
    except (ValueError, UnsupportedAlgorithm):
        raise _wrong("The PKCS #7 bundle is damaged, or a part of it is missing.") from None


def _decoded(text: str) -> bytes:
    """The bytes of base64, with any lines and spaces. What is damaged is found by those who read them."""
    try:
        return base64.b64decode("".join(text.split()).rstrip("=") + "==", validate=False)
    except binascii.Error:
        return b""


def _wrong(sentence: str) -> WrongSetting:
    return WrongSetting(sentence, "certificate")
