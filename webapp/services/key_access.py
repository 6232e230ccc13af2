"""What an API Key opens: which scopes, until when, for which interfaces; and who calls with it."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from webapp.clock import utc, utcnow
from webapp.db.plain_reads import PlainSelect
from webapp.extensions import db
from webapp.models import SCOPES, ApiKey, Interface, KeyAccess, Scope
from webapp.per_app import per_app
from webapp.services.errors import Refused

USE_NOTED = timedelta(minutes=1)  # how exact *Last used* is: each note is a write
LONGEST = timedelta(days=3660)
MOST_INTERFACES = 100  # that a key can be limited to
MOST_KEPT = 500  # callers that a process keeps


@dataclass(frozen=True)
class Grant:
    """What a new key is given. `scopes` None: all that its access allows; `interfaces` None: all, else public ids."""

    scopes: Sequence[Scope] | None = None
    lasts: timedelta | None = None
    interfaces: Sequence[str] | None = None


EVERYTHING = Grant()


@dataclass(frozen=True)
class Caller:
    """The API Key of a request. `interfaces`: the public ids that it is limited to; None: all of its account."""

    id: int
    public_id: str
    account_id: int
    name: str
    access: KeyAccess
    scopes: tuple[Scope, ...]
    interfaces: tuple[str, ...] | None
    expires_at: datetime | None
    last_used_at: datetime | None

    def reaches(self, interface: str) -> bool:
        """Whether it works with the interface of its account that has this public id."""
        return self.interfaces is None or interface in self.interfaces

    @property
    def is_noted(self) -> bool:
        """Whether its use is on record already, as exactly as it is kept."""
        return self.last_used_at is not None and utcnow() - self.last_used_at < USE_NOTED


class NoAccess(Exception):
    """The secret opens nothing. The text says why, in a sentence."""


def digest(secret: str) -> str:
    """The hash that is stored. One round of SHA-256 is enough, because an API Key is random."""
    return hashlib.sha256(secret.encode()).hexdigest()


# What a caller is made of.
_COLUMNS: tuple[InstrumentedAttribute[Any], ...] = (
    *(ApiKey.id, ApiKey.public_id, ApiKey.account_id, ApiKey.name, ApiKey.access, ApiKey.scopes),
    *(ApiKey.only_interfaces, ApiKey.expires_at, ApiKey.last_used_at, ApiKey.revoked_at),
)
_ROW = PlainSelect(select(*_COLUMNS).where(ApiKey.secret_hash == bindparam("secret_hash")))


class _Kept(NamedTuple):
    """The row as the driver has it, the caller that it makes, and when it was read (time.monotonic)."""

    row: tuple[Any, ...]
    caller: Caller
    at: float


_kept: dict[str, _Kept] = per_app("callers")  # by the hash of the secret


def caller_of(secret: str, oldest: float = 0.0) -> Caller:
    """Who calls with this secret; NoAccess if it is unknown, revoked or expired.

    The row is asked for each time, so a key that is revoked opens nothing from then on, in all processes. With
    `oldest`, what this process read in the last so many seconds is enough.
    """
    hashed = digest(secret)
    kept = _kept.get(hashed)
    if kept is None or time.monotonic() >= kept.at + oldest:
        kept = _read(hashed, kept)
    ends_at = kept.caller.expires_at
    if ends_at and ends_at <= utcnow():
        raise NoAccess(f"This API Key expired on {utc(ends_at)}. Make a new one.")
    return kept.caller


def _read(hashed: str, kept: _Kept | None) -> _Kept:
    """The key as it is now."""
    at, row = time.monotonic(), _ROW.one_or_none(secret_hash=hashed)
    if row is None:
        raise NoAccess("There is no such API Key.")
    if len(_kept) >= MOST_KEPT:
        _kept.clear()
    _kept[hashed] = found = _Kept(row, kept.caller if kept and kept.row == row else _caller(row), at)
    return found


def _caller(row: tuple[Any, ...]) -> Caller:
    """`row`: as the driver has it."""
    dialect, values = db.engine.dialect, {}
    for column, value in zip(_COLUMNS, row, strict=True):
        process = column.type.dialect_impl(dialect).result_processor(dialect, None)
        values[column.key] = process(value) if process else value
    key = ApiKey(**values)
    if key.access is None:
        raise NoAccess("There is no such API Key.")
    if key.revoked_at:
        raise NoAccess("This API Key is revoked.")
    only = None if key.only_interfaces is None else tuple(key.only_interfaces)
    about = key.id, key.public_id, key.account_id, key.name, key.access, tuple(key.allowed)
    return Caller(*about, only, key.expires_at, key.last_used_at)


def note_use(caller: Caller) -> None:
    """Sets when the key was last used, at most once a minute."""
    before = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < utcnow() - USE_NOTED)
    db.session.execute(update(ApiKey).where(ApiKey.id == caller.id, before).values(last_used_at=utcnow()))


def give(key: ApiKey, grant: Grant, account_id: int) -> None:
    """Sets what a new key may do; Refused, at the control of the New key page, for what it cannot have."""
    assert key.access
    if grant.scopes is not None:
        if not grant.scopes:
            raise Refused("Choose at least one scope.", "scopes")
        if not set(grant.scopes) <= set(SCOPES[key.access]):
            raise Refused("A public key can only create leads.", "scopes")
        key.scopes = [scope.value for scope in Scope if scope in grant.scopes]
    if grant.lasts is not None:
        if not timedelta() < grant.lasts <= LONGEST:
            raise Refused("A key can last for 1 to 3,660 days.", "expires")
        key.expires_at = utcnow() + grant.lasts
    if grant.interfaces is not None:
        key.only_interfaces = _of_account(account_id, grant.interfaces)


def _of_account(account_id: int, public_ids: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(public_ids))
    if not 0 < len(wanted) <= MOST_INTERFACES:
        raise Refused(f"Choose 1 to {MOST_INTERFACES} interfaces.", "interfaces")
    of_account = select(Interface.public_id).where(Interface.account_id == account_id, Interface.archived_at.is_(None))
    plain = [public_id for public_id in wanted if public_id.isascii() and public_id.isprintable()]
    found = set(db.session.scalars(of_account.where(Interface.public_id.in_(plain))))
    if missing := [public_id for public_id in wanted if public_id not in found]:
        raise Refused(f"There is no interface “{missing[0][:40]}”.", "interfaces")
    return wanted
