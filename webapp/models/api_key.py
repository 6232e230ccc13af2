"""A row of the API Keys page. A Shared Token signs webhooks; an API Key gives access to the REST API."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.clock import utcnow
from webapp.ids import key_id
from webapp.models.account import Account
from webapp.models.base import Base, BigId, enum_column, partial_index
from webapp.models.user import User


class KeyType(StrEnum):
    SHARED_TOKEN = "shared_token"
    API_KEY = "api_key"


class KeyAccess(StrEnum):
    PRIVATE = "private"
    PUBLIC = "public"


class Scope(StrEnum):
    """What an API Key may do. Each stands alone: a key that may write may not read by that."""

    READ = "read"
    WRITE = "write"
    CAPTURE = "capture"  # create leads


# What people and programs read of keys: on the New key page, in /docs/api, in the OpenAPI document, in the help of
# `flask create-api-key` and in docs/people.md. tests/blueprints/api/test_same_words.py compares these.
SCOPE_WORDS = {
    Scope.READ: "leads, deliveries, interfaces, webhooks and Shared Tokens, but no secrets",
    Scope.WRITE: "change interfaces, webhooks and Shared Tokens, retry leads",
    Scope.CAPTURE: "create leads",
}
ACCESS_WORDS = {
    KeyAccess.PRIVATE: "read and change, for your servers",
    KeyAccess.PUBLIC: "submit leads only, for browsers",
}
ENDS = "After its end, and after Revoke, a key opens nothing (401); only leads may be created for one second more."
LIMITED = (
    "A key for some interfaces reaches nothing of others (404) and nothing of the whole account (403), such as Shared "
    "Tokens: a webhook of its own can sign with one only if one of its interfaces does already."
)
HEADER = "Authorization: Bearer lhk_…"
# All that a key with this access can have.
SCOPES = {KeyAccess.PRIVATE: tuple(Scope), KeyAccess.PUBLIC: (Scope.CAPTURE,)}


class ApiKey(Base):
    """A Shared Token is stored encrypted, because signing needs its value. Of an API Key only the SHA-256 is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        partial_index("uq_api_keys_live_name", "account_id", "name", unique=True, where="revoked_at IS NULL"),
        CheckConstraint("(type = 'shared_token') = (secret_encrypted IS NOT NULL)", name="token_is_encrypted"),
        CheckConstraint("(type = 'api_key') = (secret_hash IS NOT NULL)", name="key_is_hashed"),
        CheckConstraint("(type = 'api_key') = (access IS NOT NULL)", name="key_has_access"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, default=key_id)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id), index=True)
    type: Mapped[KeyType] = enum_column(KeyType)
    access: Mapped[KeyAccess | None] = enum_column(KeyAccess)
    name: Mapped[str] = mapped_column(String(100))
    hint: Mapped[str] = mapped_column(String(40))  # enough to recognise it: whsec_…q7Rd
    secret_encrypted: Mapped[bytes | None]
    secret_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # None: all that its access allows
    expires_at: Mapped[datetime | None]
    # The public ids of the interfaces that it works with; None: with all.
    only_interfaces: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))

    previous: Mapped["PreviousSecret | None"] = relationship(back_populates="key")

    @property
    def allowed(self) -> list[Scope]:
        """What an API Key may do."""
        possible = SCOPES[self.access] if self.access else ()
        return [scope for scope in possible if self.scopes is None or scope in self.scopes]


class PreviousSecret(Base):
    """The secret that a Shared Token had before its rotation.

    It still signs until `until` (epoch seconds, the database's clock), and is then deleted.
    """

    __tablename__ = "previous_secrets"

    key_id: Mapped[int] = mapped_column(ForeignKey(ApiKey.id), primary_key=True)
    secret_encrypted: Mapped[bytes]
    hint: Mapped[str] = mapped_column(String(40))
    until: Mapped[float] = mapped_column(index=True)

    key: Mapped[ApiKey] = relationship(back_populates="previous")
