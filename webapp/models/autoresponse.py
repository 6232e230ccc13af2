"""How many automatic answers an interface sent to an e-mail address today."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base
from webapp.models.interface import Interface


class AutoresponseCount(Base):
    """One row per interface, address and day (UTC). Of the address only a keyed digest is stored, and only for a day.

    The leads cannot be counted instead: an interface may anonymise its leads once they are delivered.
    """

    __tablename__ = "autoresponse_counts"

    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id), primary_key=True, autoincrement=False)
    address_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # days since 1970
    sent: Mapped[int] = mapped_column(default=1)
