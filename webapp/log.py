"""Logs: structlog on stderr, one event a line as keys and values. Stdout is only for the output of commands."""

import contextlib
import logging
import re
import sys
import threading
import time
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

# Characters that end a line, move a terminal's cursor or change the direction of text: with them, text from outside
# could look like another line of the log.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """The text with its control characters escaped, as \\n and \\x1b."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


class _Renderer(structlog.processors.LogfmtRenderer):
    """Of the control characters, LogfmtRenderer escapes only \\n."""

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        return one_line(super().__call__(logger, name, event))


class _Output:
    """Stderr, for structlog. What cannot be written, because the disk of a log file is full, is lost: an accepted lead
    must not become an error for want of a line in a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure() -> None:
    """Sends structlog and the standard library's warnings to stderr. Never pass a visitor's data to a log call."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Renderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Output(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[to_stderr])
    logging.getLogger("rq").setLevel(logging.WARNING)


class Trouble:
    """Something that goes wrong for a while: its reason stands in the log at once, then once a minute, and its end.

    One object per process and kind of trouble. `reason`: the last one, empty where all is well.
    """

    def __init__(self, event: str, end: str, every: float = 60.0) -> None:
        self._event, self._end, self._every = event, end, every
        self.reason, self._logged_at = "", -every
        self._lock = threading.Lock()

    def report(self, reason: str) -> None:
        """Logs the reason, unless the same one was logged less than a minute ago."""
        now = time.monotonic()
        with self._lock:
            if reason == self.reason and now < self._logged_at + self._every:
                return
            self.reason, self._logged_at = reason, now
        structlog.get_logger().error(self._event, reason=reason)

    def over(self) -> None:
        """Logs the end of trouble that was reported."""
        if self.reason:
            with self._lock:
                was, self.reason, self._logged_at = self.reason, "", -self._every
            if was:
                structlog.get_logger().warning(self._end)
