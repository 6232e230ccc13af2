"""Waits for a condition instead of sleeping for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, timeout: float = 20.0, every: float = 0.02) -> T:
    """Returns the first true value of `condition`. After `timeout` seconds it fails; the message names `what`."""
    ends_at = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > ends_at:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(every)
