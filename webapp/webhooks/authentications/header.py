"""An API key in a header that the receiver names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from webapp.webhooks.authentications.given import given, header_name, header_value
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting

NAME = Setting("name", "Header name", default="X-Api-Key")
VALUE = Setting("value", "API key", secret=True, hint="The header's whole value, with words such as Token before it.")


@dataclass(frozen=True, slots=True)
class KeyInHeader:
    """`<name>: <key>`."""

    TITLE: ClassVar[str] = "API key in a header"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (NAME, VALUE)
    MASKED: ClassVar[tuple[str, ...]] = ("{name}",)

    name: str
    value: str

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for a name that Leadhook uses itself, and for what no header can have."""
        return cls(header_name(given(NAME, options), NAME), header_value(given(VALUE, secrets), VALUE))

    def add_to(self, message: Message) -> Message:
        """With the header."""
        return replace(message, headers={**message.headers, self.name: self.value})
