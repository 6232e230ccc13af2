"""What is wrong with a value, in a sentence for the person who sent it. msgspec's own words are for programmers."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

_WHERE = re.compile(r"(?P<words>.*?)(?: - at `(?P<path>\$[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_KIND = re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`")
_RANGE = re.compile(r"Expected `(?:int|float)` (>=|<=) (\S+)")
_LENGTH = re.compile(r"Expected `(str|array|object)` of length (>=|<=) (\d+)")
_ENUM = re.compile(r"Invalid enum value (.*)", re.DOTALL)

A_TIME = "a time with its zone, such as 2026-11-23T08:00:00Z"
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": A_TIME,
}
ITEMS = {"str": "characters", "array": "items", "object": "members"}
BOUNDS = {">=": "at least", "<=": "at most"}


def read(error: msgspec.ValidationError, kind: Any) -> tuple[str, list[str]]:
    """The sentence, and the steps from the whole to the value that it is about. `kind`: the struct that was wanted."""
    found = _WHERE.fullmatch(str(error))
    words, path = (found["words"], found["path"] or "$") if found else (str(error), "$")
    steps = [name or number or "…" for name, number in _STEP.findall(path)]
    if unknown := _UNKNOWN.fullmatch(words):
        return f"There is no field “{unknown[1][:80]}”.", [*steps, unknown[1][:80]]
    if missing := _MISSING.fullmatch(words):
        return f"“{missing[1]}” is missing.", [*steps, missing[1]]
    name = f"“{'/'.join(steps)}”" if steps else "The whole"
    return f"{name} {_rule(words, kind, steps)}.", steps


def _rule(words: str, kind: Any, steps: Sequence[str]) -> str:
    """What must hold for the value, as the rest of a sentence."""
    if found := _KIND.match(words):
        wanted = " or ".join(KINDS.get(each, each) for each in found[1].split(" | "))
        sent = "a fraction" if found[2] == "float" else KINDS.get(found[2], found[2])
        return f"must be {wanted}, not {sent}"
    if found := _RANGE.fullmatch(words):
        return f"must be {BOUNDS[found[1]]} {float(found[2]):,.15g}"
    if found := _LENGTH.match(words):
        if found[2] == ">=" and found[3] == "1":
            return "must not be empty"
        return f"must have {BOUNDS[found[2]]} {int(found[3]):,} {ITEMS[found[1]]}"
    if found := _ENUM.match(words):
        return f"cannot be {found[1][:80]}; it can be: {', '.join(sorted(_choices(kind, steps)))}"
    if "datetime" in words:
        return f"must be {A_TIME}"
    return "has a character that cannot be there" if "regex" in words else f"is not valid: {words.replace('`', '')}"


def _choices(kind: Any, steps: Sequence[str]) -> set[str]:
    """The values that a text at this place can have."""
    hints = [kind]
    for step in steps:
        structs = [each for hint in hints for each in _parts(hint) if hasattr(each, "__struct_fields__")]
        names = [dict(zip(each.__struct_encode_fields__, each.__struct_fields__, strict=True)) for each in structs]
        found = zip(structs, names, strict=True)
        if not step.isdecimal() and step != "…":
            hints = [get_type_hints(each, include_extras=True)[of[step]] for each, of in found if step in of]
    return {
        str(value) for hint in hints for each in _parts(hint) if get_origin(each) is Literal for value in get_args(each)
    }


def _parts(hint: Any) -> Iterator[Any]:
    """The type and all that it is made of; not the values of a Literal."""
    yield hint
    if get_origin(hint) is not Literal:
        for each in get_args(hint):
            yield from _parts(each)
