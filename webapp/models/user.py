"""A person who signs in. Each account has exactly one owner; the very first owner is the installation's operator."""

from datetime import datetime
from enum import StrEnum

from flask_login import UserMixin
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    LEADS_ONLY = "leads-only"

    @property
    def label(self) -> str:
        """The word on the screen: Owner, Admin, Editor or Leads only."""
        return self.value.replace("-", " ").capitalize()


class User(Base, UserMixin):  # type: ignore[misc]  # Flask-Login has no type hints
    __tablename__ = "users"
    __table_args__ = (
        partial_index("uq_users_owner", "account_id", unique=True, where="role = 'owner'"),
        partial_index("uq_users_operator", "is_operator", unique=True, where="is_operator"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id), index=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)  # lower case
    name: Mapped[str] = mapped_column(String(200), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = enum_column(Role)
    is_operator: Mapped[bool] = mapped_column(default=False)
    session_version: Mapped[int] = mapped_column(default=1)  # sessions with another version are signed out
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    removed_at: Mapped[datetime | None]  # the row stays, because records refer to it; see services/people/users.py

    account: Mapped[Account] = relationship(lazy="joined", innerjoin=True)

    def get_id(self) -> str:
        """What Flask-Login stores in the session: the id, and the version, which changes with the password."""
        return f"{self.id}.{self.session_version}"

    @property
    def label(self) -> str:
        """The name to show for this user."""
        return self.name or self.email
