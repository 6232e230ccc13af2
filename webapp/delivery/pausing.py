"""When failures pause a webhook: ten in a row that span five days. Runs only after a failure.

The count begins anew with a good answer to anything (a lead, a retry, a test), a new URL, a new token, a resume, and
with a failure after a silence: a lead that was given up a week ago says nothing about today.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, case, func, or_

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.delivery.ledger import GIVE_UP_AFTER, Sent
from webapp.models import Lane

GIVE_UP_TRIES = 10  # failures in a row, for longer than GIVE_UP_AFTER, before a webhook is paused
GONE_WORDS = "The receiver answered 410 Gone: it wants no more leads at this address."
DAY = 86400.0  # the longest wait that a receiver can ask for


class FencedLane(NamedTuple):
    """A lane after a record: its failures in a row, and for how many seconds it has been failing (None: it is not)."""

    failures: int
    failing_for: float | None


def silence() -> float:
    """Seconds without a failure after which the count begins anew: twice as long as any wait for the next try."""
    return 2 * max(DAY, *current_config.retry_schedule)


def failed() -> dict[str, Any]:
    """The columns of a lane after :failed failures, with :silence. By the database's clock, like all times of a lane.

    A failure that seems to lie that far in the future was noted before the clock was set back.
    """
    number = bindparam("failed", type_=Lane.failures.type)
    long_ago = func.abs(now_sql() - Lane.failed_at) > bindparam("silence", type_=Lane.failed_at.type)
    silent = or_(Lane.failing_since.is_(None), Lane.failed_at.is_(None), long_ago)
    return {
        "failures": case((silent, number), else_=Lane.failures + number),
        "failing_since": case((silent, now_sql()), else_=Lane.failing_since),
        "failed_at": now_sql(),
    }


def pause_reason(lane: FencedLane, sent: Sequence[Sent]) -> str | None:
    """Why the webhook must be paused after these attempts, in words; None if it must not."""
    for one in sent:
        if one.outcome.pauses and not one.due.test:
            return one.outcome.stop_words or GONE_WORDS
    if lane.failures < GIVE_UP_TRIES or lane.failing_for is None or lane.failing_for <= GIVE_UP_AFTER:
        return None
    if any(one.counts_as_failure for one in sent):
        return "Every attempt has failed for more than five days."
    return None
