"""How many automatic answers were sent: to a mailbox and to a visitor's network today, by an interface in this hour."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base, BigId


class AutoresponseCount(Base):
    """One row for each thing that is counted. What it is, only a keyed digest says, and only for a day (UTC).

    The leads cannot be counted instead: an interface may anonymise its leads once they are delivered.
    """

    __tablename__ = "autoresponse_counts"

    # 0 for a network, which is counted for all interfaces together.
    interface_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    address_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # days since 1970
    sent: Mapped[int] = mapped_column(default=1)
