"""The promise to send one lead to one webhook, and the attempts made."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.ids import attempt_id, message_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index
from webapp.models.lead import Lead
from webapp.models.status import Status, delivery_rules
from webapp.models.user import User
from webapp.models.webhook import Webhook


class DeliveryState(StrEnum):
    PENDING = "pending"  # will be tried automatically at due_at
    DELIVERED = "delivered"
    FAILED = "failed"  # will not be tried again automatically
    ON_HOLD = "held"  # paused webhook, no signature possible, an address that is not allowed, or a lead in a circle
    CANCELLED = "cancelled"  # its interface was deleted, or its webhook removed


class Reason(StrEnum):
    AUTOMATIC = "automatic"
    RETRY = "retry"
    TEST = "test"


class Delivery(Base):
    """The frozen payload, the state, and the time of the next try.

    `due_at`: when the next automatic try is due. `retry_at`: the time of a click or test that still waits for its one
    try. Both are epoch seconds by the database's clock. `retry_at` may be set in any state except Cancelled. The last
    response is copied here, so that the Leads page reads one row.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("lead_id", "webhook_id"),
        # The three kinds of due deliveries, in the order a batch takes them.
        partial_index("ix_deliveries_clicked", "webhook_id", "retry_at", where="retry_at IS NOT NULL"),
        partial_index("ix_deliveries_fresh", "webhook_id", "id", where="state = 'pending' AND tries = 0"),
        partial_index("ix_deliveries_again", "webhook_id", "due_at", where="state = 'pending' AND tries > 0"),
        Index("ix_deliveries_account_state", "account_id", "state", "lead_id"),
        # With `state`, so that SQLite counts them without reading them.
        partial_index("ix_deliveries_held", "webhook_id", "state", "state_reason", where="state = 'held'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    message_id: Mapped[str] = mapped_column(String(40), unique=True, default=message_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    # None for an event of the account, which no page of a lead reads: services/webhooks/operational.py.
    lead_id: Mapped[int] = mapped_column(ForeignKey(Lead.id), nullable=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey(Webhook.id))
    payload: Mapped[bytes]
    content_type: Mapped[str | None] = mapped_column(String(100))  # None: JSON
    shadow: Mapped[bool] = mapped_column(default=False, server_default=false())  # of a shadow webhook: counts nowhere
    event: Mapped[str | None] = mapped_column(String(40))  # of an operational webhook
    test: Mapped[bool] = mapped_column(default=False)
    hops: Mapped[int | None] = mapped_column(SmallInteger)  # webhooks that brought the lead here; None: a visitor did
    state: Mapped[DeliveryState] = enum_column(DeliveryState, default=DeliveryState.PENDING)
    state_reason: Mapped[str] = mapped_column(String(500), default="")  # why it is on hold, in words
    tries: Mapped[int] = mapped_column(default=0)  # automatic tries made
    due_at: Mapped[float | None]
    retry_at: Mapped[float | None]
    retried_by_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    last_code: Mapped[int | None]
    last_response: Mapped[str | None] = mapped_column(Text)  # the first 500 characters
    last_error: Mapped[str | None] = mapped_column(String(32))
    last_duration_ms: Mapped[int | None]
    last_at: Mapped[datetime | None]

    lead: Mapped[Lead] = relationship(back_populates="deliveries")
    webhook: Mapped[Webhook] = relationship()
    attempts: Mapped[list["Attempt"]] = relationship(order_by="Attempt.id.desc()", back_populates="delivery")

    @property
    def status(self) -> Status:
        """The word on the screen, by the rules that SQL filters and counts with: models/status.py."""
        clicked = self.retry_at is not None
        rules = delivery_rules(clicked, not clicked, self.state, self.tries)
        return next(status for status, applies in rules.items() if applies)

    @property
    def next_at(self) -> datetime | None:
        """When the next automatic try is due; None if there will not be one."""
        due_at = self.planned_at
        return max(due_at, self.rests_until or due_at) if due_at else None

    @property
    def planned_at(self) -> datetime | None:
        """As `next_at`, but of the delivery alone: its receiver may have asked for a rest meanwhile."""
        if self.state != DeliveryState.PENDING or self.due_at is None:
            return None
        return datetime.fromtimestamp(self.due_at, UTC)

    @property
    def rests_until(self) -> datetime | None:
        """Until when it waits because the receiver asked for a rest; None if it does not."""
        waits = self.state == DeliveryState.PENDING and self.retry_at is None
        return self.webhook.lane.resting_until if waits else None


class Attempt(Base):
    """One HTTP attempt of a delivery. Its id is made before sending, so that recording it twice keeps one row.

    Contains no secret: `url` has no credentials, `signed_with_id` refers to the token, the signature is not stored.
    """

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_delivery", "delivery_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=attempt_id)
    delivery_id: Mapped[int] = mapped_column(ForeignKey(Delivery.id))
    reason: Mapped[Reason] = enum_column(Reason)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))  # who clicked Retry or sent the test
    started_at: Mapped[datetime]
    url: Mapped[str] = mapped_column(String(2048))
    timestamp: Mapped[int]  # webhook-timestamp as sent
    signed_with_id: Mapped[int | None] = mapped_column(ForeignKey("api_keys.id"))
    code: Mapped[int]
    error: Mapped[str | None] = mapped_column(String(32))  # an ErrorKind
    response: Mapped[str] = mapped_column(Text)  # the body; with code 999 a sentence that says what happened
    truncated: Mapped[bool] = mapped_column(default=False)
    response_headers: Mapped[list[Any]] = mapped_column(default=list)  # [[name, value], …]
    duration_ms: Mapped[int]

    delivery: Mapped[Delivery] = relationship(back_populates="attempts")
    user: Mapped[User | None] = relationship()
