"""Lanes as a drain has them, for tests that go on from there, and the time by which drains look at the clock."""

import pytest

from webapp.delivery import lanes, ledger


def taken(webhook_id: int) -> tuple[lanes.Hold, ledger.Batch]:
    """A lane once a drain of it has begun, and what is due."""
    hold = lanes._take(webhook_id)
    assert hold is not None
    batch = lanes._first_batch(hold)
    assert batch is not None
    return hold, batch


class Clock:
    """Stands still for drains but for `forward`, and for the pauses they make, which take no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(lanes, "time", self)

    def monotonic(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds

    sleep = forward
