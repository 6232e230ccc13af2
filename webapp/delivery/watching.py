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
from webapp.delivery.widening import LOOKS_EVERY, Widening, has_newer, room

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
                for found in lanes.underway.copy().values():
                    try:
                        if self._holds_up_others(found):
                            self._take_over(found)
                    except Exception as error:  # the thread must go on with the next lane
                        log.error("a lane could not be widened", webhook=found.hold.webhook_id, exc_info=error)

    def _rest(self) -> None:
        """Waits while nothing is under way: an idle process never wakes for it."""
        lanes.send_begun.clear()
        if not lanes.underway and not self._stopped.is_set():  # else something began, or ended, just before
            lanes.send_begun.wait()

    def _holds_up_others(self, found: Underway) -> bool:
        now, since = time.monotonic(), waiting_since(found.thread)
        if since is None or found.sent.wait_for_others or found.stopping():
            return False
        if operator.length_hint(found.sent.left):
            return now - since >= TAKES_LONG or now - found.begun_at >= BATCH_TAKES_LONG
        # After 1, 2, 4, 8 seconds: hundreds of receivers that hang are looked after, too.
        if now - since < LOOKS_EVERY or now - self._looked_at.get(found.thread, 0.0) < (now - since) / 2:
            return False
        self._looked_at[found.thread] = now
        return has_newer(found.hold.webhook_id, {due.id for due in found.sent.batch.rows})

    def _take_over(self, found: Underway) -> None:
        """Starts the only thread for it, which may begin late: before the next look the batch has its mark."""
        widening = Widening(found)
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
