"""What is tracked, as one value: base64url of a JSON object in UTF-8, by name.

The loader and the form send it like that, because firewalls take addresses in plain text for an attack: a referrer that
ends in "?", or one with a numeric host.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def packed(known: Mapping[str, Any]) -> str:
    """The value for what `visitor.tracked` or `undeclared.collect` returned."""
    text = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unpacked(value: object, **numbers: Any) -> dict[str, object]:
    """What a value holds, not yet cleaned; empty for anything that `packed` would not return.

    `numbers` are the arguments of json.loads that say how numbers are read.
    """
    if not isinstance(value, str):
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), **numbers)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def moment(sent: str | None) -> str | None:
    """A time as the payload writes times; None for a text that is no time in UTC, or none of this century."""
    try:
        at = datetime.fromisoformat((sent or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    if at.tzinfo is None or not 2000 < at.year < 2100:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
