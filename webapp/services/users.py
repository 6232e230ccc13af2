"""Who signs in, and with what password.

A password is hashed with Argon2id, which takes tens of milliseconds and megabytes on purpose. So a function that hashes
ends the transaction at hand first (`release`): call it before anything else is written in that transaction.
"""

import secrets
import unicodedata
from typing import cast

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import CursorResult, exists, select, update
from sqlalchemy.exc import IntegrityError

from webapp import text
from webapp.extensions import db
from webapp.models import Role, User
from webapp.services import accounts
from webapp.services.errors import Refused, refusing
from webapp.transaction import release

MIN_PASSWORD = 8
MAX_PASSWORD = 1000  # characters; nobody types more, and hashing a megabyte is work for nothing

# OWASP's parameters for Argon2id: many sign-ins at once must fit into a small machine's memory.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_NOBODY = HASHER.hash(secrets.token_urlsafe())  # what an unknown address is checked against, to take as long


def create_owner(email: str, password: str, account_name: str) -> User:
    """The owner of a new account; the first of all is the operator, too.

    Refused for an address that is none or taken, a weak password, an account name that cannot be kept. Ends the
    transaction at hand while it hashes.
    """
    release()
    with refusing("email"):
        email = text.address(email).lower()
    password_hash = _hash(_strong(password, email, "password"))
    if db.session.scalar(select(exists().where(User.email == email))):
        raise Refused(f"There is a user with the address {email} already.", "email")
    first = not db.session.scalar(select(exists().where(User.is_operator)))
    account = accounts.create(account_name)
    user = User(account=account, email=email, password_hash=password_hash, role=Role.OWNER, is_operator=first)
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError:  # another process was quicker
        raise Refused(f"A user with the address {email} was made just now.", "email") from None
    return user


def authenticate(email: str, password: str) -> User | None:
    """The user whose address and password these are, else None, after the same work whether or not there is one.

    Ends the transaction at hand while it hashes.
    """
    wanted = email.replace("\0", "").strip().lower()[:320]
    row = db.session.execute(select(User.id, User.password_hash).where(User.email == wanted)).first()
    release()
    matches = _matches(row.password_hash if row else _NOBODY, password)
    return db.session.get(User, row.id) if row and matches else None


def rename(user: User, name: str) -> None:
    """The name others see; empty, it is the address."""
    with refusing("name"):
        user.name = text.line(name, "The name", 200, required=False)


def change_password(user_id: int, current: str, new: str) -> User:
    """Gives the user a new password and ends every session; whoever changed it signs in anew with the user returned.

    Refused if `current` is wrong or `new` weak. Ends the transaction at hand while it hashes.
    """
    release()
    row = db.session.execute(select(User.email, User.password_hash).where(User.id == user_id)).one()
    release()
    if not _matches(row.password_hash, current):
        raise Refused("This is not your current password.", "current")
    password_hash = _hash(_strong(new, row.email, "new"))
    changed = db.session.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == row.password_hash)
        .values(password_hash=password_hash, session_version=User.session_version + 1)
    )
    if cast("CursorResult[None]", changed).rowcount != 1:
        raise Refused("The password was changed elsewhere in the meantime. Sign in with that one.", "current")
    return db.session.get_one(User, user_id, populate_existing=True)


def _strong(password: str, email: str, field: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise Refused(
            f"A password has at least {MIN_PASSWORD} characters. A few words together are easy to keep.", field
        )
    if len(password) > MAX_PASSWORD:
        raise Refused(f"A password has at most {MAX_PASSWORD:,} characters.", field)
    if password.lower() in (email, email.partition("@")[0]) or len(set(password)) == 1:
        raise Refused("This password would be guessed at once. Choose another.", field)
    return password


def _hash(password: str) -> str:
    return HASHER.hash(_bytes(password))


def _matches(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, _bytes(password[: MAX_PASSWORD + 1]))
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    """The same bytes for the same characters, however the keyboard composes its accents."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
