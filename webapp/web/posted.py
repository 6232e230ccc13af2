"""What was posted to a form, whichever way it was written."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import abort, request

from webapp.web.security import MAX_FIELDS

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def posted() -> tuple[Mapping[str, Any], Mapping[str, Sequence[str]]]:
    """What was posted, by name, and of a form all values of each name.

    413, 415, or 400 and 422 for JSON that cannot be read or is no object.
    """
    if request.is_json:
        return _json(request.get_data()), {}
    if request.mimetype not in FORM_TYPES and request.get_data():
        abort(415)
    return {name: values[-1] for name, values in request.form.lists()}, dict(request.form.lists())


def _json(body: bytes) -> dict[str, Any]:
    """Numbers stay as they were written: a phone number sent as one keeps its digits."""
    try:
        sent = json.loads(body, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        abort(400, "The body is not valid JSON.")
    if not isinstance(sent, dict):
        abort(422, 'The body must be a JSON object, such as {"email": "ada@example.com"}.')
    if len(sent) > MAX_FIELDS:
        abort(413)
    return sent


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
