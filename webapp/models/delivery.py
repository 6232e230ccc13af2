"""The promise to send one lead to its webhook, and the tries made of it."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.ids import attempt_id, message_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index
from webapp.models.lead import Lead
from webapp.models.user import User
from webapp.models.webhook import Webhook


class DeliveryState(StrEnum):
    PENDING = "pending"  # will be tried by itself at due_at
    DELIVERED = "delivered"
    FAILED = "failed"  # nothing more happens by itself
    HELD = "held"  # its webhook is paused, or it cannot be signed
    CANCELLED = "cancelled"  # its interface was deleted


class Reason(StrEnum):
    AUTOMATIC = "automatic"
    RETRY = "retry"
    TEST = "test"


class Delivery(Base):
    """The frozen payload bytes, the state, the next time to try.

    `due_at` is the next automatic try, `retry_at` the click or test that waits for its one try (both epoch seconds,
    the database's clock). `retry_at` may stand on a delivery in any state but Cancelled. The last answer is copied
    here, so that the Leads page reads one row.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("lead_id", "webhook_id"),
        # The three ways to be due, in the order a batch takes them.
        partial_index("ix_deliveries_clicked", "webhook_id", "retry_at", where="retry_at IS NOT NULL"),
        partial_index("ix_deliveries_fresh", "webhook_id", "id", where="state = 'pending' AND tries = 0"),
        partial_index("ix_deliveries_again", "webhook_id", "due_at", where="state = 'pending' AND tries > 0"),
        Index("ix_deliveries_account_state", "account_id", "state", "lead_id"),
        partial_index("ix_deliveries_held", "webhook_id", "id", where="state = 'held'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    message_id: Mapped[str] = mapped_column(String(40), unique=True, default=message_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    lead_id: Mapped[int] = mapped_column(ForeignKey(Lead.id))
    webhook_id: Mapped[int] = mapped_column(ForeignKey(Webhook.id))
    payload: Mapped[bytes]
    test: Mapped[bool] = mapped_column(default=False)
    state: Mapped[DeliveryState] = enum_column(DeliveryState, default=DeliveryState.PENDING)
    state_reason: Mapped[str] = mapped_column(String(500), default="")  # why it is held, in words
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
    def status(self) -> str:
        """The word on the screen: Delivered, Queued, Retrying, Failed, Held or Cancelled."""
        if self.retry_at is not None or (self.state == DeliveryState.PENDING and self.tries == 0):
            return "Queued"
        if self.state == DeliveryState.PENDING:
            return "Retrying"
        return self.state.value.capitalize()

    @property
    def next_at(self) -> datetime | None:
        """When the next automatic try is due; None where none is."""
        if self.state != DeliveryState.PENDING or self.due_at is None:
            return None
        return datetime.fromtimestamp(self.due_at, UTC)


class Attempt(Base):
    """One HTTP try of a delivery. Its id is made before sending, so that recording twice keeps one row.

    No secret stands here: `url` has no credentials, `signed_with_id` names the token, the signature is not kept.
    """

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_delivery", "delivery_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=attempt_id)
    delivery_id: Mapped[int] = mapped_column(ForeignKey(Delivery.id))
    reason: Mapped[Reason] = enum_column(Reason)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))  # whose click it was
    started_at: Mapped[datetime]
    url: Mapped[str] = mapped_column(String(2048))
    timestamp: Mapped[int]  # webhook-timestamp as sent
    signed_with_id: Mapped[int | None] = mapped_column(ForeignKey("api_keys.id"))
    code: Mapped[int]
    error: Mapped[str | None] = mapped_column(String(32))  # an ErrorKind
    response: Mapped[str] = mapped_column(Text)  # the body, or with 999 what happened in words
    truncated: Mapped[bool] = mapped_column(default=False)
    response_headers: Mapped[list[Any]] = mapped_column(default=list)  # [[name, value], …]
    duration_ms: Mapped[int]

    delivery: Mapped[Delivery] = relationship(back_populates="attempts")
    user: Mapped[User | None] = relationship()
