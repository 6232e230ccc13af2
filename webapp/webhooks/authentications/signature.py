"""Signature by template: what is signed, how, and in which headers, as the receiver's own library wants it.

signature_presets.py has the settings of many services; none of them needs code.
"""

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from webapp.webhooks.authentications import private_keys, templates
from webapp.webhooks.authentications.given import given, header_name, header_value
from webapp.webhooks.authentications.keys import PREVIOUS, Reading, generate_key, read_key, read_previous
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.templates import BODY, BODY_SHA256, SIGNATURE, URL, SmallTemplate
from webapp.webhooks.settings import Setting, WrongSetting

HMACS = {"hmac-sha256": "sha256", "hmac-sha1": "sha1", "hmac-sha512": "sha512"}
PRIVATE: dict[str, Callable[[str, Setting, Reading], private_keys.PrivateKey]] = {
    "ed25519": private_keys.ed25519,
    "ecdsa-p256": private_keys.p256,
}
ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda raw: base64.b64encode(raw).decode("ascii"),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode("ascii").rstrip("="),
}
SEPARATORS = {"no": "", "comma": ",", "semicolon": ";", "space": " "}
MOST_HEADERS = 10
IN_URL = "%7Bbody_sha256%7D"
NOT_IN_QUERY = re.compile(r"[^A-Za-z0-9._~!$()*,;:@/?=&+-]")  # the rest would be sent in another spelling

SECRET = Setting(
    "secret", "Secret", secret=True, lines=True, hint="For Ed25519 and ECDSA: a private key, in PEM or as it is read."
)
KEY = Setting(
    "key",
    "The secret is read as",
    choices=(("text", "text"), ("base64", "base64, after whsec_ if it has that"), ("hex", "hex")),
    default="text",
)
ALGORITHM = Setting(
    "algorithm",
    "Algorithm",
    choices=(
        ("hmac-sha256", "HMAC-SHA256"),
        ("hmac-sha1", "HMAC-SHA1"),
        ("hmac-sha512", "HMAC-SHA512"),
        ("ed25519", "Ed25519"),
        ("ecdsa-p256", "ECDSA P-256"),
    ),
    default="hmac-sha256",
)
ENCODING = Setting(
    "encoding",
    "Encoding",
    choices=(("hex", "hex"), ("base64", "base64"), ("base64url", "base64url, without =")),
    default="hex",
)
CONTENT = Setting(
    "content",
    "Signed content",
    lines=True,
    default="{timestamp}.{body}",
    hint="Of {body} {timestamp} {timestamp_ms} {id} {url} {method} {body_sha256}",
)
HEADERS = Setting(
    "headers",
    "Headers",
    lines=True,
    default="X-Timestamp: {timestamp}\nX-Signature: {signature}",
    hint="One a line, as Name: value, with {signature} in one of them",
)
QUERY = Setting(
    "query", "Added to the URL's query", optional=True, hint="Such as bodySHA256={body_sha256}; it is part of {url}"
)
OVERLAP = Setting(
    "overlap",
    "Two signatures after a rotation",
    choices=(
        ("no", "no: the new secret signs alone, at once"),
        ("comma", "yes, with a comma between them"),
        ("semicolon", "yes, with a semicolon between them"),
        ("space", "yes, with a space between them"),
    ),
    default="no",
)


@dataclass(frozen=True, slots=True)
class TemplateSignature:
    """Signs each attempt anew. `sign`: one function for each secret, newest first; two only during an overlap.

    `headers`: by name, the pieces of the value; those with the signature are repeated for each secret.
    """

    TITLE: ClassVar[str] = "Signature by template"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (SECRET, KEY, ALGORITHM, ENCODING, CONTENT, HEADERS, QUERY, OVERLAP)
    MASKED: ClassVar[tuple[str, ...]] = ("{headers}",)

    sign: tuple[Callable[[bytes], bytes], ...]
    encode: Callable[[bytes], str]
    content: SmallTemplate
    headers: Mapping[str, tuple[SmallTemplate, ...]]
    separator: str
    query: SmallTemplate | None

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for settings that cannot sign: the sentence says what, and never quotes a secret."""
        separator = SEPARATORS[given(OVERLAP, options)]
        query = given(QUERY, options)
        return cls(
            _signers(options, secrets if separator else {**secrets, PREVIOUS: ""}),
            ENCODINGS[given(ENCODING, options)],
            _content(given(CONTENT, options)),
            _headers(given(HEADERS, options), separator),
            separator,
            _query(query) if query else None,
        )

    def add_to(self, message: Message) -> Message:
        """With the headers, and with what is added to the URL, which is then the URL that is signed.

        `{body_sha256}` may also stand in the URL itself, where braces are percent-encoded.
        """
        values = templates.values_of(message)
        url = message.url.replace(IN_URL, values[BODY_SHA256].decode("ascii"))
        if self.query:
            url += f"{'&' if '?' in url else '?'}{self.query.rendered(values).decode('ascii')}"
        if url != message.url:
            message = replace(message, url=url)
            values = templates.values_of(message)
        signed = self.content.rendered(values)
        signatures = [self.encode(sign(signed)).encode("ascii") for sign in self.sign]
        added_headers = {name: self._value(pieces, values, signatures) for name, pieces in self.headers.items()}
        return replace(message, headers={**message.headers, **added_headers})

    def _value(self, pieces: tuple[SmallTemplate, ...], values: Mapping[str, bytes], signatures: list[bytes]) -> str:
        found = []
        for piece in pieces:
            repeated = signatures if SIGNATURE in piece.names else signatures[:1]
            found += [piece.rendered({**values, SIGNATURE: signature}) for signature in repeated]
        return self.separator.encode("ascii").join(found).decode("latin-1")


def public_keys(options: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """What the receiver needs instead of a secret, by the form's name; empty for an HMAC. WrongSetting as `of`."""
    load = PRIVATE.get(given(ALGORITHM, options))
    reading = Reading(given(KEY, options))
    return private_keys.public_forms(load(given(SECRET, secrets), SECRET, reading)) if load else {}


def new_secret(options: Mapping[str, str]) -> str:
    """A new secret for these settings: text of the kind in which the key is read, or a private key in PEM."""
    generate = private_keys.GENERATED.get(given(ALGORITHM, options))
    return generate() if generate else generate_key(Reading(given(KEY, options)))


def _signers(options: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[Callable[[bytes], bytes], ...]:
    algorithm, reading = given(ALGORITHM, options), Reading(given(KEY, options))
    if algorithm in HMACS:
        keys = [read_key(secrets, SECRET, reading), read_previous(secrets, SECRET, reading)]
        return tuple(_hmac(key, HMACS[algorithm]) for key in keys if key is not None)
    texts = [given(SECRET, secrets), secrets.get(PREVIOUS, "")]
    return tuple(private_keys.signing(PRIVATE[algorithm](text, SECRET, reading)) for text in texts if text)


def _hmac(key: bytes, digest: str) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.digest(key, signed, digest)


def _content(text: str) -> SmallTemplate:
    """A text area has CRLF between its lines; the signed content has LF, and none at its end."""
    content = SmallTemplate.of(text.replace("\r\n", "\n").rstrip("\n"), CONTENT, {SIGNATURE})
    if not content.names & {BODY, BODY_SHA256, URL}:
        words = "has no {body}, {body_sha256} or {url}, so anyone could change the lead"
        raise WrongSetting(f"{CONTENT.label} {words}.", CONTENT.name)
    return content


def _query(text: str) -> SmallTemplate:
    query = SmallTemplate.of(text, QUERY, {BODY, SIGNATURE, URL})
    if wrong := NOT_IN_QUERY.search(b"".join(literal for literal, _ in query.parts).decode("utf-8")):
        raise WrongSetting(f"{QUERY.label} has {wrong[0]!r}, which a URL cannot have so.", QUERY.name)
    return query


def _headers(text: str, separator: str) -> dict[str, tuple[SmallTemplate, ...]]:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > MOST_HEADERS:
        raise WrongSetting(f"There are more than {MOST_HEADERS} headers.", HEADERS.name)
    headers: dict[str, tuple[SmallTemplate, ...]] = {}
    for number, line in enumerate(lines, start=1):
        setting = replace(HEADERS, label=f"Headers, line {number}")
        name, colon, value = line.partition(":")
        if not colon or not value.strip():
            raise WrongSetting(f"{setting.label} is not a name, a colon and a value.", setting.name)
        name = header_name(name, setting, allowed=("webhook-signature",))
        if name in headers:
            raise WrongSetting(f"{setting.label}: {name} is there twice.", setting.name)
        headers[name] = _pieces(header_value(value.strip(), setting), setting, separator)
    if not any(SIGNATURE in piece.names for pieces in headers.values() for piece in pieces):
        raise WrongSetting("None of the headers has {signature}.", HEADERS.name)
    return headers


def _pieces(value: str, setting: Setting, separator: str) -> tuple[SmallTemplate, ...]:
    SmallTemplate.of(value, setting, {BODY})  # the whole, so that a sentence is about what was typed
    pieces = value.split(separator) if separator else [value]
    return tuple(SmallTemplate.of(piece, setting, {BODY}) for piece in pieces)
