"""An e-mail, written in the transaction of what it tells, handed to SMTP at least once."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.clock import utcnow
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index


class MailState(StrEnum):
    DUE = "due"
    SENT = "sent"
    KEPT = "kept"  # no SMTP is configured: it is read on the mailbox page
    FAILED = "failed"  # the server refused it for good, or for three days


WORDS = {
    MailState.DUE: "Waiting",
    MailState.SENT: "Sent",
    MailState.KEPT: "Kept here",
    MailState.FAILED: "Failed",
}


class Mail(Base):
    """Whole and fixed when written, Message-ID included, so that a repeat after a crash is recognised as one."""

    __tablename__ = "mails"
    __table_args__ = (
        partial_index("ix_mails_due", "due_at", where="state = 'due'"),
        partial_index("ix_mails_account", "account_id", "id", where="account_id IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey(Account.id))
    kind: Mapped[str] = mapped_column(String(40))  # the folder of its templates
    message_id: Mapped[str] = mapped_column(String(200), unique=True)
    recipients: Mapped[list[str]]
    reply_to: Mapped[str | None] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(500))
    body_text: Mapped[str] = mapped_column(Text)
    body_html: Mapped[str] = mapped_column(Text)
    signs_in: Mapped[bool] = mapped_column(default=False)  # holds a link that signs someone in: the operator's only
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id"), index=True)  # the lead it notifies of
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    state: Mapped[MailState] = enum_column(MailState, default=MailState.DUE)
    due_at: Mapped[float] = mapped_column(default=0.0)  # epoch seconds, the database's clock
    tries: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(String(500), default="")
    # The server's last word on a recipient: empty for accepted, else why not. Who is missing is tried again.
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sent_at: Mapped[datetime | None]

    @property
    def status(self) -> str:
        """The word on the screen: Sent, Kept here, Waiting or Failed."""
        return WORDS[self.state]
