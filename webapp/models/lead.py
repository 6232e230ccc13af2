"""One visitor's submission and its log. It is kept even if its delivery fails."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.ids import lead_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, partial_index
from webapp.models.interface import Interface
from webapp.models.status import WORST_FIRST, Status
from webapp.models.user import User

if TYPE_CHECKING:
    from webapp.models.delivery import Delivery


SPAM = "spam IS NOT NULL"


class Lead(Base):
    __tablename__ = "leads"
    __table_args__ = (
        Index("ix_leads_account", "account_id", "id"),
        Index("ix_leads_interface", "interface_id", "id"),
        # Also what the Interfaces page counts by day: then it reads no leads.
        Index("ix_leads_account_received", "account_id", "received_at", "interface_id", "test", "spam"),
        partial_index("ix_leads_visitor", "interface_id", "visitor", "id", where="visitor IS NOT NULL"),
        partial_index("ix_leads_blank_due", "id", where="blank_due"),
        partial_index("ix_leads_undeclared", "interface_id", "id", where="undeclared IS NOT NULL"),
        Index("ix_leads_spam", "account_id", "id", sqlite_where=text(SPAM), postgresql_where=text(SPAM)),
        partial_index("ix_leads_spam_interface", "account_id", "interface_id", "id", where=SPAM),
        partial_index("ix_leads_no_webhook", "account_id", "id", where="no_webhook"),
        partial_index("ix_leads_test", "interface_id", "id", where="test"),
        partial_index("ix_leads_unanswered", "interface_id", "received_at", where="unanswered IS NOT NULL"),
        Index("ix_leads_nonce", "nonce", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=lead_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id))
    received_at: Mapped[datetime] = mapped_column(default=utcnow)
    test: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str] = mapped_column(String(500), default="")  # copied from the fields, to search by
    email: Mapped[str] = mapped_column(String(320), default="")
    # Identifies a visitor who submits again: the e-mail address in lower case, or else the phone number.
    visitor: Mapped[str | None] = mapped_column(String(320))
    fields: Mapped[dict[str, Any]]  # every declared field by key, in order
    # None for the next three is an empty one. By key: what was typed, where `fields` has another value; "unparsed" or
    # "cut", where a receiver must know it about the value; what was sent that no field asks for.
    typed: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    marks: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    undeclared: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    source: Mapped[dict[str, Any]]
    consents: Mapped[list[Any]] = mapped_column(default=list)
    anonymise_after_delivery: Mapped[bool] = mapped_column("blank_due", default=False, server_default=false())
    anonymised_at: Mapped[datetime | None]
    # Of the form and its answers, see services/intake/visitor.py, or of an Idempotency-Key, see idempotency.py there.
    nonce: Mapped[str | None] = mapped_column(String(64))
    content_digest: Mapped[str | None] = mapped_column(String(64))  # of what was sent with an Idempotency-Key
    spam: Mapped[str | None] = mapped_column(String(40))  # why it was judged to be spam; None if it was not
    # Not spam, and without a delivery, because its interface had no URL: so that an index finds these few.
    no_webhook: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Which limit was reached, so that the visitor got no automatic answer: see services/interfaces/answer_limits.py.
    unanswered: Mapped[str | None] = mapped_column(String(40))

    interface: Mapped[Interface] = relationship()
    deliveries: Mapped[list["Delivery"]] = relationship(order_by="Delivery.id", back_populates="lead")
    log: Mapped[list["LeadLogEntry"]] = relationship(order_by="LeadLogEntry.id.desc()")

    @property
    def counted(self) -> list["Delivery"]:
        """Its deliveries to webhooks that count: not to a shadow, which is only tried."""
        return [each for each in self.deliveries if not each.shadow]

    @property
    def delivery(self) -> "Delivery | None":
        """Its delivery in the worst state, which is the lead's; None if no webhook took it."""
        worst = {status: number for number, status in enumerate(WORST_FIRST)}
        return min(self.counted, key=lambda each: worst[each.status], default=None)

    @property
    def progress(self) -> str | None:
        """As in "2 of 3 delivered"; None unless several webhooks took it."""
        counted = self.counted
        delivered = sum(each.status == Status.DELIVERED for each in counted)
        return f"{delivered} of {len(counted)} delivered" if len(counted) > 1 else None

    @property
    def status(self) -> Status:
        """Its Webhook Status, the word on the screen."""
        if self.spam is not None:
            return Status.SPAM
        return self.delivery.status if self.delivery else Status.NO_WEBHOOK

    @property
    def label(self) -> str:
        """A name to show: the visitor's name, or else the e-mail address, or else the lead's id."""
        return self.name or self.email or self.public_id


class LeadLogEntry(Base):
    """An event of a lead: `resentwebhook`, `notified`, `reportmailed`, … HTTP attempts are in `attempts`."""

    __tablename__ = "lead_log"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    lead_id: Mapped[int] = mapped_column(ForeignKey(Lead.id), index=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    action: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    detail: Mapped[str] = mapped_column(String(500), default="")

    user: Mapped[User | None] = relationship()
