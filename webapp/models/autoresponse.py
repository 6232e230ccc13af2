"""How many answers an address was sent by an interface today."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base
from webapp.models.interface import Interface


class AutoresponseCount(Base):
    """One row an interface, address and day (UTC), of which only a keyed digest is kept, and that for a day.

    The leads cannot be counted instead: where visitors are forgotten once delivered, there would be nothing to count.
    """

    __tablename__ = "autoresponse_counts"

    interface_id: Mapped[int] = mapped_column(ForeignKey(Interface.id), primary_key=True, autoincrement=False)
    address_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # since 1970
    sent: Mapped[int] = mapped_column(default=1)
