"""Headers that an operator adds to every request of a webhook. Their values may be secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from webapp.webhooks.authentications.given import LONGEST_VALUE, header_name, header_value
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting, WrongSetting

MOST = 20
LINES = Setting(
    "custom_headers", "Custom headers", secret=True, lines=True, optional=True, hint="One a line, as Name: value"
)


@dataclass(frozen=True, slots=True)
class CustomHeaders:
    """Up to 20 headers, by lower-case name."""

    headers: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads lines of `Name: value`; empty ones do not count. WrongSetting, which never quotes a value, for a line
        that is none, a name that Leadhook uses itself or that is there twice, and a value that no header can have."""
        lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
        headers: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if line:
                name, value = _split(line, number)
                if name in headers:
                    raise WrongSetting(f"Custom headers, line {number}: {name} is there twice.", LINES.name)
                headers[name] = value
        if len(headers) > MOST:
            raise WrongSetting(f"There are more than {MOST} custom headers.", LINES.name)
        return cls(headers)

    def add_to(self, message: Message) -> Message:
        """With the headers, except those that the message has already: the proof of a scheme stays."""
        return replace(message, headers={**self.headers, **message.headers})


def _split(line: str, number: int) -> tuple[str, str]:
    setting = replace(LINES, label=f"Custom headers, line {number}")
    name, colon, value = line.partition(":")
    value = value.strip()
    if not colon:
        raise WrongSetting(f"{setting.label} has no colon after the name.", setting.name)
    if not value:
        raise WrongSetting(f"{setting.label} has no value.", setting.name)
    if len(value) > LONGEST_VALUE:
        raise WrongSetting(f"{setting.label}: the value is longer than {LONGEST_VALUE} characters.", setting.name)
    return header_name(name, setting), header_value(value, setting)
