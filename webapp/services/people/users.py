"""Users: who signs in, with which password and role.

Passwords are hashed with Argon2id, which takes tens of milliseconds and megabytes on purpose. So a function that hashes
ends the current transaction first (`end_transaction`): call it before that transaction has written anything.
"""

import unicodedata
from collections.abc import Sequence
from typing import cast

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import ColumnElement, CursorResult, delete, exists, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import utcnow
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import Invitation, PasswordReset, Role, User
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.services.people import accounts

MIN_PASSWORD = 8
MAX_PASSWORD = 1000  # characters; people do not type more, and hashing a megabyte would be wasted work
ASSIGNABLE_ROLES = (Role.ADMIN, Role.EDITOR, Role.LEADS_ONLY)  # only a transfer of ownership makes an owner
NO_PASSWORD = "removed"  # not a hash, so no password matches it

# OWASP's parameters for Argon2id: many sign-ins at once must fit into a small machine's memory.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# Checked for an unknown address, to take as long. Made up: each process would compute for that long when it starts.
_UNKNOWN_USER_HASH = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"


def create_owner(email: str, password: str, account_name: str) -> User:
    """Creates an account and its owner. The first owner of the installation also becomes the operator.

    Raises Refused if the address is not valid or is taken, the password is weak, or the account name is not valid. Ends
    the current transaction before it hashes the password.
    """
    end_transaction()
    with refusing("email"):
        email = text.address(email).lower()
    password_hash = new_hash(password, email)
    if db.session.scalar(select(exists().where(User.email == email))):
        raise Refused(f"A user with the address {email} already exists.", "email")
    first = not db.session.scalar(select(exists().where(User.is_operator)))
    account = accounts.create(account_name)
    user = User(account=account, email=email, password_hash=password_hash, role=Role.OWNER, is_operator=first)
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError:  # another process committed first
        raise Refused(f"A user with the address {email} was created just now.", "email") from None
    audit.record("user.created", account.id, email, detail=account.name)
    return user


def get(account_id: int, user_id: int) -> User:
    """The account's user. Raises NotFound for a removed user and for any other id."""
    mine = select(User).where(User.account_id == account_id, User.id == user_id, User.removed_at.is_(None))
    user: User | None = db.session.scalar(mine)
    if user is None:
        raise NotFound
    return user


def of_session_key(key: str) -> User | None:
    """The user of a key made by `User.get_id`; None if a change of password ended the sessions with that key."""
    user_id, _, version = key.partition(".")
    user = db.session.get(User, int(user_id)) if user_id.isascii() and user_id.isdigit() else None
    return user if user and str(user.session_version) == version and not user.removed_at else None


def of_account(account_id: int) -> Sequence[User]:
    """All users who may sign in to the account: the owner first, the others by name."""
    users = db.session.scalars(select(User).where(User.account_id == account_id, User.removed_at.is_(None))).all()
    return sorted(users, key=lambda user: (user.role != Role.OWNER, user.label.lower()))


def by_email(email: str) -> User:
    """For the operator: the user with this address. Raises Refused if there is none."""
    user = _find(email)
    if user is None:
        raise Refused(f"There is no user with the address {email}.", "email")
    return user


def sign_in(email: str, password: str) -> User | None:
    """Does what `authenticate` does, and writes success or failure to the audit log.

    If the address is unknown, the entry belongs to no account and does not contain the address.
    """
    user = authenticate(email, password)
    if user:
        audit.record("session.signed_in", user.account_id, by=user)
        return user
    known = _find(email)
    audit.record("session.failed", known.account_id if known else None, known.label if known else "an unknown address")
    return None


def authenticate(email: str, password: str) -> User | None:
    """The user with this address and password, or None. Does the same work whether or not there is such a user.

    Ends the current transaction before it hashes the password.
    """
    row = db.session.execute(select(User.id, User.password_hash).where(*_has_address(email))).first()
    end_transaction()
    matches = _matches(row.password_hash if row else _UNKNOWN_USER_HASH, password)
    if not (row and matches):
        return None
    # Read again: meanwhile the password may have been changed, or the user removed.
    same = select(User).where(User.id == row.id, User.password_hash == row.password_hash, User.removed_at.is_(None))
    user: User | None = db.session.scalar(same.execution_options(populate_existing=True))
    return user


def rename(user: User, name: str) -> None:
    """Sets the name that others see. If it is empty, they see the address."""
    with refusing("name"):
        name = text.line(name, "The name", 200, required=False)
    if name != user.name:
        audit.record("user.renamed", user.account_id, user.email)
    user.name = name


def change_password(user_id: int, current: str, new: str) -> User:
    """Sets a new password and ends all sessions of the user. The caller signs the returned user in again.

    Raises Refused if `current` is wrong or `new` is weak. Ends the current transaction before it hashes the password.
    """
    end_transaction()
    row = db.session.execute(select(User.email, User.password_hash).where(User.id == user_id)).one()
    end_transaction()
    if not _matches(row.password_hash, current):
        raise Refused("This is not your current password.", "current")
    password_hash = new_hash(new, row.email, "new")
    changed = db.session.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == row.password_hash)
        .values(password_hash=password_hash, session_version=User.session_version + 1)
    )
    if cast("CursorResult[None]", changed).rowcount != 1:
        raise Refused("The password was changed elsewhere in the meantime. Sign in with the new password.", "current")
    _end_resets(user_id)
    user = db.session.get_one(User, user_id, populate_existing=True)
    audit.record("session.password_changed", user.account_id, user.label, by=user)
    return user


def set_password(email: str, password: str) -> User:
    """For the operator: sets the password of the user with this address and ends all their sessions.

    Ends the current transaction before it hashes the password.
    """
    user_id = by_email(email).id
    end_transaction()
    password_hash = new_hash(password, email)
    user = replace_password(user_id, password_hash)
    audit.record("session.password_set", user.account_id, user.label)
    return user


def replace_password(user_id: int, password_hash: str) -> User:
    """Stores a hash made by `new_hash`, and ends all sessions and password reset links of the user."""
    user = db.session.get_one(User, user_id, populate_existing=True)
    user.password_hash = password_hash
    _end_resets(user_id)
    _end_sessions(user)
    return user


def sign_out_everywhere(user: User) -> None:
    """Ends all sessions of the user, including the current one."""
    _end_sessions(user)
    audit.record("session.ended_everywhere", user.account_id, user.label)


def change_role(user: User, role: Role, by: User) -> None:
    """Gives the user one of ASSIGNABLE_ROLES, from their next request on. Raises Refused for the owner and for `by`."""
    user = _lock_for_change(user, by, "change your own role")
    if role not in ASSIGNABLE_ROLES:
        raise Refused("Choose Admin, Editor or Leads only.", "role")
    if user.role == role:
        return
    audit.record("user.role_changed", user.account_id, user.label, detail=f"{user.role.label} → {role.label}")
    user.role = role
    if role != Role.ADMIN:
        _withdraw_invitations(user)
    db.session.flush()


def remove(user: User, by: User) -> None:
    """Removes a user from the account: ends their sessions, withdraws their invitations, and frees their address for
    another user. The row keeps its name, because logs refer to it.

    Raises Refused for the owner, for the operator and for `by`.
    """
    user = _lock_for_change(user, by, "remove yourself")
    if user.is_operator:
        raise Refused("This user operates the installation, and commands act in their name. They cannot be removed.")
    audit.record("user.removed", user.account_id, user.label, detail=user.role.label)
    user.name = user.label
    user.email = f"{user.id}@removed.invalid"
    user.password_hash = NO_PASSWORD
    user.removed_at = utcnow()
    _withdraw_invitations(user)
    _end_sessions(user)


def transfer_ownership(owner: User, to: User) -> None:
    """Makes another user of the account its owner, and the owner an admin.

    Raises Refused if `owner` no longer owns the account, or `to` cannot become the owner.
    """
    db.session.refresh(owner, with_for_update=True)
    db.session.refresh(to, with_for_update=True)
    if owner.role != Role.OWNER:
        raise Refused("You do not own this account any more.")
    if to.removed_at or to.account_id != owner.account_id or to.id == owner.id:
        raise Refused("Choose another user of your account.")
    owner.role = Role.ADMIN
    db.session.flush()  # before the next change: by constraint, an account has at most one owner
    to.role = Role.OWNER
    audit.record("user.ownership_transferred", owner.account_id, to.label, by=owner)


def _lock_for_change(user: User, by: User, action: str) -> User:
    """The user as it is now, locked. Raises Refused if it may not be changed, and NotFound if it was removed."""
    db.session.refresh(user, with_for_update=True)
    if user.removed_at:
        raise NotFound
    if user.role == Role.OWNER:
        raise Refused("The owner stays the owner until they hand the account over.")
    if user.id == by.id:
        raise Refused(f"You cannot {action}. Ask another admin, or the owner.")
    return user


def _end_sessions(user: User) -> None:
    user.session_version = User.session_version + 1
    db.session.flush()
    db.session.refresh(user)


def _find(email: str) -> User | None:
    user: User | None = db.session.scalar(select(User).where(*_has_address(email)))
    return user


def _has_address(email: str) -> tuple[ColumnElement[bool], ...]:
    return User.email == text.typed_address(email), User.removed_at.is_(None)


def _end_resets(user_id: int) -> None:
    db.session.execute(delete(PasswordReset).where(PasswordReset.user_id == user_id))


def _withdraw_invitations(user: User) -> None:
    """For a user who may no longer invite: otherwise they could come back by an invitation to their second address."""
    theirs = delete(Invitation).where(Invitation.invited_by_id == user.id)
    for email, role in db.session.execute(theirs.returning(Invitation.email, Invitation.role)).all():
        audit.record("user.uninvited", user.account_id, email, detail=role.label)


def new_hash(password: str, email: str, field: str = "password") -> str:
    """The hash to store for a new password. Raises Refused if it is weak. No transaction may be open, see the module's
    docstring."""
    return HASHER.hash(_bytes(_strong(password, email, field)))


def _strong(password: str, email: str, field: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise Refused(
            f"A password needs at least {MIN_PASSWORD} characters. A few words together are easy to remember.", field
        )
    if len(password) > MAX_PASSWORD:
        raise Refused(f"A password can have at most {MAX_PASSWORD:,} characters.", field)
    if password.lower() in (email, email.partition("@")[0]) or len(set(password)) == 1:
        raise Refused("This password is too easy to guess. Choose another.", field)
    return password


def _matches(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, _bytes(password[: MAX_PASSWORD + 1]))
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    """The same bytes for the same characters, however the keyboard composes accents."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
