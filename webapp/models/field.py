"""One question of an interface. services/interfaces/field_types.py says what its type means for the payload."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.models.base import Base, BigId, enum_column
from webapp.models.interface import Interface


class FieldType(StrEnum):
    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    LONG_TEXT = "long_text"
    SELECT = "select"
    RADIO = "radio"
    CHECKBOXES = "checkboxes"
    NUMBER = "number"
    DATE = "date"
    URL = "url"
    FILE = "file"
    HIDDEN = "hidden"
    CONSENT = "consent"
    HEADING = "heading"


class Field(Base):
    """`key` is the field's name in the payload. A field that leads use is never deleted: its key must not be reused."""

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
    placeholder: Mapped[str] = mapped_column(String(200), default="")
    options: Mapped[list[str]] = mapped_column(default=list)  # in this order; the chosen text is sent unchanged
    default: Mapped[str] = mapped_column(Text, default="")  # one per line if several may be ticked
    half: Mapped[bool] = mapped_column(default=False)
    minimum: Mapped[str] = mapped_column(String(40), default="")  # characters, a number or a date
    maximum: Mapped[str] = mapped_column(String(40), default="")
    statement: Mapped[str] = mapped_column(Text, default="")  # the text that a consent agrees to
    version: Mapped[int] = mapped_column(default=1)  # of the statement
    sent_as: Mapped[str | None] = mapped_column(String(200))  # of one made of undeclared answers: their name
    # Of a file: what may be added, each a group of services/files/kinds.py or an ending such as ".dwg"; how large each
    # may be, and how many; and for how many days the link in the payload works, None: as long as the lead is kept.
    file_types: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    file_megabytes: Mapped[int | None]
    file_count: Mapped[int | None]
    file_link_days: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    removed_at: Mapped[datetime | None]

    interface: Mapped[Interface] = relationship(back_populates="fields", foreign_keys=[interface_id])
