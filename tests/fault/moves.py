"""How long a lane stood still though something was due in it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.fault.ledger import Ledger, Promise
from webapp.webhooks.schedule import JITTER


class Stop(NamedTuple):
    """Seconds without a move before this lead was sent to its receiver."""

    seconds: float
    receiver: str
    lead: str


def longest_stop(ledger: Ledger, kills: Sequence[float] = ()) -> Stop:
    """The longest of all lanes, and what was sent at its end. A stop begins anew at each of `kills`, in their order."""
    moves = _moves(ledger)
    stops = [Stop(0.0, "", "")]
    for promise in ledger.books.promises:
        receiver = ledger.evidence.webhooks.get(promise.webhook_id, "")
        for due_at, sent_at in _waits(ledger, promise):
            before = [times[: bisect_left(times, sent_at)][-1:] for times in (moves[receiver], kills)]
            since = max([due_at, *before[0], *before[1]])
            stops.append(Stop(sent_at - since, receiver, promise.lead))
    return max(stops)


def _moves(ledger: Ledger) -> dict[str, list[float]]:
    """When anything was sent, by receiver: as the receivers saw it, and as it was recorded, for not all arrives."""
    receivers = {promise.message_id: promise.webhook_id for promise in ledger.books.promises}
    moves: dict[str, list[float]] = {name: [] for name in ledger.evidence.webhooks.values()}
    for send in ledger.evidence.sends:
        moves[send.receiver].append(send.at)
    for one in ledger.books.tries:
        moves[ledger.evidence.webhooks[receivers[one.message_id]]].append(one.started_at.timestamp())
    return {name: sorted(times) for name, times in moves.items()}


def _waits(ledger: Ledger, promise: Promise) -> Iterator[tuple[float, float]]:
    """From when on each try of a delivery was due, at the latest, and when it was made."""
    due_at = promise.received_at.timestamp()
    for number, one in enumerate(ledger.tries.get(promise.message_id, [])):
        started_at = one.started_at.timestamp()
        yield due_at, started_at
        wait = ledger.evidence.retries[min(number, len(ledger.evidence.retries) - 1)]
        due_at = started_at + one.duration_ms / 1000 + wait * (1 + JITTER)
