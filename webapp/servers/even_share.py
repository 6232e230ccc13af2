"""How many connections each web process has: a new one is for the process with the fewest.

All processes wait for clients at one socket, and who wakes first takes the client. Of clients that come together, a
process that is awake takes all: then its lock of the interpreter is the limit, while other processors have no work.
"""

import mmap
import time

SLOTS = 64  # of processes that live at the same time, those that stop among them
STALE = 3.0  # seconds; a process that lives says its number at least once a second
STEP = 0.0005  # seconds that one with more connections leaves a new one to the others
MOST_STEPS = 10  # then it takes it: the others have too much to do

# Two numbers for each process: its connections, and when it said so (CLOCK_MONOTONIC). The processes are forked from
# one that has imported this, so all of them see the same memory.
_numbers = memoryview(mmap.mmap(-1, SLOTS * 16)).cast("d")


class EvenShare:
    """The share of one process. `age`: a number that no other living process has, such as gunicorn's `worker.age`."""

    def __init__(self, age: int) -> None:
        self._at = age % SLOTS * 2
        self._steps = 0

    def say(self, connections: int) -> None:
        """Says how many connections this process has."""
        _numbers[self._at] = connections
        _numbers[self._at + 1] = time.monotonic()

    def end(self) -> None:
        """This process takes no more connections."""
        _numbers[self._at + 1] = 0.0

    def steps_back(self, connections: int) -> bool:
        """Whether the client that waits is for another process, which has fewer connections: it was left to that one
        for a moment. Ask again if it still waits."""
        if self._steps >= MOST_STEPS or not self._others_have_fewer(connections):
            self._steps = 0
            return False
        self._steps += 1
        time.sleep(STEP)
        return True

    def _others_have_fewer(self, connections: int) -> bool:
        since = time.monotonic() - STALE
        others = (at for at in range(0, SLOTS * 2, 2) if at != self._at and _numbers[at + 1] > since)
        return any(_numbers[at] < connections for at in others)
