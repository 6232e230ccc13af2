"""A post to the public form as JSON."""

import json
from typing import Any

from flask import abort, request

from webapp.blueprints import foreign_text
from webapp.services.intake import encodings
from webapp.services.intake.rules import JsonNumber
from webapp.web.security import MAX_FIELDS


def read() -> dict[str, Any]:
    """The values of the current request's body, by name.

    Numbers stay as they were written, so that a phone number sent as a number keeps its digits.
    """
    body: bytes | str = request.get_data()
    if encodings.codec(request.mimetype_params.get("charset")) not in (None, encodings.UTF_8):
        body = foreign_text.body()
    numbers: dict[str, Any] = {"parse_int": JsonNumber, "parse_float": JsonNumber, "parse_constant": _refuse_constant}
    try:
        try:
            sent = json.loads(body, **numbers)  # in UTF-8, UTF-16 or UTF-32
        except UnicodeDecodeError:
            sent = json.loads(foreign_text.body(), **numbers)
    except (ValueError, RecursionError):
        abort(400, "The body is not valid JSON.")
    if not isinstance(sent, dict):
        abort(422, 'The body must be a JSON object, such as {"email": "ada@example.com"}.')
    if len(sent) > MAX_FIELDS:
        abort(413)
    return sent


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
