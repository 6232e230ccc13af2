"""Links to choose a new password: sent by mail, single use, valid for one hour.

A visitor cannot learn from them whether an address has a user.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from werkzeug.exceptions import NotFound

from webapp.db import database_clock
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import PasswordReset, User
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.mail import mails
from webapp.services.people import links, users

LIFETIME = timedelta(hours=1)
GONE = "This link was already used, or it is older than an hour. Ask for a new one."


def send_link(email: str) -> None:
    """Mails a link if the address has a user. Otherwise does nothing."""
    try:
        user = users.by_email(email)
    except Refused:
        return
    token, _ = _create(user)
    mails.write(
        "password_reset",
        recipients=[user.email],
        account_id=user.account_id,
        signs_in=True,
        token=token,
        email=user.email,
    )
    audit.record("session.reset_asked", user.account_id, user.label)


def create_link(email: str) -> dict[str, str | None]:
    """For the operator: a link for the user with this address, as `{"email", "link", "expires_at"}`.

    Raises Refused if there is no such user.
    """
    user = users.by_email(email)
    token, reset = _create(user)
    audit.record("session.reset_asked", user.account_id, user.label)
    return {
        "email": user.email,
        "link": links.address(f"/reset-password/{token}"),
        "expires_at": reset.expires_at.isoformat(timespec="seconds"),
    }


def user_of(token: str) -> User:
    """The user whose password a link changes. Raises NotFound if it was used, has expired, or never existed."""
    live = select(User).join(PasswordReset, PasswordReset.user_id == User.id).where(*_live(token))
    user: User | None = db.session.scalar(live.where(User.removed_at.is_(None)))
    if user is None:
        raise NotFound(GONE)
    return user


def use(token: str, password: str) -> None:
    """Sets the user's password and ends all their sessions and links. If two requests use a link at once, only one
    succeeds.

    Raises NotFound as `user_of` does, and Refused if the password is weak; the link then stays valid. Ends the current
    transaction before it hashes the password.
    """
    end_transaction()
    email = user_of(token).email
    end_transaction()
    password_hash = users.new_hash(password, email, "new")
    db.session.refresh(user_of(token), with_for_update=True)  # if two links are used at once, one waits for the other
    user_id = db.session.scalar(delete(PasswordReset).where(*_live(token)).returning(PasswordReset.user_id))
    if user_id is None:
        raise NotFound(GONE)
    user = users.replace_password(user_id, password_hash)
    audit.record("session.password_reset", user.account_id, user.label, by=user)


def _create(user: User) -> tuple[str, PasswordReset]:
    """Creates a token and its row. Older links stay valid for their hour; otherwise a stranger could end all of them by
    asking again and again."""
    token = links.new_token()
    db.session.execute(
        delete(PasswordReset).where(PasswordReset.user_id == user.id, PasswordReset.expires_at <= database_clock.now())
    )
    reset = PasswordReset(user_id=user.id, token_hash=links.digest(token), expires_at=database_clock.now() + LIFETIME)
    db.session.add(reset)
    return token, reset


def _live(token: str) -> tuple[ColumnElement[bool], ...]:
    return PasswordReset.token_hash == links.digest(token), PasswordReset.expires_at > database_clock.now()
