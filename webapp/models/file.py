"""A file that a visitor added to a form. The bytes are outside the database: see services/files/storage.py."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.clock import utcnow
from webapp.ids import file_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, partial_index
from webapp.models.interface import Interface
from webapp.models.lead import Lead


class File(Base):
    """A row exists for as long as its bytes may exist: it is written before them and deleted after them.

    Without a lead it waits for one, or, once `gone_at` is set, for its bytes to be deleted.
    """

    __tablename__ = "files"
    __table_args__ = (
        partial_index("ix_files_lead", "lead_id", where="lead_id IS NOT NULL"),
        partial_index("ix_files_loose", "created_at", where="lead_id IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=file_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey(Lead.id))
    field_key: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))  # for people; never a path
    size: Mapped[int]  # bytes
    media_type: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    gone_at: Mapped[datetime | None]
