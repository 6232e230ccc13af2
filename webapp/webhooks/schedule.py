"""When a failed delivery is tried again."""

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
    """Seconds to wait after the automatic try that was number `failed_tries` (1 is the first) to fail; None: give up.

    The schedule's wait, or the receiver's Retry-After (seconds, counted up to a day) where that is longer, and up to a
    tenth more, so that leads which failed together do not return together. `jitter` returns 0 to 1 and only ever adds:
    a try is never early. ValueError for less than one failed try.
    """
    if failed_tries < 1:
        raise ValueError("next_delay is asked after a failed try")
    if failed_tries > len(schedule):
        return None
    asked = min(retry_after or 0.0, MAX_RETRY_AFTER)
    return max(schedule[failed_tries - 1], asked) * (1 + JITTER * jitter())


def seconds_to_wait(retry_after: str) -> float | None:
    """Retry-After, as seconds or as a date, in seconds from now between 0 and a day; None where it is neither."""
    if re.fullmatch(r"[0-9]+", retry_after):
        return min(float(retry_after[:9]), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(seconds.total_seconds(), 0.0), MAX_RETRY_AFTER)
