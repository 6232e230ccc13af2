"""*Automatic* parallel requests: sends for a lane that is behind, several leads at a time.

A lane sends one lead at a time, on the drain's own thread. When one send takes long and others wait behind it,
`watching.py` has a `Widening` take the lane over from the drain: it sends what is left on more threads, records what
has ended, reads what is due meanwhile, and renews the lease each time. The drain waits for it, so that the job lasts as
long as its sends. What it learned of the receiver is forgotten at the end.

The promises of a drain stay. No send begins later than a slice after the lease was renewed, so that it ends within it;
at most a batch is sent and not recorded; while the process stops, no send begins.
"""

import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from webapp.db import bulk
from webapp.delivery import lanes, ledger, several
from webapp.delivery.lanes import Underway
from webapp.delivery.ledger import Batch, Due
from webapp.delivery.pace import MOST, Pace
from webapp.delivery.sending import Sending
from webapp.delivery.slots import LONGEST, waiting
from webapp.webhooks.outcome import ErrorKind

log = structlog.get_logger()

CANNOT_LOOK = "newer leads cannot be looked for"
RECORDS_AFTER = 0.5  # seconds that an answer waits to be recorded at most, while others are under way
LOOKS_EVERY = 1.0  # seconds between two looks for newer leads, while all that is due is under way
TENTH = 0.1  # seconds between two looks at the own sends

# Threads of this process beside those of its slots. Without room a lane sends one at a time.
room = threading.BoundedSemaphore(64)


class Portion(Sending):
    """Rows that were read together, with the settings for them. `noted` and `recorded`: so many of its tries are."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch, lambda: False)
        self.noted = self.recorded = 0

    def _may_begin(self) -> bool:
        return True  # `Widening` has decided

    @property
    def unrecorded(self) -> int:
        return len(self.tries) - self.recorded

    def take(self) -> Sending:
        """What is to be recorded now."""
        new = Sending(self.batch, lambda: True)
        new.tries = self.tries[self.recorded :]
        ended = {one.due.id for one in new.tries}  # each row is in one portion, once
        new.unanswered = [first for first in self.unanswered if first.due.id in ended]
        new.unsendable, self.unsendable = self.unsendable, []
        self.recorded += len(new.tries)
        return new


class Widening:
    """Sends until nothing is due or under way, or the turn is over. The drain calls `wait`, a thread of ours `run`."""

    def __init__(self, found: Underway) -> None:
        self.hold = found.hold
        self._drain = found.sent
        self._stopping = found.stopping
        self._ends_at = found.begun_at + LONGEST
        self._is_over = threading.Event()
        self._changed = threading.Condition()
        self._ended: list[int] = []  # deliveries whose send ended, not noted yet
        self._drain_is_back = False
        self._under_way: dict[int, float] = {}  # by delivery id: since when
        self._rows: deque[Due] = deque()  # read, not sent yet; of the last part
        self._given: deque[tuple[Portion, Due]] = deque()  # for the next free thread
        self._portions = [self._of_drain()]
        self._recorded_at = 0.0
        self._closes = False
        self._pace = Pace(found.sent.batch.settings.slow)

    def _of_drain(self) -> Portion:
        """What the drain has sent and is sending: the same lists."""
        portion = Portion(self._drain.batch)
        portion.tries, portion.unsendable = self._drain.tries, self._drain.unsendable
        portion.unanswered = self._drain.unanswered
        return portion

    def wait(self) -> None:
        """For the drain, when its own send has ended."""
        with self._changed:
            self._drain_is_back = True
            self._changed.notify()
        with waiting():
            self._is_over.wait()

    def run(self) -> None:
        """Raises what the database raises; then the lane is free when its lease ends."""
        try:
            self._send_all()
        finally:
            self._is_over.set()  # also after an error: the drain waits for it without a limit

    def _send_all(self) -> None:
        rows = [due for due in self._drain.batch.rows if due.payload]  # the others are not sent
        left = len(list(self._drain.left))  # so that the drain begins none of them
        current = rows[len(rows) - left - 1].id
        self._under_way[current] = time.monotonic()
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="wide")
        try:
            while self._has_work():
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or self._drain_is_back, TENTH)
                    if self._drain_is_back:
                        self._ended.append(current)
                        self._drain_is_back = False
                self._note()
                self._refill_in_time()
            self._record(last=True)
        finally:
            self._pool.shutdown(wait=False)

    def _has_work(self) -> bool:
        self._start()
        if not self._under_way and not self._is_closing():
            self._refill()
            self._start()
        return bool(self._under_way)

    def _is_closing(self) -> bool:
        return self._closes or self.hold.is_lost or self._stopping() or time.monotonic() >= self._ends_at

    # Sending ---------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        portion = self._portions[-1]
        while self._rows and self._may_start() and room.acquire(blocking=False):
            due = self._rows.popleft()
            self._under_way[due.id] = time.monotonic()
            self._given.append((portion, due))
            try:
                self._pool.submit(self._send)
            except RuntimeError:  # the system has no thread left: what is under way ends, and a drain goes on
                self._closes = True
                self._take_back()

    def _may_start(self) -> bool:
        in_time = time.monotonic() <= self.hold.ends_at - ledger.lease() + ledger.SLICE
        number = len(self._under_way)
        has_place = number < self._pace.width and number + self._unrecorded() < ledger.BATCH
        return in_time and has_place and not self._is_closing()

    def _take_back(self) -> None:
        with suppress(IndexError):  # a thread that got free has it
            _, due = self._given.pop()
            del self._under_way[due.id]
            room.release()

    def _send(self) -> None:
        try:
            portion, due = self._given.popleft()
        except IndexError:  # it was taken back
            return
        try:
            portion.attempt(due)
        finally:
            room.release()
            with self._changed:
                self._ended.append(due.id)
                self._changed.notify()

    def _note(self) -> None:
        """Learns from what has ended, and closes after a 410, an ask for a rest, or time-outs only, as a drain does."""
        with self._changed:
            ended, self._ended = self._ended, []
        for portion in self._portions:
            for one in portion.tries[portion.noted :]:
                portion.noted += 1
                self._pace.learn(one.outcome)
                is_dead = one.outcome.error == ErrorKind.TIMEOUT and not self._pace.has_answered
                self._closes |= is_dead or one.outcome.pauses or one.outcome.asks_for_rest
            if portion.had_no_turn or self._drain.had_no_turn:
                self._closes = self._drain.had_no_turn = True
        for delivery_id in ended:
            self._under_way.pop(delivery_id, None)
        if self._rows and self._under_way and len(self._under_way) >= self._pace.width:
            self._pace.grow(time.monotonic() - max(self._under_way.values()))

    # Recording -------------------------------------------------------------------------------------------------------

    def _unrecorded(self) -> int:
        return sum(portion.unrecorded for portion in self._portions)

    def _refill_in_time(self) -> None:
        since, unrecorded = time.monotonic() - self._recorded_at, self._unrecorded()
        if unrecorded and (since >= RECORDS_AFTER or not self._rows or unrecorded >= ledger.BATCH // 2):
            self._refill()
        elif self._is_closing():
            return
        elif self._rows and since > ledger.SLICE and len(self._under_way) < self._pace.width:
            self._refill()  # to renew the lease
        elif not self._rows and since >= LOOKS_EVERY:
            self._recorded_at = time.monotonic()
            if with_newer([self.hold.webhook_id], self._under_way):
                self._refill()

    def _refill(self) -> None:
        """Records what has ended, renews the lease, and reads what is due."""
        following = self._record(last=False)
        self._rows.clear()
        if following is None:
            return
        # One lead tries first, or none; or *Parallel requests* is another number now: a drain's work.
        if following.settings.resting is not None or not following.settings.automatic:
            self._closes = True
            return
        rows = [due for due in following.rows if due.id not in self._under_way]
        portion = Portion(Batch(following.settings, rows))
        self._portions = [one for one in self._portions if self._is_under_way(one)] + [portion]
        if rows and portion.prepare():
            self._rows.extend(rows)

    def _is_under_way(self, portion: Portion) -> bool:
        return any(due.id in self._under_way for due in portion.batch.rows)

    def _record(self, last: bool) -> Batch | None:
        """Each portion with its own settings. `last`: the lane is let go. Returns what is due now."""
        self._recorded_at, following = time.monotonic(), None
        news = [portion for portion in self._portions if portion.unrecorded or portion.unsendable]
        news = news or self._portions[-1:]
        for number, portion in enumerate(news, 1):
            if last and number == len(news):
                lanes.record_last(self.hold, portion.batch, portion.take())
            else:
                following = lanes.record_part(self.hold, portion.batch, portion.take())
        return following


def with_newer(webhook_ids: Sequence[int], known: Iterable[int]) -> Collection[int]:
    """Those of the webhooks that have due deliveries beside the known ones; none where the database cannot be asked."""
    try:
        with bulk.driver() as connection:
            return several.with_newer(connection, webhook_ids, known)
    except SQLAlchemyError as error:  # what is under way must be recorded
        log.warning(CANNOT_LOOK, error=type(error).__name__)
        return []
