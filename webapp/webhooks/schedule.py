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


def seconds_to_wait(retry_after: str) -> float | None:
    """Parses Retry-After (seconds or a date) into seconds from now, between 0 and a day; None if it is neither."""
    if re.fullmatch(r"[0-9]+", retry_after):
        return min(float(retry_after[:9]), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(seconds.total_seconds(), 0.0), MAX_RETRY_AFTER)
