"""A lead's Webhook Status: one definition for rows, filters, counts and exports, in Python and in SQL."""

from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The word on the screen, in the order of the filters."""

    DELIVERED = "Delivered"
    QUEUED = "Queued"
    RETRYING = "Retrying"
    FAILED = "Failed"
    HELD = "Held"
    CANCELLED = "Cancelled"
    NO_WEBHOOK = "No webhook"
    SPAM = "Spam"

    @property
    def slug(self) -> str:
        """The word in a URL: delivered, no-webhook."""
        return self.value.lower().replace(" ", "-")


# A lead with several webhooks has the worst status of its deliveries.
WORST_FIRST = (Status.FAILED, Status.HELD, Status.RETRYING, Status.QUEUED, Status.CANCELLED, Status.DELIVERED)


def delivery_rules(clicked: Any, not_clicked: Any, state: Any, tries: Any) -> dict[Status, Any]:
    """For each status a delivery can have, whether it has it; exactly one is true.

    The arguments are either values of one delivery, then the results are booleans; or SQL expressions, then so are the
    results. `clicked`: `retry_at` is set, so a person's retry or a test waits for its attempt; `not_clicked` is its
    opposite (an argument of its own because `~True` is not False in Python). `state` is compared with the stored text.
    """
    return {
        Status.QUEUED: clicked | ((state == "pending") & (tries == 0)),
        Status.RETRYING: not_clicked & (state == "pending") & (tries > 0),
        Status.DELIVERED: not_clicked & (state == "delivered"),
        Status.FAILED: not_clicked & (state == "failed"),
        Status.HELD: not_clicked & (state == "held"),
        Status.CANCELLED: not_clicked & (state == "cancelled"),
    }
