"""Invitations to an account: sent by mail, single use, valid for seven days.

Only a person who reads an address's mail may learn that this address already has a user in another account.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.db import database_clock
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import Invitation, Role, User
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.services.mail import mails
from webapp.services.people import links, users

LIFETIME = timedelta(days=7)
MAX_OPEN = 100  # per account: we know who invites, but a stolen session must not be able to mail the world
GONE = "This invitation was already accepted or withdrawn, or it is older than seven days. Ask for a new one."


def get(account_id: int, invitation_id: int) -> Invitation:
    """The account's open invitation, or NotFound. It is locked: it cannot be accepted or withdrawn meanwhile."""
    mine = select(Invitation).where(Invitation.account_id == account_id, Invitation.id == invitation_id)
    found = db.session.scalar(mine.with_for_update())
    if found is None:
        raise NotFound
    return found


def pending(account_id: int) -> Sequence[Invitation]:
    """The account's open invitations, including expired ones, sorted by address."""
    mine = select(Invitation).where(Invitation.account_id == account_id)
    return db.session.scalars(mine.order_by(Invitation.email)).all()


def invite(by: User, email: str, role: Role) -> Invitation:
    """Mails a link to join the account of `by`.

    Raises Refused if the address is not valid, already has a user or an invitation in this account, or the role cannot
    be given, and when MAX_OPEN invitations are open.
    """
    with refusing("email"):
        email = text.address(email).lower()
    if role not in users.ASSIGNABLE_ROLES:
        raise Refused("Choose Admin, Editor or Leads only.", "role")
    if db.session.scalar(select(exists().where(User.account_id == by.account_id, User.email == email))):
        raise Refused(f"{email} is already a user of this account.", "email")
    already = Refused(f"{email} already has an invitation. Send it again, or withdraw it.", "email")
    open_ones = select(Invitation.email).where(Invitation.account_id == by.account_id)
    if db.session.scalar(open_ones.where(Invitation.email == email)):
        raise already
    if (db.session.scalar(select(func.count()).select_from(open_ones.subquery())) or 0) >= MAX_OPEN:
        raise Refused(f"{MAX_OPEN} invitations are open. Withdraw some first.", "email")
    invitation = Invitation(account_id=by.account_id, email=email, role=role, invited_by_id=by.id)
    token = _renew(invitation)
    db.session.add(invitation)
    try:
        db.session.flush()
    except IntegrityError:  # another request with the same address committed first
        raise already from None
    _mail(invitation, token, by)
    _record("user.invited", invitation)
    return invitation


def send_again(invitation: Invitation, by: User) -> None:
    """Mails a new link, valid for seven days from now. The old link stops working."""
    invitation.invited_by_id = by.id
    token = _renew(invitation)
    _mail(invitation, token, by)
    _record("user.reinvited", invitation)


def withdraw(invitation: Invitation) -> None:
    """Deletes the invitation, so its link stops working."""
    _record("user.uninvited", invitation)
    db.session.delete(invitation)


def of_token(token: str) -> Invitation:
    """The invitation of a link. Raises NotFound if it was accepted or withdrawn, has expired, or never existed."""
    found = db.session.scalar(select(Invitation).where(*_live(token)))
    if found is None:
        raise NotFound(GONE)
    return found


def is_taken(invitation: Invitation) -> bool:
    """Whether the address already has a user in any account, so the invitation cannot be accepted."""
    return bool(db.session.scalar(select(exists().where(User.email == invitation.email))))


def accept(token: str, name: str, password: str) -> User:
    """Creates the invited user. If two requests use the link at once, only one succeeds.

    Raises NotFound as `of_token` does, and Refused if the password is weak, the name is not valid, or the address
    already has a user; the link then stays valid. Ends the current transaction before it hashes the password.
    """
    end_transaction()
    email = of_token(token).email
    end_transaction()
    with refusing("name"):
        name = text.line(name, "The name", 200)
    password_hash = users.new_hash(password, email)
    gone = delete(Invitation).where(*_live(token))
    row = db.session.execute(gone.returning(Invitation.account_id, Invitation.email, Invitation.role)).one_or_none()
    if row is None:
        raise NotFound(GONE)
    user = User(account_id=row.account_id, email=row.email, name=name, role=row.role, password_hash=password_hash)
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError:
        raise Refused(f"{email} already signs in to an account of this installation.") from None
    audit.record("user.joined", user.account_id, user.label, detail=user.role.label, by=user)
    return user


def _renew(invitation: Invitation) -> str:
    token = links.new_token()
    invitation.token_hash = links.digest(token)
    invitation.created_at = database_clock.now()
    invitation.expires_at = invitation.created_at + LIFETIME
    return token


def _mail(invitation: Invitation, token: str, by: User) -> None:
    mails.write(
        "invitation",
        recipients=[invitation.email],
        account_id=invitation.account_id,
        signs_in=True,
        token=token,
        account_name=by.account.name,
        by=by.label,
        role=invitation.role.label,
    )


def _record(action: str, invitation: Invitation) -> None:
    audit.record(action, invitation.account_id, invitation.email, detail=invitation.role.label)


def _live(token: str) -> tuple[ColumnElement[bool], ...]:
    return Invitation.token_hash == links.digest(token), Invitation.expires_at > database_clock.now()
