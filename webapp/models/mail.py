"""An e-mail. Written in the same transaction as the event it reports, and handed to SMTP at least once."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.clock import utcnow
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index

LINKS_LIVE = timedelta(days=7)  # as long as the longest link that signs someone in: an invitation's


class MailState(StrEnum):
    DUE = "due"
    SENT = "sent"
    KEPT = "kept"  # no SMTP server is configured; the mail can be read on the mailbox page
    FAILED = "failed"  # the server refused it permanently, or for three days


WORDS = {
    MailState.DUE: "Waiting",
    MailState.SENT: "Sent",
    MailState.KEPT: "Kept here",
    MailState.FAILED: "Failed",
}


class Mail(Base):
    """Complete when written. Even the Message-ID is fixed, so that a second copy after a crash is recognised as one."""

    __tablename__ = "mails"
    __table_args__ = (
        partial_index("ix_mails_due", "due_at", where="state = 'due'"),
        partial_index("ix_mails_account", "account_id", "id", where="account_id IS NOT NULL"),
        partial_index("ix_mails_state", "account_id", "state", "id", where="account_id IS NOT NULL"),
        partial_index("ix_mails_operator", "id", where="account_id IS NULL OR signs_in"),
        partial_index("ix_mails_encrypted", "created_at", where="body_encrypted IS NOT NULL"),
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
    # Both bodies of a mail with a sign-in link, while the link may work: see services/mail/sealed.py.
    body_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    signs_in: Mapped[bool] = mapped_column(default=False)  # has a sign-in link: only for the operator
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id"), index=True)  # the lead it is about
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    state: Mapped[MailState] = enum_column(MailState, default=MailState.DUE)
    due_at: Mapped[float] = mapped_column(default=0.0)  # epoch seconds, the database's clock
    tries: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(String(500), default="")
    # The server's final answer for each recipient: "" if accepted, else the reason. The others are retried.
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sent_at: Mapped[datetime | None]

    @property
    def status(self) -> str:
        """The word on the screen: Sent, Kept here, Waiting or Failed."""
        return WORDS[self.state]
