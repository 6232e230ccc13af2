"""Small templates of the scheme "Signature by template": text with `{variables}`, and `{{` for a brace."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Self

from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting, WrongSetting

BODY, BODY_SHA256, SIGNATURE, URL = "body", "body_sha256", "signature", "url"
VARIABLES = (BODY, "timestamp", "timestamp_ms", "id", URL, "method", SIGNATURE, BODY_SHA256)
LONGEST = 1000  # characters


@dataclass(frozen=True, slots=True)
class SmallTemplate:
    """Pairs of literal text and the name of the variable after it, which is empty at the end."""

    parts: tuple[tuple[bytes, str], ...]

    @classmethod
    def of(cls, text: str, setting: Setting, without: Collection[str]) -> Self:
        """WrongSetting for a brace that is no variable's, and for a variable that is unknown or cannot stand here
        (`without`)."""
        if len(text) > LONGEST:
            raise WrongSetting(f"{setting.label} is longer than {LONGEST} characters.", setting.name)
        try:
            found = list(Formatter().parse(text))
        except ValueError:
            words = "has a { or } that belongs to no variable. Write {{ or }} for a brace"
            raise WrongSetting(f"{setting.label} {words}.", setting.name) from None
        allowed = [name for name in VARIABLES if name not in without]
        for _, name, format_spec, conversion in found:
            if name is not None and (name not in allowed or format_spec or conversion):
                shown = "{" + (name if len(name) <= 20 and name.isprintable() else "…") + "}"
                words = " ".join("{" + one + "}" for one in allowed)
                sentence = f"{setting.label} has {shown}, which is no variable here. There are {words}."
                raise WrongSetting(f"{sentence} Write {{{{ or }}}} for a brace.", setting.name)
        return cls(tuple((literal.encode("utf-8"), name or "") for literal, name, _, _ in found))

    @property
    def names(self) -> frozenset[str]:
        """The variables that it has."""
        return frozenset(name for _, name in self.parts if name)

    def rendered(self, values: Mapping[str, bytes]) -> bytes:
        """The text with the values of the variables, as they are."""
        return b"".join(literal + (values[name] if name else b"") for literal, name in self.parts)


def values_of(message: Message) -> dict[str, bytes]:
    """All variables of a message but the signature. Digests are in lower-case hex."""
    return {
        BODY: message.body,
        BODY_SHA256: hashlib.sha256(message.body).hexdigest().encode("ascii"),
        "timestamp": b"%d" % message.timestamp,
        "timestamp_ms": b"%d" % message.timestamp_ms,
        "id": message.message_id.encode("utf-8"),
        URL: message.url.encode("utf-8"),
        "method": message.method.encode("ascii"),
    }
