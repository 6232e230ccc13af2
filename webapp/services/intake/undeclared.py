"""Undeclared answers: what was sent with a post and no field of the form asks for. They are kept with the lead.

Nothing here runs for a post that sends only what its form asks for. An answer is kept as it was sent: text, a number,
true or false, JSON's lists and objects. A name that came several times, or that ends in [], has a list.

A file for a field that does not exist is the answer `file_entry(name, size)` (file_answers.py): it is not kept.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from webapp.models import FieldType, Interface
from webapp.services.intake import visitor
from webapp.services.intake.answers import clean
from webapp.services.intake.rules import JsonNumber
from webapp.webhooks.payload import TRACKED

MOST = 50  # names
MAX_BYTES = 16 * 1024  # of all names and answers together, as JSON in UTF-8
MAX_NAME = 200  # characters
MAX_DEPTH, MAX_PARTS = 5, 1000  # of one answer: lists and objects in one another, and values in all of them
LEAST_CUT = 100  # bytes: a text is not cut to less, but left out
# Two entries beside the answers, only where they say something: how many answers were left out, and which were cut.
LEFT_OUT, CUT = "_left_out", "_cut"
NOTES = frozenset({LEFT_OUT, CUT})

# What the form and browsers send beside the answers.
OURS = frozenset({*TRACKED, visitor.TOKEN, visitor.TRAP, visitor.SOURCE, "_charset_", "csrf_token"})
# What other software puts into every form for itself: secrets of another site, and riddles that were solved.
OTHERS = frozenset(
    {
        "g-recaptcha-response",
        "h-captcha-response",
        "cf-turnstile-response",
        "frc-captcha-solution",
        "frc-captcha-response",
        "authenticity_token",
        "csrfmiddlewaretoken",
        "__RequestVerificationToken",
        "__VIEWSTATE",
        "__EVENTVALIDATION",
        "_wpnonce",
    }
)


class Sorted(NamedTuple):
    """A post, sorted: `values` and `repeated` with the answers to the form's fields, and all others."""

    values: Mapping[str, Any]
    repeated: Mapping[str, Sequence[str]]
    undeclared: dict[str, Any]


def known_names(interface: Interface) -> frozenset[str]:
    """The names that a post to this interface may have without an undeclared answer."""
    return frozenset(field.key for field in interface.fields if field.type != FieldType.HEADING) | OURS | OTHERS


def other_names(interface: Interface) -> dict[str, str]:
    """The key of each field that posts may also send under another name, by that name."""
    return {field.sent_as: field.key for field in interface.fields if field.sent_as}


def sort(
    values: Mapping[str, Any],
    repeated: Mapping[str, Sequence[str]],
    known: frozenset[str],
    others: Mapping[str, str],
    files: Mapping[str, Any] | None = None,
) -> Sorted:
    """Finds the undeclared answers of a post, in the order they came, and gives renamed ones to their fields.

    If a field's key and its other name are both sent, the key counts, and the other is an undeclared answer.
    `files` are those that no field asks for, by name, each as `file_entry` or a list of these.
    """
    values, repeated = dict(values), dict(repeated)
    for name, key in others.items():
        if name in values and name not in known and key not in values:
            values[key] = values.pop(name)
            if name in repeated:
                repeated[key] = repeated.pop(name)
    unknown = [name for name in values if name not in known]
    sent = [(name, _sent(name, values, repeated)) for name in unknown]
    return Sorted(values, repeated, collect([*sent, *(files or {}).items()]))


def collect(sent: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The answers to keep of these names and values, cleaned; {} if there are none. Empty ones say nothing.

    Takes text, JsonNumber and JSON's types. It refuses nothing: what is over the limits is cut or left out, and the
    entries LEFT_OUT (a number) and CUT (names) say so.
    """
    found: dict[str, Any] = {}
    room, left_out, cut = MAX_BYTES, 0, []
    for sent_name, sent_value in sent:
        name, value = _name(sent_name), _value(sent_value) if _is_small(sent_value) else None
        if value in ("", [], {}) or sent_value is None:
            continue
        if name in found:
            value = [*_listed(found[name]), *_listed(value)]
        kept = _cut(name, value, room) if len(found) < MOST or name in found else None
        if kept is None:
            left_out += 1
            continue
        if kept != value:
            cut.append(name)
        room -= _size(name, kept) - (_size(name, found[name]) if name in found else 0)
        found[name] = kept
    return {**found, **({CUT: cut} if cut else {}), **({LEFT_OUT: left_out} if left_out else {})}


def answers(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The answers of a lead's `undeclared` by name, without the notes about what was cut."""
    return {name: value for name, value in (stored or {}).items() if name not in NOTES}


def _sent(name: str, values: Mapping[str, Any], repeated: Mapping[str, Sequence[str]]) -> Any:
    several = [one for one in repeated.get(name, ()) if one]
    return several if len(several) > 1 or (several and name.endswith("[]")) else values[name]


def _name(sent: str) -> str:
    """A name on one line. `__proto__` would change the objects of a receiver that copies them carelessly."""
    name = clean(sent)[:MAX_NAME] or "unnamed"
    if name in NOTES:
        return name.lstrip("_")
    return "proto" if name == "__proto__" else name


def _is_small(value: Any) -> bool:
    """Whether a list or object is small and flat enough to be walked through."""
    level, parts = [value], 0
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            inner += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        parts += len(inner)
        if not inner or parts > MAX_PARTS:
            return parts <= MAX_PARTS
        level = inner
    return False


def _value(sent: Any) -> Any:
    """The value with every text in it cleaned; anything that JSON has no type for as text."""
    if isinstance(sent, JsonNumber):
        return _number(sent)
    if isinstance(sent, str):
        return clean(sent, multiline=True)
    if isinstance(sent, list):
        return [_value(each) for each in sent]
    if isinstance(sent, dict):
        return {_name(str(name)): _value(each) for name, each in sent.items()}
    return sent if sent is None or isinstance(sent, bool | int | float) else str(sent)


def _number(written: str) -> int | float | str:
    """The number; as it was written where a reader of JSON would change it."""
    found: int | float = json.loads(written) if len(written) <= 15 else math.inf
    return found if math.isfinite(found) else str(written)


def _cut(name: str, value: Any, room: int) -> Any:
    """The value, or as much of a text as there is room for; None for what is left out."""
    if value is None:
        return None
    if _size(name, value) <= room:
        return value
    if not isinstance(value, str) or room < LEAST_CUT + _size(name, ""):
        return None
    kept = value[:room]
    while (over := _size(name, kept) - room) > 0:  # a character has one to six bytes
        kept = kept[: len(kept) - max(over // 6, 1)]
    return kept.rstrip()


def _size(name: str, value: Any) -> int:
    return len(json.dumps({name: value}, ensure_ascii=False).encode())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
