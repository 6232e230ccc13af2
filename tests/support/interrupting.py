"""Signals that come at a chosen moment.

Python looks for signals when a function begins, and when one that is written in C has ended. These are its *moments*.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def moments_of(work: Callable[[], object]) -> int:
    """At how many moments of this function a signal may come."""
    return _watched(work, 0)


def told_at(moment: int, work: Callable[[], object]) -> bool:
    """Runs the function. This process gets SIGTERM at that moment, counted from 1; returns whether it came to it."""
    return _watched(work, moment) >= moment


def _watched(work: Callable[[], object], moment: int) -> int:
    count = 0

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_return"):
            count += 1
            if count == moment:
                signal.raise_signal(signal.SIGTERM)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
