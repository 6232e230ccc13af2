"""Counters of the posts to forms, also of those by the REST API, in memory that all web processes of a host share:
gunicorn forks them from one."""

import mmap
import os
import threading

from webapp.per_app import per_app

RESULTS = ("accepted", "spam", "invalid", "closed", "limited", "too_long", "other", "error")
SLOTS = 256  # a process adds in a slot of its own, so that no process waits for another one
CODES = {403: "closed", 409: "closed", 413: "too_long", 422: "invalid", 429: "limited"}


class PostCounters:
    """How many posts had each of RESULTS since the web server started. Make it before the processes are forked."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, SLOTS * len(RESULTS) * 8)).cast("Q")
        self._lock = threading.Lock()

    def add(self, result: str) -> None:
        """Counts one post."""
        at = os.getpid() % SLOTS * len(RESULTS) + RESULTS.index(result)
        with self._lock:
            self._memory[at] += 1

    def totals(self) -> dict[str, int]:
        """The counts of all processes."""
        return {name: sum(self._memory[place :: len(RESULTS)]) for place, name in enumerate(RESULTS)}


def result_of(code: int, is_spam: bool | None) -> str:
    """One of RESULTS. `is_spam`: of the lead that was stored; None where none was."""
    if is_spam is not None:
        return "spam" if is_spam else "accepted"
    return "error" if code >= 500 else CODES.get(code, "other")


post_counters: PostCounters = per_app("post_counters")
