"""When a failed delivery is retried."""

import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 24 * 3600.0
JITTER = 0.1


def next_delay(
    schedule: Sequence[float],
    failed_tries: int,
    retry_after: float | None,
    jitter: Callable[[], float] = random.random,
) -> float | None:
    """Seconds to wait after automatic try number `failed_tries` (the first is 1) failed; None to give up.

    The wait is the schedule's, or the receiver's Retry-After (seconds, at most a day) if that is longer. Up to a tenth
    is added, so that leads that failed together are not all retried together. `jitter` returns 0 to 1 and only adds: a
    retry is never early. ValueError if `failed_tries` is less than 1.
    """
    if failed_tries < 1:
        raise ValueError("next_delay needs at least one failed try")
    if failed_tries > len(schedule):
        return None
    asked = min(retry_after or 0.0, MAX_RETRY_AFTER)
    return max(schedule[failed_tries - 1], asked) * (1 + JITTER * jitter())


def seconds_to_wait(retry_after: str, date: str = "") -> float | None:
    """Parses Retry-After (seconds or a date) into seconds from now, between 0 and a day; None if it is neither.

    Both headers may be sent several times, joined by commas here: the longest valid wait counts. `date` is the answer's
    own Date (RFC 9110, section 6.6.1), from which a date in Retry-After is counted: the receiver's clock may differ
    from ours. Seconds may have decimals, which RFC 9110 does not allow but servers send.
    """
    now = next((at for text in values(date) if (at := moment(text))), None) or datetime.now(UTC)
    waits = [wait for text in values(retry_after) if (wait := _wait(text, now)) is not None]
    return min(max(waits), MAX_RETRY_AFTER) if waits else None


def values(header: str) -> list[str]:
    """The values of a header that was sent several times. A date has a comma of its own, after the day of the week."""
    return [found.strip() for found in _VALUE.findall(header)]


_VALUE = re.compile(r"(?:\s*(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,)?[^,]+")
_SECONDS = re.compile(r"([0-9]+)(?:\.[0-9]+)?")


def _wait(text: str, now: datetime) -> float | None:
    if seconds := _SECONDS.fullmatch(text):
        return MAX_RETRY_AFTER if len(seconds[1]) > 9 else float(text)
    at = moment(text)
    return max((at - now).total_seconds(), 0.0) if at else None


def moment(text: str) -> datetime | None:
    """A date as HTTP writes it; None for other text."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
