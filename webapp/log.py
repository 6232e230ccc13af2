"""Logs: structlog on stderr, one event a line as keys and values. Stdout is only for the output of commands."""

import logging
import re
import sys

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


def configure() -> None:
    """Sends structlog and the standard library's warnings to stderr. Never pass a visitor's data to a log call."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Renderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[to_stderr])
    logging.getLogger("rq").setLevel(logging.WARNING)
