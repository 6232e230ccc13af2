"""Links to choose a new password: mailed, single use, one hour. Nothing here tells whether an address is a user's."""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from werkzeug.exceptions import NotFound

from webapp.clock import utcnow
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import PasswordReset, User
from webapp.services import audit
from webapp.services.errors import Refused
from webapp.services.mail import mails
from webapp.services.people import links, users

LIFETIME = timedelta(hours=1)
GONE = "This link was used already, or it is older than an hour. Ask for another one."


def ask(email: str) -> None:
    """Mails a link, if the address is a user's."""
    try:
        user = users.by_email(email)
    except Refused:
        return
    token, _ = _made(user)
    mails.write(
        "password_reset",
        recipients=[user.email],
        account_id=user.account_id,
        signs_in=True,
        token=token,
        email=user.email,
    )
    audit.record("session.reset_asked", user.account_id, user.label)


def link(email: str) -> dict[str, str | None]:
    """For the operator: a link for the user of that address, `{"email", "link", "expires_at"}`; Refused for none."""
    user = users.by_email(email)
    token, reset = _made(user)
    audit.record("session.reset_asked", user.account_id, user.label)
    return {
        "email": user.email,
        "link": links.address(f"/reset-password/{token}"),
        "expires_at": reset.expires_at.isoformat(timespec="seconds"),
    }


def user_of(token: str) -> User:
    """Whose password a link changes; NotFound where it was used, is too old, or never was one."""
    live = select(User).join(PasswordReset, PasswordReset.user_id == User.id).where(*_live(token))
    user: User | None = db.session.scalar(live.where(User.removed_at.is_(None)))
    if user is None:
        raise NotFound(GONE)
    return user


def use(token: str, password: str) -> None:
    """Gives the user the password, ends every session of theirs, and every link: of two clicks one does it.

    NotFound as above; Refused for a weak password, the link being good for another try. Ends the transaction at hand
    while it hashes.
    """
    end_transaction()
    email = user_of(token).email
    end_transaction()
    password_hash = users.new_hash(password, email, "new")
    db.session.refresh(user_of(token), with_for_update=True)  # of two links used at once, one waits for the other
    user_id = db.session.scalar(delete(PasswordReset).where(*_live(token)).returning(PasswordReset.user_id))
    if user_id is None:
        raise NotFound(GONE)
    user = users.replace_password(user_id, password_hash)
    audit.record("session.password_reset", user.account_id, user.label, by=user)


def _made(user: User) -> tuple[str, PasswordReset]:
    """A token and its row; older links stay good for their hour, or whoever keeps asking would void them all."""
    token = links.new_token()
    db.session.execute(
        delete(PasswordReset).where(PasswordReset.user_id == user.id, PasswordReset.expires_at <= utcnow())
    )
    reset = PasswordReset(user_id=user.id, token_hash=links.digest(token), expires_at=utcnow() + LIFETIME)
    db.session.add(reset)
    return token, reset


def _live(token: str) -> tuple[ColumnElement[bool], ...]:
    return PasswordReset.token_hash == links.digest(token), PasswordReset.expires_at > utcnow()
