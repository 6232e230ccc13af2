"""What an answer says about the rate limit of its receiver: whether anything remains now, and when more will.

Read are the headers of

- draft-ietf-httpapi-ratelimit-headers-10: `RateLimit: "default";r=0;t=30`, with one item for each limit;
- its versions 03 to 07: `RateLimit: limit=100, remaining=0, reset=30`, or one header each, `RateLimit-Remaining: 0` and
  `RateLimit-Reset: 30`;
- services from before: `X-RateLimit-Remaining: 0` with `X-RateLimit-Reset`, which has seconds, a moment in Unix seconds
  (GitHub) or milliseconds, or a date; with `X-RateLimit-Reset-After` (Discord); and the same as `X-Rate-Limit-…`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from webapp.webhooks.schedule import MAX_RETRY_AFTER, moment, values

_STEMS = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")
HEADERS = frozenset(
    {"ratelimit", *(f"{stem}{end}" for stem in _STEMS for end in ("remaining", "reset", "reset-after"))}
)
LONGEST = 512  # characters of a header; a longer one is not read
EPOCH = 1e9  # more seconds than this are a moment, and a thousand times as many are one in milliseconds
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARAMETER = re.compile(r"(?:^|[;,\s])(r|t|remaining|reset)\s*=\s*(\d{1,12})(?![\d.])", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)


def seconds_until_more(fields: Mapping[str, str]) -> float | None:
    """Seconds until the receiver takes more, a day at most; None if something remains, or the headers do not say.

    `fields`: the headers by lower-case name, repeated ones joined by commas. With several limits the longest wait of
    those that are used up counts. Moments count from the answer's own `Date`, because clocks differ.
    """
    now = moment(fields.get("date", "")) or datetime.now(UTC)
    waits = [wait for wait in (*_of_draft(fields.get("ratelimit", "")), *_of_pairs(fields, now)) if wait > 0]
    return min(max(waits), MAX_RETRY_AFTER) if waits else None


def _of_draft(header: str) -> Iterator[float]:
    header = _QUOTED.sub("", header) if len(header) <= LONGEST else ""
    if '"' in header:  # it is not closed
        return
    whole = dict(_PARAMETER.findall(header))
    if "remaining" in whole:  # of versions 03 to 07: one limit in all
        items = [{"r": whole["remaining"], "t": whole.get("reset", "0")}]
    else:
        items = [dict(_PARAMETER.findall(item)) for item in header.split(",")]
    for item in items:
        if "r" in item and int(item["r"]) == 0:
            yield float(item.get("t", 0))


def _of_pairs(fields: Mapping[str, str], now: datetime) -> Iterator[float]:
    for stem in _STEMS:
        remaining = [text.strip() for text in fields.get(f"{stem}remaining", "").split(",")]
        after = fields.get(f"{stem}reset-after") or fields.get(f"{stem}reset") or ""
        waits = [_wait(text, now) for text in values(after)] if len(after) <= LONGEST else []
        if len(waits) == len(remaining):  # the same limits, in the same order
            yield from (wait for number, wait in zip(remaining, waits, strict=True) if _is_zero(number))
        elif any(map(_is_zero, remaining)):
            yield from waits


def _is_zero(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text)) and float(text) == 0


def _wait(text: str, now: datetime) -> float:
    if not _NUMBER.fullmatch(text):
        at = moment(text)
        return (at - now).total_seconds() if at else 0.0
    seconds = float(text)
    if seconds >= EPOCH * 100:
        seconds /= 1000
    return seconds - now.timestamp() if seconds >= EPOCH else seconds
