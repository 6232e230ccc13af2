"""Lanes as a drain has them, for tests that go on from there."""

from webapp.delivery import lanes, ledger


def taken(webhook_id: int) -> tuple[lanes.Hold, ledger.Batch]:
    """A lane once a drain of it has begun, and what is due."""
    hold = lanes._take(webhook_id)
    assert hold is not None
    batch = lanes._first_batch(hold)
    assert batch is not None
    return hold, batch
