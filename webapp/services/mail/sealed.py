"""Mails with a link that signs their recipient in. Their bodies are encrypted with ENCRYPTION_KEYS until the mail is
sent or the link is too old, so that a copy of the database opens no account.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import select, update

from webapp.db import database_clock
from webapp.encryption import CannotDecrypt, decrypt, encrypt
from webapp.extensions import db
from webapp.models import Mail, MailState
from webapp.models.mail import LINKS_LIVE

# Instead of the bodies. During an upgrade a worker of the previous version may send it.
ENCRYPTED = (
    "This e-mail has a link that signs its recipient in, so its text is encrypted. "
    "If you received these words by e-mail, please ask for the e-mail again."
)
REMOVED = "The link in this mail was removed, because it is older than seven days and no longer works."
UNREADABLE = "No key of ENCRYPTION_KEYS reads the text of this mail."


class Bodies(NamedTuple):
    body_text: str
    body_html: str


class HasBodies(Protocol):
    """A Mail, or the values of one."""

    @property
    def body_text(self) -> Any: ...
    @property
    def body_html(self) -> Any: ...
    @property
    def body_encrypted(self) -> Any: ...


def sealed(bodies: Bodies) -> dict[str, Any]:
    """The columns of a mail with these bodies, encrypted."""
    return {"body_text": ENCRYPTED, "body_html": ENCRYPTED, "body_encrypted": encrypt(json.dumps(bodies))}


def bodies(mail: HasBodies) -> Bodies:
    """The bodies of any mail, decrypted; CannotDecrypt if the key of one is no longer in ENCRYPTION_KEYS."""
    if mail.body_encrypted is None:
        return Bodies(mail.body_text, mail.body_html)
    return Bodies(*json.loads(decrypt(mail.body_encrypted)))


def readable_bodies(mail: HasBodies) -> Bodies:
    """The bodies as in `bodies`; where no key reads them, a sentence that says so."""
    try:
        return bodies(mail)
    except CannotDecrypt:
        return Bodies(UNREADABLE, UNREADABLE)


def tidy() -> None:
    """Removes links that are too old to work, and encrypts mails that a process of an earlier version wrote."""
    oldest = database_clock.now() - LINKS_LIVE
    over = Mail.body_encrypted.is_not(None), Mail.created_at < oldest, Mail.state != MailState.DUE
    removed = {"body_text": REMOVED, "body_html": REMOVED, "body_encrypted": None}
    db.session.execute(update(Mail).where(*over).values(removed).execution_options(synchronize_session=False))
    _seal_rest(oldest)


def _seal_rest(oldest: datetime) -> None:
    waits = Mail.signs_in, Mail.state.in_((MailState.DUE, MailState.KEPT))
    rest = select(Mail).where(*waits, Mail.body_encrypted.is_(None), Mail.created_at >= oldest)
    for mail in db.session.scalars(rest.with_for_update(skip_locked=True)):
        for name, value in sealed(bodies(mail)).items():
            setattr(mail, name, value)
