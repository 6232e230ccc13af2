"""Hosts of webhooks that were once found as they are written, without a search domain of /etc/resolv.conf.

Such a host never gets a search domain later, see webhooks/names.py. Only machines with search domains write rows.
"""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base


class KnownHost(Base):
    __tablename__ = "known_hosts"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)  # in lower case, without a dot at its end
