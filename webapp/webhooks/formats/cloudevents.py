"""CloudEvents 1.0 in structured mode: application/cloudevents+json, whose `data` is that of Leadhook's JSON.

Source: CloudEvents 1.0.2, "Required Attributes", "Extension Context Attributes", and its JSON Event Format.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from webapp.webhooks.formats.encoding import encode
from webapp.webhooks.settings import Setting, WrongSetting

CONTENT_TYPE = "application/cloudevents+json"
MAX_EXTENSIONS, MAX_VALUE = 10, 200
OURS = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"})
_NAME = re.compile("[a-z0-9]{1,20}")
# A URI reference (RFC 3986): what has none of the characters that must be encoded.
_SOURCE = re.compile(r"[\w\-.~:/?#\[\]@!$&'()*+,;=%]{1,500}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CloudEvents:
    """`source`: a URI reference that says where events come from; "" is the address of the form, without its host.
    `extensions`: texts by name, which every event carries."""

    source: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)
    content_type: str = CONTENT_TYPE

    SETTINGS: ClassVar[tuple[Setting, ...]] = (
        Setting("source", "Source", optional=True, hint="A URI, such as https://leads.example.com. Default: the form."),
        Setting("extensions", "Extensions", optional=True, lines=True, hint="One a line: tenant: acme"),
    )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """WrongSetting for a source that is no URI reference, and for a name that is not of a to z and 0 to 9."""
        source = str(options.get("source") or "").strip()
        if source and not _SOURCE.fullmatch(source):
            raise WrongSetting("The source must be a URI, such as https://leads.example.com.", "source")
        return cls(source, _extensions(options.get("extensions") or {}))

    def render(self, document: Mapping[str, Any]) -> bytes:
        """The id is that of the lead. With the source and the type it is unique, as the standard wants."""
        data = document["data"]
        return encode(
            {
                "specversion": "1.0",
                "id": data["lead"]["id"],
                "source": self.source or f"/f/{data['interface']['id']}",
                "type": document["type"],
                "subject": data["interface"]["id"],
                "time": document["timestamp"],
                "datacontenttype": "application/json",
                **self.extensions,
                "data": data,
            }
        )


def _extensions(given: Mapping[str, Any] | str) -> dict[str, str]:
    """By name; also as lines of "name: text"."""
    if isinstance(given, str):
        lines = [line.partition(":") for line in given.splitlines() if line.strip()]
        given = {name.strip(): value.strip() for name, _, value in lines}
    if len(given) > MAX_EXTENSIONS:
        raise WrongSetting(f"An event can have at most {MAX_EXTENSIONS} extensions.", "extensions")
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            words = "The name of an extension has only small letters a to z and digits, at most 20"
            raise WrongSetting(f"{words}: “{name[:40]}” does not fit.", "extensions")
        if name in OURS:
            raise WrongSetting(f"“{name}” is an attribute of the event itself. Choose another name.", "extensions")
        if not isinstance(value, str) or not value or len(value) > MAX_VALUE or not value.isprintable():
            raise WrongSetting(
                f"The extension “{name}” needs a text of 1 to {MAX_VALUE} printable characters.", "extensions"
            )
    return dict(given)
