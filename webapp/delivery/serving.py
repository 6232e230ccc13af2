"""Serves rung lanes: one job for all of them, for a slice, in rounds.

A job for each lead costs more than the lead: RQ writes and reads a job in a dozen commands. So captures only add their
lanes to a set in Redis (`rings.ring_lanes`). A round takes the lanes that are there, reads and records them by one
statement each, and sends for the *plain* ones on this one thread. A lane that needs more goes to a slot, which goes on
as a drain does: so does one whose answer takes long. It comes back once its receiver answers quickly. No lane waits for
another one's receiver.

While a job serves, a key in Redis says so. It ends by itself soon after a worker was killed, and the sweep rings what
that worker had taken from the set.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import structlog
from flask import Flask, current_app
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webapp.db import bulk
from webapp.delivery import lanes, ledger, rings, several
from webapp.delivery.lanes import Hold
from webapp.delivery.rings import queues, rung_key, serving_key
from webapp.delivery.sending import Sending
from webapp.delivery.several import LaneDue
from webapp.delivery.slots import LONGEST, Slots
from webapp.servers.redis_server import Command, converse, without_scores
from webapp.webhooks.exchanges import Exchange, wait

log = structlog.get_logger()

SERVES = LONGEST  # seconds of a job. The next one may be in another process, which has to connect first
ALIVE = 1.0  # seconds that the key outlives the last round
WAITS = 0.5  # seconds that a job waits for a ring, before it ends
MOST = 50  # lanes of a round; where more are due again and again, each round has one more
RENEWS = 0.2  # seconds after which the key is renewed, while lanes are rung all the time
PACE = 0.006  # seconds from the beginning of a round to the next: more leads share one
PATIENCE = lanes.QUICK / 1000  # seconds that a round waits for an answer


def serve(stopping: Callable[[], bool] = lambda: False) -> None:
    """Serves rung lanes until the slice is over, none is rung for WAITS, or `stopping()`; then rings for the rest.

    Does nothing while another job serves. Raises what Redis or the database raise; then the sweep rings what was lost.
    """
    server = Server()
    if queues.redis.set(serving_key, server.token, nx=True, px=round(ALIVE * 1000)):
        try:
            server.run(stopping)
        finally:
            server.end()


class Server:
    """One job that serves."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8).encode()
        self._renewed_at = time.monotonic()
        self._is_ours = True  # the key, when last asked

    def run(self, stopping: Callable[[], bool]) -> None:
        """Round after round. What a round finds due again is the next one's, too."""
        due, ends_at = list[int](), time.monotonic() + SERVES
        try:
            while self._is_ours and not stopping() and (left := ends_at - time.monotonic()) > 0:
                due += [lane for lane in self.pop(0 if due else min(WAITS, left), len(due)) if lane not in due]
                if not due:
                    return
                one, began_at, due = Round(due, stopping), time.monotonic(), []
                try:
                    one.run()
                finally:
                    due = one.due
                time.sleep(max(0.0, began_at + PACE - time.monotonic()))
        finally:
            if due:
                rings.ring_lanes(due)

    def pop(self, seconds: float, fewer: int) -> list[int]:
        """The lanes that are rung, waiting so long for the first one. Renews the key."""
        now = time.monotonic()
        renews = seconds > 0 or now > self._renewed_at + RENEWS
        commands: list[Command] = []
        if renews:
            commands += ("GET", serving_key), ("PEXPIRE", serving_key, round(ALIVE * 1000))
        if seconds:
            commands.append(("BZPOPMIN", rung_key, max(seconds, 0.01)))  # Redis 6.2 has no BZMPOP
        *found, others = converse(queues.patient, *commands, ("ZPOPMIN", rung_key, max(1, MOST - 1 - fewer)))
        if renews:
            self._renewed_at, self._is_ours = now, found[0] == self.token
        first = [int(found[-1][1])] if seconds and found[-1] else []
        return first + [int(lane) for lane in without_scores(others)]

    def end(self) -> None:
        """A ring adds its lane before it asks for the key. So it finds none, or its lane is found here."""
        try:
            if queues.redis.get(serving_key) == self.token:
                queues.redis.delete(serving_key)
            if queues.redis.zcard(rung_key):
                rings.ring_server()
        except RedisError as error:
            queues.failed(error)


# A round -------------------------------------------------------------------------------------------------------------


def is_plain(hold: Hold, found: LaneDue) -> bool:
    """Whether a lane has nothing but fresh leads for an ordinary webhook: then a round sends for it."""
    settings = found.batch.settings
    is_unusual = hold.careful or found.has_others or not lanes.is_ordinary(settings)
    return not is_unusual and all(due.payload for due in found.batch.rows)


class Round:
    """These lanes, once: taken, read, sent, recorded and let go, or given to slots. `due`: what is due again then."""

    def __init__(self, rung: Sequence[int], stopping: Callable[[], bool]) -> None:
        self._rung = rung
        self.due = list[int]()
        self._stopping = stopping
        self._app = cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
        self._slots: Slots | None = self._app.extensions.get("leadhook_slots")
        self._plain: dict[Hold, Sending] = {}
        self._free: list[Hold] = []  # to be let go
        self._rings: dict[int, bool] = {}  # what gets a job of its own after that: webhook id, and whether it is slow

    def run(self) -> None:
        """Raises what the database raises, once no lane is locked any more or a slot has it."""
        self._ends_at = time.monotonic() + ledger.SLICE
        with bulk.driver() as connection:
            holds = several.take(connection, self._rung)
        found: Mapping[int, LaneDue] = {}
        try:
            if len(holds) < len(self._rung):
                self._ring_skipped({hold.webhook_id for hold in holds})
            found = self._read(holds)
        finally:
            for hold in holds:
                with self._no_lane_forgotten(hold):
                    self._sort(hold, found.get(hold.webhook_id))
            with self._no_lane_forgotten():
                self._send()
            self._record()
            self._let_go()

    @contextmanager
    def _no_lane_forgotten(self, *holds: Hold) -> Iterator[None]:
        """After an error of our own code, slots go on with these lanes (none given: all plain ones), and the round ends
        as usual: no lane stays locked for a lease."""
        try:
            yield
        except Exception as error:
            log.error("a round failed; slots go on with its lanes", exc_info=error)
            for hold in holds or list(self._plain):
                self._hand_over(hold, self._plain.get(hold))

    def _read(self, holds: Sequence[Hold]) -> Mapping[int, LaneDue]:
        if not holds:
            return {}
        with bulk.driver() as connection:
            found = several.read(connection, [hold.webhook_id for hold in holds])
        if time.monotonic() > holds[0].ends_at - ledger.lease() + ledger.LEASE_MARGIN:
            log.warning("batches were read too late to send; the next round sends them")
            return {}
        return found

    def _ring_skipped(self, taken: set[int]) -> None:
        """A drain that holds a lane has its last look to come. A transaction that changes one just now has not."""
        with bulk.driver() as connection:
            for webhook_id in several.free(connection, [one for one in self._rung if one not in taken]):
                rings.ring(webhook_id)

    def _sort(self, hold: Hold, found: LaneDue | None) -> None:
        if found is None or not (found.batch.rows or found.has_others):
            self._free.append(hold)
        elif found.batch.settings.slow or len(found.batch.rows) == ledger.BATCH:
            self._free.append(hold)  # slow lanes have a queue of their own, and a backlog is for all processes
            self._rings[hold.webhook_id] = found.batch.settings.slow
        elif is_plain(hold, found) and (sent := Sending(found.batch, self._turn_is_over)).prepare():
            self._plain[hold] = sent
        else:
            self._hand_over(hold)

    def _turn_is_over(self) -> bool:
        return self._stopping() or time.monotonic() >= self._ends_at

    def _hand_over(self, hold: Hold, sent: Sending | None = None) -> None:
        """A slot goes on with a lane, and with what is sent. If none is free, one that sent nothing gets a job."""
        self._plain.pop(hold, None)
        if (sent and sent.is_under_way) or (self._slots and self._slots.has_room()):
            stopping = self._stopping
            self._on_slot(lambda: lanes.go_on(hold, stopping, sent, returns=True))
        else:
            self._free.append(hold)
            self._rings[hold.webhook_id] = False

    def _on_slot(self, work: Callable[[], None]) -> None:
        app = self._app

        def working() -> None:
            with app.app_context():
                work()

        if self._slots:
            self._slots.add(working)
        else:  # no worker process
            work()

    # Sending ---------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Each lane sends one lead at a time. No answer is waited for longer than PATIENCE."""
        self._under_way: dict[Exchange, tuple[Hold, float]] = {}
        self._patient_until = time.monotonic() + PATIENCE
        for hold in list(self._plain):
            self._begin(hold)
        while self._under_way:
            oldest = min(began_at for _, began_at in self._under_way.values())
            for exchange in wait(list(self._under_way), oldest + PATIENCE - time.monotonic()):
                self._look(exchange)
            now = time.monotonic()
            for exchange, (hold, began_at) in list(self._under_way.items()):
                if now >= began_at + PATIENCE:
                    del self._under_way[exchange]
                    self._hand_over(hold, self._plain[hold])

    def _begin(self, hold: Hold) -> None:
        """What of a batch is not begun in time is the next round's."""
        sent, now = self._plain[hold], time.monotonic()
        if not sent.may_begin or (now > self._patient_until and sent.is_under_way):
            return
        if exchange := sent.begin():
            self._under_way[exchange] = hold, now
        else:
            self._hand_over(hold, sent)

    def _look(self, exchange: Exchange) -> None:
        outcome = exchange.poll()
        if outcome or exchange.ended:
            hold, _ = self._under_way.pop(exchange)
            if outcome:
                self._plain[hold].end(outcome)
                self._begin(hold)
            else:
                self._hand_over(hold, self._plain[hold])

    # Recording -------------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        """What is unusual is recorded by a slot, as a drain records it."""
        for hold, sent in list(self._plain.items()):
            if not several.is_usual(sent.batch.settings, sent.tries):
                self._hand_over(hold, sent)
        self._recorded: list[int] = []
        if not self._plain:
            return
        token, ours = next(iter(self._plain)).token, set[int]()
        try:
            batches = [(sent.batch.settings, sent.tries) for sent in self._plain.values()]
            ours = several.record_delivered(token, batches)
        except SQLAlchemyError as error:
            log.warning("a round could not be recorded; its lanes are one by one", error=type(error).__name__)
        for hold, sent in list(self._plain.items()):
            if hold.webhook_id in ours:
                self._recorded.append(hold.webhook_id)
            else:
                self._hand_over(hold, sent)

    def _let_go(self) -> None:
        """Lets go what was not sent, and looks once more for what is due: another job may have found a lane locked."""
        freed = self._freed()
        for webhook_id, slow in self._rings.items():
            rings.ring(webhook_id, slow)
        left = [one for one in (*freed, *self._recorded) if one not in self._rings]
        if left:
            with bulk.driver() as connection:
                self.due = several.last_look(connection, left)

    def _freed(self) -> set[int]:
        """Lets the lanes go. A slot waits for one that a transaction changes just now, or for the database."""
        freed, by_id = set[int](), {hold.webhook_id: hold for hold in self._free}
        try:
            if by_id:
                with bulk.driver() as connection:
                    freed = set(several.let_go(connection, self._free[0].token, list(by_id)))
        except SQLAlchemyError as error:
            log.warning("lanes could not be let go; they are one by one", error=type(error).__name__)
        for webhook_id in by_id.keys() - freed:
            self._on_slot(partial(lanes.give_back, by_id[webhook_id], self._rings.pop(webhook_id, False)))
        return freed
