"""Logs: structlog on stderr, one event a line, keys and values; stdout belongs to what commands print."""

import logging
import sys

import structlog


def configure() -> None:
    """Sends structlog and the standard library's warnings to stderr. No visitor's data is ever an argument."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    line = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=line)
    logging.getLogger("rq").setLevel(logging.WARNING)
