"""Wakes the feeds that wait: one thread of a process looks for all of them, as long as any waits."""

import threading
from collections.abc import Callable

import structlog
from flask import Flask
from sqlalchemy import bindparam, func, select

from webapp.db.transactions import read_autocommit
from webapp.models import Delivery
from webapp.per_app import per_app
from webapp.services.webhooks.feed_horizon import horizon

LOOK = 0.5  # seconds between two looks
MOST_WOKEN = 5  # at a look: many feeds of one webhook must not take the processor from those who post leads
BUSY = 4  # deliveries since the look before: more than that, and one is woken

log = structlog.get_logger()

_NEWEST = select(Delivery.webhook_id, func.max(Delivery.id)).group_by(Delivery.webhook_id)
_NEWEST = _NEWEST.where(Delivery.id > bindparam("after"), Delivery.id <= bindparam("upto"))


class Waiter:
    """A feed that waits for a delivery of this webhook with a number after this one."""

    def __init__(self, webhook_id: int, after: int, wake: Callable[[], object]) -> None:
        self.webhook_id, self.after, self.wake = webhook_id, after, wake


class FeedWatch:
    """The waiting feeds of a process. `wake` is called on the watching thread, once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiters: dict[Waiter, None] = {}
        self._runs = False
        self._upto = 0

    def add(self, waiter: Waiter, app: Flask) -> None:
        with self._changed:
            self._waiters[waiter] = None
            if not self._runs:
                threading.Thread(target=self._run, args=(app,), name="feed watch", daemon=True).start()
                self._runs = True  # not where the system has no thread left: then the next one that waits tries again

    def remove(self, waiter: Waiter) -> None:
        with self._changed:
            self._waiters.pop(waiter, None)
            self._changed.notify()

    def _run(self, app: Flask) -> None:
        with app.app_context():
            while self._goes_on():
                try:
                    self.look()
                except Exception as error:  # the others wait on, and a feed that waits too long is answered anyway
                    log.error("the feeds that wait could not be looked at", exc_info=error)

    def _goes_on(self) -> bool:
        """Waits for the time of the next look. False, and the thread ends, if nothing waits any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiters, LOOK)
            self._runs = bool(self._waiters)
            return self._runs

    def look(self) -> None:
        """Wakes those that have something to read, those first that have waited longest."""
        upto, _ = horizon.look()
        is_busy, self._upto = 0 < self._upto < upto - BUSY, upto
        with self._changed:
            waiters = list(self._waiters)
        after = min((each.after for each in waiters), default=upto)
        if upto <= after:
            return
        with read_autocommit() as connection:
            newest = {row[0]: row[1] for row in connection.execute(_NEWEST, {"after": after, "upto": upto})}
        found = [each for each in waiters if newest.get(each.webhook_id, 0) > each.after]
        for each in found[: 1 if is_busy else MOST_WOKEN]:
            self.remove(each)
            each.wake()
        for each in waiters:
            if each not in found:
                each.after = max(each.after, upto)


watch: FeedWatch = per_app("feed_watch")
