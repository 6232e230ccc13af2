"""Waiting for a condition, never for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, timeout: float = 20.0, every: float = 0.02) -> T:
    """The first true value of `condition`; fails with `what` it waited for after `timeout` seconds."""
    ends_at = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > ends_at:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(every)
