"""Undeclared answers: what was sent with a post and no field of the form asks for. They are kept with the lead.

Nothing here runs for a post that sends only what its form asks for. An answer is kept as it was sent: text, a number,
true or false, JSON's lists and objects. A name that came several times, or that ends in [], has a list.

A file for a field that does not exist is the answer `file_entry(name, size)` (file_answers.py): it is not kept.

A form that is shown again has no controls for these answers. It carries them in one hidden control, CARRIED.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from webapp.models import FieldType, Interface
from webapp.services.intake import packed_source, visitor
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
CARRIED = "_undeclared"  # the control. It is no answer itself, but unlike OURS it is part of what was sent

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
    more: Mapping[str, Any] | None = None,
) -> Sorted:
    """Finds the undeclared answers of a post, in the order they came, and gives renamed ones to their fields.

    If a field's key and its other name are both sent, the key counts, and the other is an undeclared answer.
    `more` are other undeclared answers: files that no field asks for, each as `file_entry` or a list of these, and what
    `visitor.unread` found. What is CARRIED comes first, without the names that are sent anew.
    """
    values, repeated, more = dict(values), dict(repeated), dict(more or {})
    carried = _carried(values.pop(CARRIED, None))
    for name, key in others.items():
        if name in values and (name not in known or name in more) and key not in values:
            values[key] = values.pop(name)
            more.pop(name, None)
            if name in repeated:
                repeated[key] = repeated.pop(name)
    unknown = [name for name in values if name not in known]
    sent = [(name, _sent(name, values, repeated)) for name in unknown]
    sent += more.items()
    anew = {_name(name) for name, _ in sent}
    was_cut, left_out = _read_notes(carried.pop(CUT, None), carried.pop(LEFT_OUT, None))
    before = [(name, value) for name, value in carried.items() if _name(name) not in anew]
    return Sorted(values, repeated, collect([*before, *sent], was_cut - anew, left_out))


def collect(sent: Iterable[tuple[str, Any]], was_cut: Set[str] = frozenset(), left_out: int = 0) -> dict[str, Any]:
    """The answers to keep of these names and values, cleaned; {} if there are none. Empty ones say nothing.

    Takes text, JsonNumber and JSON's types. It refuses nothing: what is over the limits is cut or left out, and the
    entries LEFT_OUT (a number) and CUT (names) say so. `was_cut` and `left_out` are these entries of an earlier time.
    """
    found: dict[str, Any] = {}
    for sent_name, sent_value in sent:
        name, is_small = _name(sent_name), _is_small(sent_value)
        value = _value(sent_value) if is_small else None
        if is_small and _is_empty(value):
            continue
        if not is_small or (len(found) == MOST and name not in found):
            left_out += 1
        elif name in found:
            found[name] = _listed(found[name])
            found[name] += _listed(value)
        else:
            found[name] = value
    kept = _fitting(found)
    cut = [name for name in kept if kept[name] != found[name] or name in was_cut]
    left_out += len(found) - len(kept)
    return {**kept, **({CUT: cut} if cut else {}), **({LEFT_OUT: left_out} if left_out else {})}


def _fitting(found: Mapping[str, Any]) -> dict[str, Any]:
    """What there is room for, in the same order. Small answers come first, so that a large one pushes out none."""
    sizes = {name: _size(name, value) for name, value in found.items()}
    kept, room = {}, MAX_BYTES
    for name in sorted(found, key=sizes.__getitem__):
        value = _cut(name, found[name], room)
        if value is not None:
            kept[name] = value
            room -= _size(name, value)
    return {name: kept[name] for name in found if name in kept}


def _read_notes(cut: Any, left_out: Any) -> tuple[set[str], int]:
    """The names of CUT and the number of LEFT_OUT. A browser brought them: they may be anything."""
    names = {name for name in cut if isinstance(name, str)} if isinstance(cut, list) else set()
    return names, int(left_out) if re.fullmatch("[0-9]{1,4}", str(left_out)) else 0


def answers(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The answers of a lead's `undeclared` by name, without the notes about what was cut."""
    return {name: value for name, value in (stored or {}).items() if name not in NOTES}


def _sent(name: str, values: Mapping[str, Any], repeated: Mapping[str, Sequence[str]]) -> Any:
    several = [one for one in repeated.get(name, ()) if one]
    return several if len(several) > 1 or (several and name.endswith("[]")) else values[name]


def _carried(packed: Any) -> dict[str, Any]:
    """What a form that was shown again brings back; it may be anything that a browser can send."""
    found = packed_source.unpacked(packed, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=JsonNumber)
    return {name: value for name, value in found.items() if name != CARRIED}


def _name(sent: str) -> str:
    """A name on one line. `__proto__` would change the objects of a receiver that copies them carelessly."""
    name = clean(sent)[:MAX_NAME] or "unnamed"
    if name in NOTES:
        return name.lstrip("_")
    return "proto" if name == "__proto__" else name


def _is_empty(value: Any) -> bool:
    """Whether there is no answer in the value, however deep."""
    if isinstance(value, list | dict):
        return all(_is_empty(each) for each in (value.values() if isinstance(value, dict) else value))
    return value is None or value == ""


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
