"""JSON bytes of any tree, as JSON.stringify prints them (see as_javascript.py), fast where msgspec prints the same."""

from collections.abc import Mapping
from typing import Any

from webapp.webhooks.formats.work import MAX_OUTPUT, CannotRender
from webapp.webhooks.payload import encode as encode_payload
from webapp.webhooks.payload import whole_characters

__all__ = ["encode", "encode_bounded", "whole_characters"]

TOO_LONG = f"The payload would be longer than {MAX_OUTPUT // 1024} KB."


def encode(value: Mapping[str, Any]) -> bytes:
    return encode_payload(value, is_plain(value))


def encode_bounded(value: Any) -> bytes:
    """CannotRender for more than MAX_OUTPUT bytes, before they are made: a tree can hold one large value many times."""
    body = encode_payload(value, is_plain(value, MAX_OUTPUT))
    if len(body) > MAX_OUTPUT:
        raise CannotRender(TOO_LONG)
    return body


def is_plain(tree: Any, most: float = float("inf")) -> bool:
    """Whether msgspec prints what JavaScript does: no number has decimals, no key looks like an index.

    CannotRender for a tree that has more than `most` characters."""
    plain, size, ahead = True, 0, [tree]
    while ahead:
        value = ahead.pop()
        kind = type(value)
        if kind is dict:
            for key in value:
                size += len(key) + 3
                plain = plain and not key[:1].isdigit()
            ahead += value.values()
        elif kind is list:
            size += len(value)
            ahead += value
        elif kind is float:
            plain = False
        else:
            size += len(value) if isinstance(value, str) else 1
        if size > most:
            raise CannotRender(TOO_LONG)
    return plain
