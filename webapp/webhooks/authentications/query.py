"""An API key in the URL's query. It is added when sending; the stored URL never has it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self
from urllib.parse import quote, unquote_plus

from webapp.webhooks.authentications.given import given
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.settings import Setting, WrongSetting

NAME = Setting("name", "Name in the query", default="api_key")
VALUE = Setting("value", "API key", secret=True, hint="As it is: Leadhook encodes it.")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
LONGEST = 1024  # characters of the key, which is percent-encoded: many servers take lines of 8 KB


@dataclass(frozen=True, slots=True)
class KeyInQuery:
    """`?<name>=<key>`, percent-encoded in UTF-8; a space is `%20`, which no server reads as a plus sign."""

    TITLE: ClassVar[str] = "API key in the URL's query"
    SETTINGS: ClassVar[tuple[Setting, ...]] = (NAME, VALUE)
    MASKED: ClassVar[tuple[str, ...]] = ("?{name}",)

    name: str
    value: str

    @classmethod
    def of(cls, options: Mapping[str, str], secrets: Mapping[str, str]) -> Self:
        """WrongSetting for line breaks, and for a key that is too long for a URL."""
        name, value = given(NAME, options), given(VALUE, secrets)
        for setting, text in ((NAME, name), (VALUE, value)):
            if _INVISIBLE.search(text):
                raise WrongSetting(f"{setting.label} has a line break or an invisible character.", setting.name)
            if len(text) > LONGEST:
                raise WrongSetting(f"{setting.label} is longer than {LONGEST} characters.", setting.name)
        return cls(name, value)

    def add_to(self, message: Message) -> Message:
        """With the key as the last part of the query, instead of one that the URL may have under this name."""
        return replace(message, url=with_parameter(message.url, self.name, self.value))


def with_parameter(url: str, name: str, value: str) -> str:
    """The URL with one more parameter at its end. One of the same name is left out; the rest stays as it is."""
    address, _, query = url.partition("?")
    kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != name]
    added = f"{quote(name, safe='')}={quote(value, safe='')}"
    return f"{address}?{'&'.join([*kept, added])}"
