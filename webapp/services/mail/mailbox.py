"""The mailbox page: which mails a person may read. A link that signs someone in is the operator's only."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Text, and_, cast, exists, or_, select
from sqlalchemy.orm import defer
from werkzeug.exceptions import NotFound

from webapp.extensions import db
from webapp.models import Mail, MailState, User

PAGE = 25


@dataclass(frozen=True)
class Page:
    """Mails, newest first; `prev` and `next` are the ids of mails to go on from, None at an end."""

    mails: Sequence[Mail]
    prev: int | None
    next: int | None


def get(user: User, mail_id: int) -> Mail:
    """A mail the user may read; NotFound for any other."""
    mail = db.session.scalar(select(Mail).where(Mail.id == mail_id, _readable(user)))
    if mail is None:
        raise NotFound
    return mail


def page(user: User, q: str = "", state: MailState | None = None, before: int = 0, after: int = 0) -> Page:
    """The mails the user may read whose subject or recipients hold `q`.

    Those that end `before` a mail of that id, or come `after` it; 0 is the newest page.
    """
    found = select(Mail).where(_readable(user)).options(defer(Mail.body_text), defer(Mail.body_html))
    if q:
        text = q[:200].replace("\0", "")
        places = Mail.subject, cast(Mail.recipients, Text)
        found = found.where(or_(*(place.icontains(text, autoescape=True) for place in places)))
    if state:
        found = found.where(Mail.state == state)
    if before:
        newer = found.where(Mail.id > before).order_by(Mail.id).limit(PAGE + 1)
        mails = list(db.session.scalars(newer))
        if len(mails) > PAGE:
            return _page(mails[PAGE - 1 :: -1], prev=True, next=True)
        after = 0  # too few for a page of their own: the first page shows them all
    if after:
        found = found.where(Mail.id < after)
    mails = list(db.session.scalars(found.order_by(Mail.id.desc()).limit(PAGE + 1)))
    return _page(mails[:PAGE], prev=bool(after), next=len(mails) > PAGE)


def any_readable(user: User) -> bool:
    """Whether there is any mail for this user, whatever is searched for."""
    return bool(db.session.scalar(select(exists().where(_readable(user)))))


def _page(mails: Sequence[Mail], prev: bool, next: bool) -> Page:  # noqa: A002 - the word on the button
    return Page(mails, mails[0].id if mails and prev else None, mails[-1].id if mails and next else None)


def _readable(user: User) -> ColumnElement[bool]:
    """A link that waits for the mail server is nobody's to read but its recipient's; once sent it is cut out."""
    own = and_(Mail.account_id == user.account_id, Mail.signs_in.is_(False))
    links = and_(Mail.signs_in, Mail.state != MailState.DUE)
    return or_(own, Mail.account_id.is_(None), links) if user.is_operator else own
