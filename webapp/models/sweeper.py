"""The lease of the sweeper, a single row. Only one supervisor sweeps at a time."""

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import Base


class Sweeper(Base):
    __tablename__ = "sweeper"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    token: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[float] = mapped_column(default=0.0)
