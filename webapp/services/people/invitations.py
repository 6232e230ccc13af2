"""Invitations into an account: mailed, single use, seven days.

Whether an address is a user's of another account is told to nobody but whoever reads that address's mail.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import utcnow
from webapp.db.transactions import end_transaction
from webapp.extensions import db
from webapp.models import Invitation, Role, User
from webapp.services import audit
from webapp.services.errors import Refused, refusing
from webapp.services.mail import mails
from webapp.services.people import links, users

LIFETIME = timedelta(days=7)
MOST_OPEN = 100  # of an account: who invites is known, but whoever steals a session should not mail the world
GONE = "This invitation was accepted already, was withdrawn, or is older than seven days. Ask for another one."


def get(account_id: int, invitation_id: int) -> Invitation:
    """The account's open invitation, locked: it is neither accepted nor withdrawn meanwhile. NotFound for any other."""
    mine = select(Invitation).where(Invitation.account_id == account_id, Invitation.id == invitation_id)
    found = db.session.scalar(mine.with_for_update())
    if found is None:
        raise NotFound
    return found


def pending(account_id: int) -> Sequence[Invitation]:
    """The account's open invitations, expired ones too, by address."""
    mine = select(Invitation).where(Invitation.account_id == account_id)
    return db.session.scalars(mine.order_by(Invitation.email)).all()


def invite(by: User, email: str, role: Role) -> Invitation:
    """Mails somebody a link into the account of `by`. Refused for an address that is none, a user's of this account or
    invited already, and for a role that cannot be given."""
    with refusing("email"):
        email = text.address(email).lower()
    if role not in users.GIVEN_ROLES:
        raise Refused("Choose Admin, Editor or Leads only.", "role")
    if db.session.scalar(select(exists().where(User.account_id == by.account_id, User.email == email))):
        raise Refused(f"{email} is a user of this account already.", "email")
    already = Refused(f"{email} is invited already. Send that invitation again, or withdraw it.", "email")
    open_ones = select(Invitation.email).where(Invitation.account_id == by.account_id)
    if db.session.scalar(open_ones.where(Invitation.email == email)):
        raise already
    if (db.session.scalar(select(func.count()).select_from(open_ones.subquery())) or 0) >= MOST_OPEN:
        raise Refused(f"{MOST_OPEN} invitations are open. Withdraw some first.", "email")
    invitation = Invitation(account_id=by.account_id, email=email, role=role, invited_by_id=by.id)
    token = _renew(invitation)
    db.session.add(invitation)
    try:
        db.session.flush()
    except IntegrityError:  # a second click was quicker
        raise already from None
    _mail(invitation, token, by)
    _record("user.invited", invitation)
    return invitation


def send_again(invitation: Invitation, by: User) -> None:
    """Mails a new link, good for seven days from now; the old one ends."""
    invitation.invited_by_id = by.id
    token = _renew(invitation)
    _mail(invitation, token, by)
    _record("user.reinvited", invitation)


def withdraw(invitation: Invitation) -> None:
    """Ends the link."""
    _record("user.uninvited", invitation)
    db.session.delete(invitation)


def of_token(token: str) -> Invitation:
    """The invitation a link is for; NotFound where it was accepted or withdrawn, is too old, or never was one."""
    found = db.session.scalar(select(Invitation).where(*_live(token)))
    if found is None:
        raise NotFound(GONE)
    return found


def is_taken(invitation: Invitation) -> bool:
    """Whether its address signs in to an account already, so that it cannot be accepted."""
    return bool(db.session.scalar(select(exists().where(User.email == invitation.email))))


def accept(token: str, name: str, password: str) -> User:
    """Makes the invited user; of two clicks one does it.

    NotFound as above; Refused for a weak password, a name that cannot be kept, or an address that is a user's: the link
    is then good for another try. Ends the transaction at hand while it hashes.
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
        raise Refused(f"{email} signs in to an account of this installation already.") from None
    audit.record("user.joined", user.account_id, user.label, detail=user.role.label, by=user)
    return user


def _renew(invitation: Invitation) -> str:
    token = links.new_token()
    invitation.token_hash = links.digest(token)
    invitation.created_at = utcnow()
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
    return Invitation.token_hash == links.digest(token), Invitation.expires_at > utcnow()
