"""Rings after captures, on a thread of the web process: the visitor is answered first, and what is captured meanwhile
for the same webhook is rung once.

Only gunicorn starts it; elsewhere (commands, tests, `flask run`) a ring happens at once. What a web process that dies
has not rung yet, the sweep rings.
"""

import threading

import structlog
from flask import Flask

from webapp.delivery import lanes
from webapp.per_app import per_app

log = structlog.get_logger()


class Bell:
    """The webhooks to be rung, in the order they came."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, None] = {}
        self._running = False

    def ring(self, webhook_id: int) -> None:
        """Sees to it that the lane is rung unless it is held, as soon as may be. To be called after a commit."""
        with self._changed:
            running = self._running
            if running:
                self._waiting[webhook_id] = None
                self._changed.notify()
        if not running:
            lanes.ring_unless_held(webhook_id)

    def start(self, app: Flask) -> None:
        """From now on rings go over a thread, which ends with the process."""
        self._running = True
        threading.Thread(target=self._run, args=(app,), name="bell", daemon=True).start()

    def _run(self, app: Flask) -> None:
        with app.app_context():
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting)
                    webhook_ids, self._waiting = self._waiting, {}
                for webhook_id in webhook_ids:
                    try:
                        lanes.ring_unless_held(webhook_id)
                    except Exception as error:  # whatever it is, the next ring must not be lost to it
                        log.error("a lane could not be rung, the sweep will", webhook=webhook_id, exc_info=error)


bell = per_app("bell", lambda app: Bell())
