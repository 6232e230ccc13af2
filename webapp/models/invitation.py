"""An invitation to join an account. It is deleted when it is accepted or withdrawn; the audit log keeps a record."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column
from webapp.models.user import Role, User


class Invitation(Base):
    """The link's token is mailed but not stored, only its SHA-256: a copy of the database cannot be used to accept."""

    __tablename__ = "invitations"
    __table_args__ = (UniqueConstraint("account_id", "email"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    email: Mapped[str] = mapped_column(String(320))  # lower case
    role: Mapped[Role] = enum_column(Role)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]

    account: Mapped[Account] = relationship()
    invited_by: Mapped[User] = relationship()

    @property
    def status(self) -> str:
        """The word on the screen: Invited or Expired."""
        return "Invited" if self.expires_at > utcnow() else "Expired"
