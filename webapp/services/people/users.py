"""Who signs in, with what password, in which role.

A password is hashed with Argon2id, which takes tens of milliseconds and megabytes on purpose. So a function that hashes
ends the transaction at hand first (`release`): call it before anything else is written in that transaction.
"""

import secrets
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
MAX_PASSWORD = 1000  # characters; nobody types more, and hashing a megabyte is work for nothing
GIVEN_ROLES = (Role.ADMIN, Role.EDITOR, Role.LEADS_ONLY)  # an owner is made by handing the account over
NO_PASSWORD = "removed"  # no hash: whatever is typed, it does not match

# OWASP's parameters for Argon2id: many sign-ins at once must fit into a small machine's memory.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_NOBODY = HASHER.hash(secrets.token_urlsafe())  # what an unknown address is checked against, to take as long


def create_owner(email: str, password: str, account_name: str) -> User:
    """The owner of a new account; the first of all is the operator, too.

    Refused for an address that is none or taken, a weak password, an account name that cannot be kept. Ends the
    transaction at hand while it hashes.
    """
    end_transaction()
    with refusing("email"):
        email = text.address(email).lower()
    password_hash = new_hash(password, email)
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
    audit.record("user.created", account.id, email, detail=account.name)
    return user


def get(account_id: int, user_id: int) -> User:
    """The account's user; NotFound for a removed one and for any other."""
    mine = select(User).where(User.account_id == account_id, User.id == user_id, User.removed_at.is_(None))
    user: User | None = db.session.scalar(mine)
    if user is None:
        raise NotFound
    return user


def of_account(account_id: int) -> Sequence[User]:
    """All who may sign in to it, the owner first, then by name."""
    users = db.session.scalars(select(User).where(User.account_id == account_id, User.removed_at.is_(None))).all()
    return sorted(users, key=lambda user: (user.role != Role.OWNER, user.label.lower()))


def by_email(email: str) -> User:
    """For the operator: the user with that address; Refused where there is none."""
    user = _called(email)
    if user is None:
        raise Refused(f"There is no user with the address {email}.", "email")
    return user


def sign_in(email: str, password: str) -> User | None:
    """As `authenticate`; success and failure are written down, an unknown address as nobody's, and without it."""
    user = authenticate(email, password)
    if user:
        audit.record("session.signed_in", user.account_id, by=user)
        return user
    meant = _called(email)
    audit.record("session.failed", meant.account_id if meant else None, meant.label if meant else "an unknown address")
    return None


def authenticate(email: str, password: str) -> User | None:
    """The user whose address and password these are, else None, after the same work whether or not there is one.

    Ends the transaction at hand while it hashes.
    """
    row = db.session.execute(select(User.id, User.password_hash).where(*_is_called(email))).first()
    end_transaction()
    matches = _matches(row.password_hash if row else _NOBODY, password)
    if not (row and matches):
        return None
    # Asked once more: who got a new password meanwhile, or was removed, is not signed in by the old one.
    same = select(User).where(User.id == row.id, User.password_hash == row.password_hash, User.removed_at.is_(None))
    user: User | None = db.session.scalar(same.execution_options(populate_existing=True))
    return user


def rename(user: User, name: str) -> None:
    """The name others see; empty, it is the address."""
    with refusing("name"):
        name = text.line(name, "The name", 200, required=False)
    if name != user.name:
        audit.record("user.renamed", user.account_id, user.email)
    user.name = name


def change_password(user_id: int, current: str, new: str) -> User:
    """Gives the user a new password and ends every session; whoever changed it signs in anew with the user returned.

    Refused if `current` is wrong or `new` weak. Ends the transaction at hand while it hashes.
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
        raise Refused("The password was changed elsewhere in the meantime. Sign in with that one.", "current")
    _end_resets(user_id)
    user = db.session.get_one(User, user_id, populate_existing=True)
    audit.record("session.password_changed", user.account_id, user.label, by=user)
    return user


def set_password(email: str, password: str) -> User:
    """For the operator: gives the user of that address a password and ends every session. Ends the transaction at hand
    while it hashes."""
    user_id = by_email(email).id
    end_transaction()
    password_hash = new_hash(password, email)
    user = replace_password(user_id, password_hash)
    audit.record("session.password_set", user.account_id, user.label)
    return user


def replace_password(user_id: int, password_hash: str) -> User:
    """Writes a hash made by `new_hash`, and ends every session of the user and every link to a new password."""
    user = db.session.get_one(User, user_id, populate_existing=True)
    user.password_hash = password_hash
    _end_resets(user_id)
    _end_sessions(user)
    return user


def sign_out_everywhere(user: User) -> None:
    """Ends every session of the user, that of whoever asks too."""
    _end_sessions(user)
    audit.record("session.ended_everywhere", user.account_id, user.label)


def change_role(user: User, role: Role, by: User) -> None:
    """Gives the user another of GIVEN_ROLES, from their next request on. Refused for the owner, and for oneself."""
    user = _to_be_changed(user, by, "change your own role")
    if role not in GIVEN_ROLES:
        raise Refused("Choose Admin, Editor or Leads only.", "role")
    if user.role == role:
        return
    audit.record("user.role_changed", user.account_id, user.label, detail=f"{user.role.label} → {role.label}")
    user.role = role
    if role != Role.ADMIN:
        _withdraw_invitations(user)
    db.session.flush()


def remove(user: User, by: User) -> None:
    """Takes somebody out of the account: signed out everywhere, their invitations withdrawn, the address free for
    another one. The row stays under the name it had, for logs name it. Refused for the owner, the operator, and for
    oneself."""
    user = _to_be_changed(user, by, "remove yourself")
    if user.is_operator:
        raise Refused("This user operates the installation, and commands act in that name. It cannot be removed.")
    audit.record("user.removed", user.account_id, user.label, detail=user.role.label)
    user.name = user.label
    user.email = f"{user.id}@removed.invalid"
    user.password_hash = NO_PASSWORD
    user.removed_at = utcnow()
    _withdraw_invitations(user)
    _end_sessions(user)


def transfer_ownership(owner: User, to: User) -> None:
    """Makes another user of the account its owner, and the owner an admin. Refused for who is owner no more."""
    db.session.refresh(owner, with_for_update=True)
    db.session.refresh(to, with_for_update=True)
    if owner.role != Role.OWNER:
        raise Refused("You do not own this account any more.")
    if to.removed_at or to.account_id != owner.account_id or to.id == owner.id:
        raise Refused("Choose another user of your account.")
    owner.role = Role.ADMIN
    db.session.flush()  # before the next: an account has one owner at most, by constraint
    to.role = Role.OWNER
    audit.record("user.ownership_transferred", owner.account_id, to.label, by=owner)


def _to_be_changed(user: User, by: User, deed: str) -> User:
    """The user as it is now, locked; Refused for whom nobody may change."""
    db.session.refresh(user, with_for_update=True)
    if user.removed_at:
        raise NotFound
    if user.role == Role.OWNER:
        raise Refused("The owner stays the owner until they hand the account over.")
    if user.id == by.id:
        raise Refused(f"You cannot {deed}. Ask another admin, or the owner.")
    return user


def _end_sessions(user: User) -> None:
    user.session_version = User.session_version + 1
    db.session.flush()
    db.session.refresh(user)


def _called(email: str) -> User | None:
    user: User | None = db.session.scalar(select(User).where(*_is_called(email)))
    return user


def _is_called(email: str) -> tuple[ColumnElement[bool], ...]:
    return User.email == text.typed_address(email), User.removed_at.is_(None)


def _end_resets(user_id: int) -> None:
    db.session.execute(delete(PasswordReset).where(PasswordReset.user_id == user_id))


def _withdraw_invitations(user: User) -> None:
    """By a link of whoever may not invite any more nobody comes in, a second address of theirs least of all."""
    theirs = delete(Invitation).where(Invitation.invited_by_id == user.id)
    for email, role in db.session.execute(theirs.returning(Invitation.email, Invitation.role)).all():
        audit.record("user.uninvited", user.account_id, email, detail=role.label)


def new_hash(password: str, email: str, field: str = "password") -> str:
    """What is kept of a new password; Refused for a weak one. No transaction may be open: see above."""
    return HASHER.hash(_bytes(_strong(password, email, field)))


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


def _matches(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, _bytes(password[: MAX_PASSWORD + 1]))
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    """The same bytes for the same characters, however the keyboard composes its accents."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
