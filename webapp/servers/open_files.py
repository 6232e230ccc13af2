"""How many files and sockets a process may have open."""

import resource
from contextlib import suppress


def allow(number: int) -> None:
    """Raises this process's limit to `number`, or as far as the system lets it; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < number:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard) if hard >= 0 else number, hard))
