"""Who did what, when and from where. Append-only: triggers on both databases refuse to change or delete a row."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.clock import utcnow
from webapp.models.account import Account
from webapp.models.base import Base, BigId
from webapp.models.user import User


class AuditEntry(Base):
    """`actor` and `target` are names as they were at that time. Contains no secret and no data of a visitor: leads are
    named by their id.

    `account_id` is NULL for events of the whole installation, such as a sign-in with an unknown address.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_account", "account_id", "id"),
        Index("ix_audit_log_account_kind", "account_id", "kind", "id"),
        Index("ix_audit_log_account_user", "account_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey(Account.id))
    at: Mapped[datetime] = mapped_column(default=utcnow)
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    actor: Mapped[str] = mapped_column(String(320))
    address: Mapped[str | None] = mapped_column(String(64))  # the client's IP address; None on the command line
    kind: Mapped[str] = mapped_column(String(16))  # a Kind of services/audit.py: the part before the dot
    action: Mapped[str] = mapped_column(String(40))  # see services/audit.py
    target: Mapped[str] = mapped_column(String(320), default="")
    target_id: Mapped[str] = mapped_column(String(40), default="")  # its public id, if it has one
    detail: Mapped[str] = mapped_column(String(500), default="")
