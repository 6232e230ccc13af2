"""Lanes in the state in which a drain has them, and a fake clock for drains."""

import pytest

from webapp.delivery import lanes, ledger


def taken(webhook_id: int) -> tuple[lanes.Hold, ledger.Batch]:
    """A lane that a drain has just locked, and its first batch."""
    hold = lanes._take(webhook_id)
    assert hold is not None
    batch = lanes._first_batch(hold)
    assert batch is not None
    return hold, batch


class Clock:
    """A clock for drains. It moves only by `forward` and by their pauses, which take no real time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(lanes, "time", self)

    def monotonic(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds

    sleep = forward
