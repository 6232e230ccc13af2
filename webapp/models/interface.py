"""An embeddable form: its words, its look, its Lead Generation settings."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import JSON, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.ids import interface_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column
from webapp.models.webhook import Webhook

if TYPE_CHECKING:
    from webapp.models.field import Field

ACCENT = "#2f54d0"  # Leadhook's blue, the default of every form


class Scheme(StrEnum):
    """Light or dark. Auto follows the visitor's device, but is light when embedded in another site."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class Corners(StrEnum):
    SQUARE = "square"
    SOFT = "soft"
    ROUND = "round"


class IpAddresses(StrEnum):
    """How much of a visitor's IP address is kept."""

    WHOLE = "whole"
    CUT = "cut"  # its network
    NONE = "none"


class Interface(Base):
    __tablename__ = "interfaces"
    __table_args__ = (Index("ix_interfaces_account", "account_id", "archived_at", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=interface_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    name: Mapped[str] = mapped_column(String(200))
    introduction: Mapped[str] = mapped_column(Text, default="")
    thank_you: Mapped[str] = mapped_column(Text, default="Thank you. We will be in touch soon.")
    redirect_url: Mapped[str | None] = mapped_column(String(2048))  # instead of the thank-you message
    language: Mapped[str] = mapped_column(String(35), default="en", server_default="en")  # of the form's texts
    country: Mapped[str | None] = mapped_column(String(2))  # its phone numbers need no country code
    texts: Mapped[dict[str, str] | None] = mapped_column(JSON)  # texts that differ from form_texts.py
    accent: Mapped[str] = mapped_column(String(7), default=ACCENT, server_default=ACCENT)  # #rrggbb
    scheme: Mapped[Scheme] = enum_column(Scheme, default=Scheme.AUTO, server_default=Scheme.AUTO.value)
    corners: Mapped[Corners] = enum_column(Corners, default=Corners.SOFT, server_default=Corners.SOFT.value)
    logo: Mapped[str | None] = mapped_column(String(40))  # its file name, made from its digest
    allowed_sites: Mapped[list[str] | None] = mapped_column(JSON, default=list)  # empty: any site may show the form
    blocklist: Mapped[list[str] | None] = mapped_column(JSON, default=list)  # see services/intake/visitor.py
    blocklist_published: Mapped[bool] = mapped_column(default=False, server_default=false())  # blocked senders are told
    sends_undeclared: Mapped[bool] = mapped_column(default=False, server_default=false())  # in the payload
    prefills: Mapped[bool] = mapped_column(default=False, server_default=false())  # answers, from the form's query
    notification_emails: Mapped[list[str]] = mapped_column(default=list)
    report_emails: Mapped[list[str]] = mapped_column(default=list)  # in addition to the owner's
    # The texts of a lead's mails, see services/interfaces/interface_mails.py; None is Leadhook's own text.
    notification_subject: Mapped[str | None] = mapped_column(String(200))
    notification_body: Mapped[str | None] = mapped_column(Text)
    autoresponds: Mapped[bool] = mapped_column(default=False, server_default=false())  # answers visitors by e-mail
    autoresponse_subject: Mapped[str | None] = mapped_column(String(200))
    autoresponse_body: Mapped[str | None] = mapped_column(Text)
    autoresponse_reply_to: Mapped[str | None] = mapped_column(String(320))
    ip_addresses: Mapped[IpAddresses] = enum_column(
        IpAddresses, default=IpAddresses.WHOLE, server_default=IpAddresses.WHOLE.value
    )
    retention_days: Mapped[int | None]  # after this a lead is deleted
    anonymises: Mapped[bool] = mapped_column(default=False, server_default=false())  # leads, once delivered
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)
    closed_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    # Grows with each change that decides what a new lead's deliveries are, except the first webhook's URL and state.
    webhooks_version: Mapped[int] = mapped_column(default=0, server_default="0")

    account: Mapped[Account] = relationship()
    fields: Mapped[list["Field"]] = relationship(
        primaryjoin="and_(Interface.id == Field.interface_id, Field.removed_at.is_(None))",
        order_by="Field.position",
        back_populates="interface",
    )
    removed_fields: Mapped[list["Field"]] = relationship(
        primaryjoin="and_(Interface.id == Field.interface_id, Field.removed_at.is_not(None))",
        order_by="Field.position",
        viewonly=True,
    )
    webhooks: Mapped[list[Webhook]] = relationship(
        primaryjoin="and_(Interface.id == Webhook.interface_id, Webhook.removed_at.is_(None))",
        order_by=(Webhook.is_first.desc(), Webhook.id),
        back_populates="interface",
    )

    @property
    def webhook(self) -> Webhook:
        """Its first webhook: created together with it, or a shadow that took its place. It is never removed."""
        return self.webhooks[0]


class Logo(Base):
    """The picture above an interface's form. In its own table, so that other queries do not load its bytes."""

    __tablename__ = "logos"

    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id), primary_key=True, autoincrement=False)
    body: Mapped[bytes]
