"""The mailbox page: which mails a person may read. Only the operator may read a link that signs someone in."""

from sqlalchemy import ColumnElement, Text, and_, cast, exists, or_, select, text
from sqlalchemy.orm import defer
from werkzeug.exceptions import NotFound

from webapp.db.pages import Page, read_page
from webapp.extensions import db
from webapp.models import Mail, MailState, User

PAGE = 25
_FOR_OPERATOR = text("(mails.account_id IS NULL OR mails.signs_in)")  # the exact text of the partial index


def get(user: User, mail_id: int) -> Mail:
    """A mail that the user may read. Raises NotFound for any other."""
    mail = db.session.scalar(select(Mail).where(Mail.id == mail_id, or_(*_readable(user))))
    if mail is None:
        raise NotFound
    return mail


def page(
    user: User, q: str = "", state: MailState | None = None, before: int | None = None, after: int | None = None
) -> Page[Mail, int]:
    """The mails that the user may read and whose subject or recipients contain `q`.

    `before` and `after` are ids of mails: the page ends before that mail, or begins after it. Without them it is the
    newest page.
    """
    narrow = []
    if q:
        words = q[:200].replace("\0", "")
        places = Mail.subject, cast(Mail.recipients, Text)
        narrow.append(or_(*(place.icontains(words, autoescape=True) for place in places)))
    if state:
        narrow.append(Mail.state == state)
    light = select(Mail).options(*map(defer, (Mail.body_text, Mail.body_html, Mail.body_encrypted)))
    found = [light.where(part, *narrow) for part in _readable(user)]
    return read_page(found, Mail.id, lambda mail: mail.id, before=before, after=after, size=PAGE)


def any_readable(user: User) -> bool:
    """Whether the user may read any mail at all; a search does not matter."""
    return bool(db.session.scalar(select(or_(*(exists().where(part) for part in _readable(user))))))


def _readable(user: User) -> list[ColumnElement[bool]]:
    """Mails of the user's own account. The operator also reads those with a sign-in link, but not while they are due:
    until a mail is sent, its link is for its recipient only; then the link is removed from it.

    One or two parts that share no mail. Each has an index; for an OR of them all mails would be read.
    """
    own = and_(Mail.account_id == user.account_id, Mail.signs_in.is_(False))
    shown = or_(Mail.account_id.is_(None), Mail.state != MailState.DUE)
    return [own, and_(_FOR_OPERATOR, shown)] if user.is_operator else [own]
