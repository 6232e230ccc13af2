"""The filters of templates: {{ fields.name | upper }}. Their arguments are texts and numbers, checked when saved.

Those for texts also change each text in a list. What makes text tells Work how much.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from webapp.webhooks.formats.date_filters import DATES
from webapp.webhooks.formats.known_names import ListOf
from webapp.webhooks.formats.lengths import cut, cut_bytes, units
from webapp.webhooks.formats.list_filters import LISTS
from webapp.webhooks.formats.named_filter import (
    Apply,
    NamedFilter,
    UnfitArgument,
    of_texts,
    same,
    text_of,
    texts,
    whole,
)
from webapp.webhooks.formats.texts import escaped, is_empty, json_text, words
from webapp.webhooks.formats.work import CannotRender, Work

MAX_LENGTH = 100_000
MAX_PARTS = 1000  # of a text that is split; what follows is left in the last one
_NUMBER = re.compile(r"[+-]?\d{1,400}(\.\d{1,400})?", re.ASCII)
_NOT_DIGITS = re.compile("[^0-9]+")


def _simple(change: Callable[[str], Any], usage: str) -> NamedFilter:
    """Of a text, without arguments."""
    return NamedFilter(lambda: of_texts(change), usage, same)


def _default(value: Any) -> Apply:
    return lambda given, work: value if is_empty(given) else given


def _replace(old: str, new: str) -> Apply:
    texts(old, new)
    if not old:
        raise UnfitArgument("the text to replace is empty.")

    def apply(value: Any, work: Work) -> Any:
        def change(text: str) -> str:
            work.spend(text.count(old) * len(new))
            return text.replace(old, new)

        return of_texts(change)(value, work)

    return apply


def _cut(most: int) -> Apply:
    whole(most, "the length", MAX_LENGTH)
    return of_texts(lambda text: cut(text, most))


def _cut_bytes(most: int) -> Apply:
    whole(most, "the length", MAX_LENGTH)
    return of_texts(lambda text: cut_bytes(text, most))


def _split(separator: str = "") -> Apply:
    """At white space, or at a text."""
    texts(separator)

    def apply(value: Any, work: Work) -> list[str]:
        parts = text_of(value, work).split(separator or None, MAX_PARTS - 1)
        work.spend(10 * len(parts))
        return [part.strip() for part in parts]

    return apply


def _join(separator: str = ", ") -> Apply:
    texts(separator)

    def apply(value: Any, work: Work) -> str:
        parts = [text_of(each, work) for each in value] if isinstance(value, list) else [text_of(value, work)]
        work.spend(len(parts) * (10 + len(separator)))
        return separator.join(parts)

    return apply


def _number(*default: Any) -> Apply:
    """Text as a number. Without a default, text that is no number cannot be rendered."""
    if len(default) > 1:
        raise TypeError

    def apply(value: Any, work: Work) -> Any:
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        text = text_of(value, work).strip()
        if not text:
            return None
        if _NUMBER.fullmatch(text):
            number = float(text)
            if abs(number) <= 2**53 - 1:
                return int(text) if "." not in text else number
            if number - number == 0:
                return number
        if default:
            return default[0]
        raise CannotRender("A text that is no number was given to the filter “number”. It can be given a default.")

    return apply


def _yes_no(yes: str = "Yes", no: str = "No") -> Apply:
    texts(yes, no)
    return lambda value, work: "" if is_empty(value) else yes if value else no


def _length(value: Any, work: Work) -> int:
    if isinstance(value, list | dict):
        return len(value)
    return units(text_of(value, work))


def _first_name(text: str) -> str:
    """The first word of a name that has several; empty for a single one, which counts as the last name."""
    first, _, rest = " ".join(text.split()).partition(" ")
    return first if rest else ""


def _last_name(text: str) -> str:
    """What follows the first word of a name, or the only one."""
    first, _, rest = " ".join(text.split()).partition(" ")
    return rest or first


def _cell(text: str) -> str:
    """A text that spreadsheets do not take for a formula or a number: they read ' as the sign of a text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


FILTERS: dict[str, NamedFilter] = {
    "default": NamedFilter(_default, 'default("none")', same),
    "upper": _simple(str.upper, "upper"),
    "lower": _simple(str.lower, "lower"),
    "trim": _simple(str.strip, "trim"),
    "words": _simple(words, "words"),
    "digits": _simple(lambda text: _NOT_DIGITS.sub("", text), "digits"),
    "first_name": _simple(_first_name, "first_name"),
    "last_name": _simple(_last_name, "last_name"),
    "escape": _simple(escaped, "escape"),
    "cell": _simple(_cell, "cell"),
    "url": _simple(lambda text: quote(text, safe="", errors="replace"), "url"),
    "cut": NamedFilter(_cut, "cut(100)", same),
    "cut_bytes": NamedFilter(_cut_bytes, "cut_bytes(100)", same),
    "replace": NamedFilter(_replace, 'replace("old", "new")', same),
    "split": NamedFilter(_split, 'split(",")', lambda shape: ListOf(None)),
    "join": NamedFilter(_join, 'join(", ")'),
    "number": NamedFilter(_number, "number or number(0)"),
    "yes_no": NamedFilter(_yes_no, 'yes_no("yes", "no")'),
    "length": NamedFilter(lambda: _length, "length"),
    "text": NamedFilter(lambda: text_of, "text"),
    "json": NamedFilter(lambda: lambda value, work: text_of(json_text(value), work), "json"),
    **LISTS,
    **DATES,
}
