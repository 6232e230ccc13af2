"""One visitor's submission, kept whatever becomes of its delivery, and its log."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.ids import lead_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, partial_index
from webapp.models.interface import Interface
from webapp.models.user import User

if TYPE_CHECKING:
    from webapp.models.delivery import Delivery


SPAM = "spam IS NOT NULL"


class Lead(Base):
    __tablename__ = "leads"
    __table_args__ = (
        Index("ix_leads_account", "account_id", "id"),
        Index("ix_leads_interface", "interface_id", "id"),
        Index("ix_leads_account_received", "account_id", "received_at"),
        partial_index("ix_leads_visitor", "interface_id", "visitor", "id", where="visitor IS NOT NULL"),
        partial_index("ix_leads_blank_due", "id", where="blank_due"),
        Index("ix_leads_spam", "account_id", "id", sqlite_where=text(SPAM), postgresql_where=text(SPAM)),
        Index("ix_leads_nonce", "nonce", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=lead_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id))
    received_at: Mapped[datetime] = mapped_column(default=utcnow)
    test: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str] = mapped_column(String(500), default="")  # what people look leads up by, taken from the fields
    email: Mapped[str] = mapped_column(String(320), default="")
    # By what a visitor who comes again is known: the e-mail address in small letters, without one the phone number.
    visitor: Mapped[str | None] = mapped_column(String(320))
    fields: Mapped[dict[str, Any]]  # every declared field by key, in order
    source: Mapped[dict[str, Any]]
    consents: Mapped[list[Any]] = mapped_column(default=list)
    blank_due: Mapped[bool] = mapped_column(default=False, server_default=false())  # to be anonymised once delivered
    anonymised_at: Mapped[datetime | None]
    nonce: Mapped[str | None] = mapped_column(String(64))  # of the form and its answers: services/intake/spam.py
    spam: Mapped[str | None] = mapped_column(String(40))  # why it was taken for spam; None: it was not

    interface: Mapped[Interface] = relationship()
    deliveries: Mapped[list["Delivery"]] = relationship(order_by="Delivery.id", back_populates="lead")
    log: Mapped[list["LeadLogEntry"]] = relationship(order_by="LeadLogEntry.id.desc()")

    @property
    def delivery(self) -> "Delivery | None":
        """The delivery to its interface's one webhook; None where there was no webhook."""
        return self.deliveries[0] if self.deliveries else None

    @property
    def label(self) -> str:
        """What people call it by: the visitor's name, else address, else the id."""
        return self.name or self.email or self.public_id


class LeadLogEntry(Base):
    """What was done about a lead: `resentwebhook`, `notified`, `reportmailed`, … Tries are in `attempts`."""

    __tablename__ = "lead_log"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    lead_id: Mapped[int] = mapped_column(ForeignKey(Lead.id), index=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    action: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    detail: Mapped[str] = mapped_column(String(500), default="")

    user: Mapped[User | None] = relationship()
