"""Watches the sends of a worker process, and has `widening.py` take over a lane whose send holds up others.

A thread of its own does it, because the thread that sends waits for its receiver. It costs an ordinary send nothing.
"""

import operator
import threading
import time

import structlog
from flask import Flask

from webapp.delivery import lanes
from webapp.delivery.lanes import Underway
from webapp.delivery.slots import waiting_since
from webapp.delivery.widening import LOOKS_EVERY, Widening, room, with_newer

log = structlog.get_logger()

EVERY = 0.1  # seconds between two looks
TAKES_LONG = 0.25  # seconds after which a send holds up those behind it in its batch
BATCH_TAKES_LONG = 1.0  # seconds after which a batch of quicker answers is behind


class Watcher:
    """`start` it once in a process that drains lanes."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stopped = threading.Event()
        self._looked_at: dict[int, float] = {}  # by thread id: when newer leads were looked for
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    def start(self) -> None:
        """Watches until `stop`, or the end of the process."""
        self._thread.start()

    def stop(self) -> None:
        """What was taken over goes on."""
        self._stopped.set()
        lanes.send_begun.set()
        self._thread.join()

    def _run(self) -> None:
        with self._app.app_context():
            while not self._stopped.wait(EVERY):
                self._rest()
                try:
                    self._look()
                except Exception as error:  # the thread must go on
                    log.error("sends could not be watched", exc_info=error)

    def _look(self) -> None:
        """Leads that came after a lane's batch are looked for in all lanes at once: hundreds may hang."""
        unknown: list[Underway] = []
        for found in lanes.underway.copy().values():
            if self._holds_up_its_batch(found):
                self._take_over(found)
            elif self._may_hold_up_newer(found):
                unknown.append(found)
        if not unknown:
            return
        known = [due.id for found in unknown for due in found.sent.batch.rows]
        newer = with_newer([found.hold.webhook_id for found in unknown], known)
        for found in unknown:
            if found.hold.webhook_id in newer:
                self._take_over(found)

    def _rest(self) -> None:
        """Waits while nothing is under way: an idle process never wakes for it."""
        lanes.send_begun.clear()
        if not lanes.underway and not self._stopped.is_set():  # else something began, or ended, just before
            lanes.send_begun.wait()

    def _holds_up_its_batch(self, found: Underway) -> bool:
        now, since = time.monotonic(), _may_be_widened(found)
        is_late = now - since >= TAKES_LONG or now - found.begun_at >= BATCH_TAKES_LONG
        return bool(since and is_late and operator.length_hint(found.sent.left))

    def _may_hold_up_newer(self, found: Underway) -> bool:
        """After 1, 2, 4, 8 seconds of its last send."""
        now, since = time.monotonic(), _may_be_widened(found)
        if not since or operator.length_hint(found.sent.left) or now - since < LOOKS_EVERY:
            return False
        if now - self._looked_at.get(found.thread, 0.0) < (now - since) / 2:
            return False
        self._looked_at[found.thread] = now
        return True

    def _take_over(self, found: Underway) -> None:
        """Starts the only thread for it, which may begin late: before the next look the batch has its mark."""
        try:
            self._begin(Widening(found), found)
        except Exception as error:  # the other lanes must be looked at
            log.error("a lane could not be widened", webhook=found.hold.webhook_id, exc_info=error)

    def _begin(self, widening: Widening, found: Underway) -> None:
        if room.acquire(blocking=False):
            found.sent.wait_for_others = widening.wait
            try:
                threading.Thread(target=self._widen, args=(found, widening), name="widening", daemon=True).start()
            except RuntimeError:  # the system has no thread left
                found.sent.wait_for_others = None
                room.release()
                raise

    def _widen(self, found: Underway, widening: Widening) -> None:
        """Takes the lane, unless its drain was quicker, and sends for it."""
        try:
            if lanes.underway.pop(found.sent, None):
                with self._app.app_context():
                    widening.run()
        except Exception as error:
            log.error("a widened lane failed", webhook=found.hold.webhook_id, exc_info=error)
        finally:
            room.release()


def _may_be_widened(found: Underway) -> float:
    """Since when (monotonic) its send waits for the receiver; 0.0 if it does not, or is not to be taken over."""
    since = waiting_since(found.thread)
    return 0.0 if since is None or found.sent.wait_for_others or found.stopping() else since
