"""Lengths as services count them: UTF-16 units (JavaScript, Java, .NET, and so Slack and Discord), or bytes of JSON."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

Cut = Callable[[str, int], str]

_ELLIPSIS = "…"
_HALF_ESCAPED = re.compile("&[a-z]{0,3}$")


class EscapedText(str):
    """Text in which & < > are entities: a cut never leaves half of one."""

    __slots__ = ()


def units(text: str) -> int:
    """The UTF-16 units of a text: an emoji has two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, most: int) -> str:
    """The text; if it has more than `most` UTF-16 units, its beginning and an ellipsis, together that many."""
    if len(text) <= most and units(text) <= most:
        return text
    kept = text[:most].encode("utf-16-le", "surrogatepass")[: 2 * (most - 1)].decode("utf-16-le", "surrogatepass")
    if "\ud800" <= kept[-1:] <= "\udbff":
        kept = kept[:-1]
    return _ended(text, kept)


def json_bytes(text: str) -> int:
    """What a text adds to JSON in UTF-8, without its quotation marks."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2


def cut_bytes(text: str, most: int) -> str:
    """The text; if it has more than `most` bytes of JSON, as much of its beginning as fits before an ellipsis."""
    if len(text) <= most and json_bytes(text) <= most:
        return text
    room = max(most - len(_ELLIPSIS.encode()), 0)
    start = text[:room]
    kept = start[: bisect_right(range(1, len(start) + 1), room, key=lambda count: json_bytes(start[:count]))]
    return _ended(text, kept)


def _ended(text: str, kept: str) -> str:
    if isinstance(text, EscapedText):
        return EscapedText(_HALF_ESCAPED.sub("", kept) + _ELLIPSIS)
    return kept.rstrip() + _ELLIPSIS


def level(lengths: Sequence[int], room: int) -> int:
    """The largest length to which all may be cut so that together they take at most `room`; at least 0.

    Short ones stay whole, and only the long ones share what is left.
    """
    left = room
    for number, length in enumerate(ordered := sorted(lengths)):
        share = left // (len(ordered) - number)
        if length > share:
            return max(share, 0)
        left -= length
    return max(lengths, default=0)
