"""An embeddable form with its Lead Generation settings, and the questions it asks."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.ids import interface_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column
from webapp.models.webhook import Webhook


class FieldType(StrEnum):
    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    LONG_TEXT = "long_text"


class Interface(Base):
    __tablename__ = "interfaces"
    __table_args__ = (Index("ix_interfaces_account", "account_id", "archived_at", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=interface_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    name: Mapped[str] = mapped_column(String(200))
    introduction: Mapped[str] = mapped_column(Text, default="")
    thank_you: Mapped[str] = mapped_column(Text, default="Thank you. We will be in touch soon.")
    notification_emails: Mapped[list[str]] = mapped_column(default=list)
    report_emails: Mapped[list[str]] = mapped_column(default=list)  # beside the owner's
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)
    archived_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship()
    fields: Mapped[list["Field"]] = relationship(order_by="Field.position", back_populates="interface")
    webhooks: Mapped[list[Webhook]] = relationship(order_by=Webhook.id, back_populates="interface")

    @property
    def webhook(self) -> Webhook:
        """Its one webhook, made with it; several will come."""
        return self.webhooks[0]


class Field(Base):
    """One question of an interface; `key` is its name in the payload."""

    __tablename__ = "fields"
    __table_args__ = (UniqueConstraint("interface_id", "key"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id))
    position: Mapped[int]
    key: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(200))
    type: Mapped[FieldType] = enum_column(FieldType)
    required: Mapped[bool] = mapped_column(default=False)
    help: Mapped[str] = mapped_column(String(500), default="")
    autocomplete: Mapped[str] = mapped_column(String(60), default="")

    interface: Mapped[Interface] = relationship(back_populates="fields")
