"""The error e-mail to the account owner: one row, and the deliveries it lists."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index
from webapp.models.delivery import Attempt, Delivery
from webapp.models.mail import Mail
from webapp.models.webhook import Webhook


class ReportKind(StrEnum):
    FAILED = "failed"
    GAVE_UP = "gave_up"
    RECOVERED = "recovered"
    PAUSED = "paused"


class Report(Base):
    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id), index=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey(Webhook.id), index=True)
    kind: Mapped[ReportKind] = enum_column(ReportKind)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    mail_id: Mapped[int | None] = mapped_column(ForeignKey(Mail.id))

    webhook: Mapped[Webhook] = relationship()
    mail: Mapped[Mail | None] = relationship()
    entries: Mapped[list["ReportEntry"]] = relationship(order_by="ReportEntry.id", back_populates="report")


class ReportEntry(Base):
    """A delivery that failed or was given up, stored with its attempt. `report_id` is NULL until a report lists it.

    A constraint allows one row per delivery and kind: a delivery that fails seven times is reported as failed once.
    """

    __tablename__ = "report_entries"
    __table_args__ = (
        UniqueConstraint("delivery_id", "kind"),
        partial_index("ix_report_entries_untold", "webhook_id", "id", where="report_id IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey(Webhook.id))
    delivery_id: Mapped[int] = mapped_column(ForeignKey(Delivery.id))
    attempt_id: Mapped[str] = mapped_column(String(40), ForeignKey(Attempt.id), index=True)
    kind: Mapped[ReportKind] = enum_column(ReportKind)
    report_id: Mapped[int | None] = mapped_column(ForeignKey(Report.id), index=True)

    report: Mapped[Report | None] = relationship(back_populates="entries")
    delivery: Mapped[Delivery] = relationship()
    attempt: Mapped[Attempt] = relationship()
