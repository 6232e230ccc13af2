"""What the look-ups of webhooks' hosts share between processes. Most installations have no rows here."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base


class KnownHost(Base):
    """A host that was once found as it is written, so that it never gets a search domain of /etc/resolv.conf.

    Only machines with search domains write rows. `name` is in lower case, without a dot at its end.
    """

    __tablename__ = "known_hosts"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)


class LateAnswer(Base):
    """The addresses of a host that came after the try which asked for them had given up; not checked.

    `until`: epoch seconds by the database's clock.
    """

    __tablename__ = "late_answers"
    __table_args__ = (Index("ix_late_answers_until", "until"),)

    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    addresses: Mapped[list[str]]
    until: Mapped[float]
