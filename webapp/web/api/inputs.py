"""Reads what a request sends: the body and the query, each into a struct. What is not known is refused by its name."""

import re
from typing import Any, TypeVar

import msgspec
from flask import request

from webapp.web.api.problems import Fault, Problem, invalid

T = TypeVar("T", bound=msgspec.Struct)

NOT_JSON = "Send the body as JSON, with the header Content-Type: application/json."
NOT_PACKED = "Send the body as it is, without Content-Encoding."
CODINGS = {"gzip", "x-gzip", "deflate", "compress", "br", "zstd"}  # some programs say utf-8 there: their body is plain
_WHERE = re.compile(r"(?P<words>.*?)(?: - at `(?P<path>\$[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


def body(kind: type[T]) -> T:
    """The JSON of the body. 415 for another content type or a packed body, 400 for what is no JSON, 422 for what is not
    a `kind`."""
    sent = request.get_data()  # nothing, of multipart: it was read as a form
    if (sent or request.mimetype == "multipart/form-data") and not request.is_json:
        raise Problem(415, NOT_JSON)
    if CODINGS & {each.strip().lower() for each in (request.content_encoding or "").split(",")}:
        raise Problem(415, NOT_PACKED, headers={"Accept-Encoding": "identity"})
    return decoded(sent, kind)


def decoded(sent: bytes, kind: type[T]) -> T:
    """As `body`, for what was read already."""
    try:
        return msgspec.json.decode(sent or b"{}", type=kind)
    except msgspec.ValidationError as error:
        words, steps = _read(str(error))
        raise invalid([Fault(words, pointer="".join(["#", *(f"/{_escaped(step)}" for step in steps)]))]) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem(400, "The body is not valid JSON.") from None


def query(kind: type[T] | None) -> T | None:
    """The query's parameters; 422 for one that is unknown, repeated or not valid. None of them is known without a
    `kind`."""
    names = set(kind.__struct_fields__) if kind else set()
    for name, values in request.args.lists():
        if name not in names:
            raise invalid([Fault(f"There is no parameter “{name[:80]}”.", parameter=name[:80])])
        if len(values) > 1:
            raise invalid([Fault(f"Send “{name}” once.", parameter=name)])
    if kind is None:
        return None
    try:
        return msgspec.convert(request.args.to_dict(), kind, strict=False)
    except msgspec.ValidationError as error:
        words, steps = _read(str(error))
        raise invalid([Fault(words, parameter=steps[0] if steps else None)]) from None


def words_of(error: msgspec.ValidationError) -> str:
    """What is wrong, as one text: where, if the sentence does not say it, and the sentence."""
    words, steps = _read(str(error))
    return f"{'.'.join(steps)}: {words}" if steps and f"“{steps[-1]}”" not in words else words


def _read(message: str) -> tuple[str, list[str]]:
    """A sentence, and the steps from the whole to the value that it is about."""
    found = _WHERE.fullmatch(message)
    words, path = (found["words"], found["path"] or "$") if found else (message, "$")
    steps = [name or number or "…" for name, number in _STEP.findall(path)]
    if unknown := _UNKNOWN.fullmatch(words):
        return f"There is no field “{unknown[1][:80]}”.", [*steps, unknown[1][:80]]
    if missing := _MISSING.fullmatch(words):
        return f"“{missing[1]}” is missing.", [*steps, missing[1]]
    return f"{words.replace('`', '')}.", steps


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def object_of(raw: msgspec.Raw, parse: Any, name: str) -> dict[str, Any]:
    """A part of the body that is kept as it was sent, read by `parse`: an object, or 422."""
    try:
        found = parse(bytes(raw))
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not valid JSON.") from None
    if not isinstance(found, dict):
        raise invalid([Fault(f"“{name}” must be an object.", pointer=f"#/{name}")])
    return found
