"""Values from a page's query string."""

from flask import request


def number_in_query(name: str) -> int | None:
    """The row id with this name in the query string; None if there is none, it is 0 or it is not a number."""
    word = request.args.get(name, "")
    return int(word) or None if word.isascii() and word.isdigit() and len(word) < 19 else None
