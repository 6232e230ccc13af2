"""A request as pages show it: without what proves who sends.

An entry of `MASKED` is the name of a header, `{setting}` for the headers that this setting names, or `?{setting}` for
the parameter of the URL that it names.
"""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote_plus

from webapp.webhooks.authentications.message import Message
from webapp.webhooks.authentications.schemes import AuthenticationScheme
from webapp.webhooks.shown_addresses import MASK


def header_names(scheme: type[AuthenticationScheme], options: Mapping[str, str]) -> tuple[str, ...]:
    """The headers whose values are never shown, in lower case."""
    names: list[str] = []
    for entry in scheme.MASKED:
        if not entry.startswith("?"):
            names += _named(entry, scheme, options) if entry.startswith("{") else [entry]
    return tuple(names)


def parameter_names(scheme: type[AuthenticationScheme], options: Mapping[str, str]) -> tuple[str, ...]:
    """The parameters of the URL whose values are never shown."""
    return tuple(_value(entry[1:], scheme, options) for entry in scheme.MASKED if entry.startswith("?"))


def masked(message: Message, scheme: type[AuthenticationScheme], options: Mapping[str, str]) -> Message:
    """The message with a mask for each value that is never shown. Not to be sent."""
    hidden = header_names(scheme, options)
    headers = {name: MASK if name in hidden else value for name, value in message.headers.items()}
    return replace(message, url=masked_url(message.url, parameter_names(scheme, options)), headers=headers)


def masked_url(url: str, names: tuple[str, ...]) -> str:
    """The URL with a mask for the values of these parameters."""
    address, mark, query = url.partition("?")
    if not names:
        return url
    pairs = [pair.partition("=") for pair in query.split("&")]
    shown = [f"{name}{equals}{MASK if unquote_plus(name) in names else value}" for name, equals, value in pairs]
    return f"{address}{mark}{'&'.join(shown)}"


def _named(entry: str, scheme: type[AuthenticationScheme], options: Mapping[str, str]) -> list[str]:
    """The names in a setting: one, or one in each line before a colon. A line without the signature shows no secret."""
    lines = [line.partition(":") for line in _value(entry, scheme, options).split("\n")]
    return [name.strip().lower() for name, colon, value in lines if not colon or "{signature}" in value]


def _value(entry: str, scheme: type[AuthenticationScheme], options: Mapping[str, str]) -> str:
    name = entry.strip("{}")
    [setting] = [setting for setting in scheme.SETTINGS if setting.name == name]
    return options.get(name) or setting.default
