"""One try and what came of it, and where that takes its delivery."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from webapp.delivery.ledger import Due
from webapp.models import DeliveryState
from webapp.webhooks.outcome import ErrorKind, Outcome
from webapp.webhooks.schedule import next_delay

GONE = 410


class Sent(NamedTuple):
    """One try: the id made before it, when it began, and what came of it."""

    due: Due
    attempt_id: str
    started_at: datetime
    timestamp: int
    outcome: Outcome


class Unsendable(NamedTuple):
    """A delivery that could not be sent at all, and why: it is Held, never sent unsigned."""

    due: Due
    reason: str


class Move(NamedTuple):
    """Where a delivery goes after a try. `delay`: seconds to the next automatic one; None with keep_due False: none."""

    state: DeliveryState
    tries: int
    keep_due: bool
    delay: float | None
    gave_up: bool


def move(sent: Sent, retries: Sequence[float]) -> Move:
    """The next state of a delivery. `retries` are the waits of its schedule, empty where retries are off.

    A click is one try: it leaves the automatic schedule and its count as they are.
    """
    due, outcome = sent.due, sent.outcome
    clicked = due.retry_at is not None
    tries = due.tries if clicked else due.tries + 1
    if outcome.delivered:
        return Move(DeliveryState.DELIVERED, tries, keep_due=False, delay=None, gave_up=False)
    if clicked:
        waits = due.state == DeliveryState.PENDING and not due.test
        return Move(DeliveryState(due.state) if waits else DeliveryState.FAILED, tries, waits, None, gave_up=False)
    final = outcome.code == GONE or outcome.error == ErrorKind.BLOCKED_ADDRESS
    delay = None if final else next_delay(retries, tries, outcome.retry_after)
    if delay is None:
        gave_up = bool(retries) and not final
        return Move(DeliveryState.FAILED, tries, keep_due=False, delay=None, gave_up=gave_up)
    return Move(DeliveryState.PENDING, tries, keep_due=False, delay=delay, gave_up=False)
