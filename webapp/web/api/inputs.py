"""Reads what a request sends: the body and the query, each into a struct. What is not known is refused by its name."""

from typing import Any, TypeVar

import msgspec
from flask import request

from webapp.web.api import wrong_values
from webapp.web.api.problems import Fault, Problem, invalid

T = TypeVar("T", bound=msgspec.Struct)

NOT_JSON = "Send the body as JSON, with the header Content-Type: application/json."
NOT_PACKED = "Send the body as it is, without Content-Encoding."
CODINGS = {"gzip", "x-gzip", "deflate", "compress", "br", "zstd"}  # some programs say utf-8 there: their body is plain


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
        words, steps = wrong_values.read(error, kind)
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
        words, steps = wrong_values.read(error, kind)
        raise invalid([Fault(words, parameter=steps[0] if steps else None)]) from None


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
