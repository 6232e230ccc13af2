"""What a person gave for the settings of a scheme, checked in one place."""

import re
from collections.abc import Mapping

from webapp.webhooks.settings import Setting, WrongSetting

LONGEST_VALUE = 4096  # characters of a secret; some keys and tokens have 2,000
LONGEST_NAME = 200
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_LINE_BREAK_OR_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The sender writes these, or they change how the rest of the request is read.
RESERVED = frozenset(
    {
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "accept-encoding"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "expect", "http2-settings"),
    }
)
RESERVED_BEGINNINGS = ("webhook-", "leadhook-", "proxy-")


def given(setting: Setting, values: Mapping[str, str]) -> str:
    """The value of a setting, or its default; WrongSetting if it is missing, too long or none of the choices."""
    value = values.get(setting.name) or setting.default
    if not value and not setting.optional:
        raise WrongSetting(f"{setting.label} is missing.", setting.name)
    if len(value) > LONGEST_VALUE:
        raise WrongSetting(f"{setting.label} is longer than {LONGEST_VALUE} characters.", setting.name)
    if setting.choices and value not in dict(setting.choices):
        words = ", ".join(words for _, words in setting.choices)
        raise WrongSetting(f"{setting.label} must be one of: {words}.", setting.name)
    return value


def header_name(text: str, setting: Setting, allowed: tuple[str, ...] = ()) -> str:
    """A header's name in lower case; WrongSetting for one that HTTP does not allow, or that Leadhook sets itself.

    `allowed`: reserved names that are right here.
    """
    name = text.lower()
    if len(text) > LONGEST_NAME or not NAME.fullmatch(text):
        words = "a header's name has letters, digits and - only, without spaces"
        raise WrongSetting(f"{setting.label}: {words}.", setting.name)
    if name not in allowed and (name in RESERVED or name.startswith(RESERVED_BEGINNINGS)):
        raise WrongSetting(f"{setting.label}: Leadhook sets the header {name} itself. Use another name.", setting.name)
    return name


def header_value(text: str, setting: Setting) -> str:
    """A header's value, as it is; WrongSetting for one that cannot be sent. The sentence never quotes it."""
    if _LINE_BREAK_OR_CONTROL.search(text):
        raise WrongSetting(f"{setting.label} has a line break or an invisible character.", setting.name)
    if text != text.strip():
        raise WrongSetting(f"{setting.label} begins or ends with a space.", setting.name)
    if not can_be_sent(text):
        words = "has characters that a header cannot have, such as € or emoji"
        raise WrongSetting(f"{setting.label} {words}.", setting.name)
    return text


def can_be_sent(text: str) -> bool:
    """Whether every character is of latin-1, which is how headers are sent, and none is a control character of it."""
    return all(character <= "\xff" and not "\x80" <= character < "\xa0" for character in text)
