"""How many leads a widened lane sends at a time: grows while all wait, shrinks if that is too much for the receiver."""

import time

from webapp.webhooks.outcome import ASK_FOR_REST, NO_ANSWER, Outcome

MOST = 8
MOST_UNPROVED = 2  # while a lane is slow and the receiver has not answered: it may be down
GROWS_EVERY = 0.25  # seconds
WAITS = 0.25  # seconds that the newest request waits before another one is added
SLOW_ANSWER = 0.05  # seconds; if answers take as long, one more is added without that wait
CALM = 5.0  # seconds after a 429 or 503 in which none is added
GETS_SLOWER = 2.0  # times the quickest answer: then there is one request less


class Pace:
    """`width` is the number of requests, learned from the outcomes of one drain."""

    def __init__(self, is_slow: bool) -> None:
        self.width = 2
        self.has_answered = False
        self._is_slow = is_slow
        self._best = self._recent = 0.0  # seconds that answers take: the quickest, and those of late
        self._grows_at = time.monotonic() + GROWS_EVERY

    def learn(self, outcome: Outcome) -> None:
        """From the end of a request."""
        if outcome.code == NO_ANSWER:
            return
        seconds = outcome.duration_ms / 1000
        self._best = min(self._best, seconds) if self.has_answered else seconds
        self._recent = 0.8 * self._recent + 0.2 * seconds if self.has_answered else seconds
        self.has_answered = True
        if outcome.code in ASK_FOR_REST:
            self._shrink(self.width // 2, CALM)
        elif self._recent > GETS_SLOWER * self._best + SLOW_ANSWER:
            self._recent = self._best  # what one request less changes is seen by the answers from now on
            self._shrink(max(2, self.width - 1), 4 * GROWS_EVERY)

    def _shrink(self, width: int, seconds: float) -> None:
        self.width, self._grows_at = min(self.width, max(1, width)), time.monotonic() + seconds

    def grow(self, youngest: float) -> None:
        """Call it while all requests are under way and leads wait. `youngest`: seconds since the newest one began."""
        now, most = time.monotonic(), MOST if self.has_answered or not self._is_slow else MOST_UNPROVED
        is_behind = youngest >= WAITS or self._recent >= SLOW_ANSWER
        if is_behind and now >= self._grows_at and self.width < most:
            self.width, self._grows_at = self.width + 1, now + GROWS_EVERY
