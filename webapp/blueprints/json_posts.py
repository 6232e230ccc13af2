"""A post to the public form as JSON."""

import json
from typing import Any

from flask import abort, request

from webapp.blueprints import foreign_text
from webapp.services.intake import encodings
from webapp.services.intake.rules import JsonNumber
from webapp.web.security import MAX_FIELDS


def read() -> dict[str, Any]:
    """The values of the current request's body, by name."""
    body: bytes | str = request.get_data()
    if encodings.codec(request.mimetype_params.get("charset")) not in (None, encodings.UTF_8):
        body = foreign_text.body()
    try:
        try:
            sent = parsed(body)
        except UnicodeDecodeError:
            sent = parsed(foreign_text.body())
    except (ValueError, RecursionError):
        abort(400, "The body is not valid JSON.")
    if not isinstance(sent, dict):
        abort(422, 'The body must be a JSON object, such as {"email": "ada@example.com"}.')
    if len(sent) > MAX_FIELDS:
        abort(413)
    return sent


def parsed(body: bytes | str) -> Any:
    """What the JSON says; ValueError or RecursionError where it cannot be read. Bytes are in UTF-8, UTF-16 or UTF-32.

    Numbers stay as they were written, so that a phone number sent as a number keeps its digits.
    """
    return json.loads(body, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=_refuse_constant)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
