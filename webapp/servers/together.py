"""Requests that are answered together by one thread of a web process: they begin alike and come at the same time.
Posts of forms have such a thread. Views of forms have another one, so they do not wait behind posts.

The app names the beginnings of such requests (`leadhook_together` in its extensions, behind its `wsgi_app`). Its code
is the same as for a request alone. It raises Elsewhere if the rest of the work is not for this thread, which must never
wait for long. Then another thread goes on with that request. See docs/adr/0025-posts-that-come-together.md.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty
from re import Pattern
from typing import Any

from webapp.db.write_turns import MOST, SideBySide
from webapp.servers.incoming import Connection
from webapp.servers.request_threads import RequestThreads

TOGETHER = "leadhook.together"  # in the WSGI environment
# So many came together: their clients send the next ones about when these are answered. The thread waits for those, and
# the loop pauses meanwhile.
MANY = 4
GATHER = 0.002  # seconds at most to wait for as many again
STEP = 0.0002  # seconds between two looks whether they have come


class Elsewhere(BaseException):
    """The rest of the request is for another thread. `app`: the WSGI application that answers it."""

    def __init__(self, app: Callable[..., Any]) -> None:
        super().__init__()
        self.app = app


class Together(RequestThreads):
    """One thread that works on all connections that have come, side by side. `has_many`: on MANY or more just now."""

    def __init__(self, work: Callable[[Connection], None]) -> None:
        self.has_many = False
        super().__init__(1, "together", work)

    def _run(self) -> None:
        beside, last = SideBySide(), 1
        while conn := self._queue.get():
            if last >= MANY:
                self._gather(last - 1)
            works = [partial(self._work, each) for each in (conn, *self._more())]
            last = len(works)
            self.has_many = last >= MANY
            beside.run(works)
            self.has_many = False

    def _gather(self, more: int) -> None:
        ends_at = time.monotonic() + GATHER
        while self._queue.qsize() < more and time.monotonic() < ends_at:
            time.sleep(STEP)

    def _more(self) -> Iterator[Connection]:
        with suppress(Empty):
            for _ in range(MOST - 1):
                conn = self._queue.get_nowait()
                if conn is None:  # the process ends
                    self._queue.put(None)
                    return
                yield conn


def beginnings(app: Any) -> Sequence[Pattern[bytes]]:
    """For each such thread, how its requests begin. There is none where somebody has put a middleware of their own
    around the app: what goes on elsewhere would leave it, and what that made of the request and its answer."""
    extensions: dict[str, Any] = getattr(app, "extensions", {})
    within, begins = extensions.get("leadhook_together", (None, ()))
    return begins if getattr(app, "wsgi_app", None) is within else ()
