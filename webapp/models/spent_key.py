"""What stays of an Idempotency-Key whose lead was deleted."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base


class SpentKey(Base):
    """A key that was sent with a lead which was deleted before its day was over; see services/intake/idempotency.py.

    `nonce` is that of the lead: a digest with a secret, which says nothing about the visitor.
    """

    __tablename__ = "spent_keys"

    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    received_at: Mapped[datetime]  # the lead
