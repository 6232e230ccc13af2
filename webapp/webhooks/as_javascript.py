"""JSON as JavaScript's JSON.stringify prints it (ECMA-262: Number::toString, OrdinaryOwnPropertyKeys).

Receivers that lost the raw body verify the signature of `JSON.stringify(JSON.parse(body))`. Python prints the same, but
for some numbers and for keys that look like an index. Only payloads that may have one of these come here.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_LAST_INDEX = 2**32 - 2


def text(value: Any) -> str:
    """Compact JSON. TypeError for what JSON has no type for; ValueError for NaN and infinity."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_quoted(key)}:{text(value[key])}" for key in _in_order(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(text, value)) + "]"
    return _number(value) if isinstance(value, float) else _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _in_order(keys: Mapping[str, Any]) -> list[str]:
    """JavaScript moves keys that are an index of an array to the front, smallest first."""
    indexes = [key for key in keys if _is_index(key)]
    return [*sorted(indexes, key=int), *(key for key in keys if not _is_index(key))]


def _is_index(key: str) -> bool:
    return key.isdecimal() and key.isascii() and (key == "0" or key[0] != "0") and int(key[:11]) <= _LAST_INDEX


def _number(value: float) -> str:
    if not value:
        return "0"  # -0, too
    sign, figures, exponent = Decimal(json.dumps(value, allow_nan=False)).normalize().as_tuple()
    digits, point = "".join(map(str, figures)), len(figures) + int(exponent)
    minus = "-" if sign else ""
    if point > 21 or point <= -6:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{minus}{digits[0]}{fraction}e{point - 1:+d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
    return f"{minus}{whole}.{fraction}" if fraction else minus + whole
