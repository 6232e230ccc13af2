"""Interfaces as their visitors meet them, kept in the process: a view costs one small SELECT, a submission none.

What is kept counts only while the database has the same version, so a change is seen by the next visitor, whichever
process answers: a view asks for it, and the statement that inserts a lead has it as its condition. Whoever changes what
a form shows sets `Interface.updated_at`; where its leads go, and whether they may, is part of the version itself.
"""

from typing import Any

from sqlalchemy import bindparam, select
from werkzeug.exceptions import NotFound

from webapp.db.transactions import read_autocommit
from webapp.extensions import db
from webapp.models import Account, Interface, Webhook
from webapp.services.intake import submissions
from webapp.services.intake.submissions import Published

MOST = 500  # interfaces a process keeps, some kilobytes each

_kept: dict[str, tuple[Any, Published]] = {}
_interface, _account, _webhook = Interface.__table__, Account.__table__, Webhook.__table__
_VERSION: Any = (
    select(_interface.c.id, _interface.c.updated_at, _account.c.name, _webhook.c.url, _webhook.c.state)
    .join(_account, _account.c.id == _interface.c.account_id)
    .join(_webhook, _webhook.c.interface_id == _interface.c.id)
    .where(_interface.c.public_id == bindparam("public_id"), _interface.c.archived_at.is_(None))
)


def kept(public_id: str) -> Published | None:
    """The interface as this process last saw it, without asking; a capture from it finds out whether it is so still."""
    found = _kept.get(public_id)
    return found[1] if found and found[0][0] == db.engine.url else None


def get(public_id: str) -> Published:
    """The interface with its fields and webhook, as rows to look at; NotFound once deleted."""
    if not (public_id.isascii() and public_id.isprintable()):
        raise NotFound
    with read_autocommit() as connection:
        version = connection.execute(_VERSION, {"public_id": public_id}).one_or_none()
        seen = (connection.engine.url, *version) if version else None
    if seen is None:
        _kept.pop(public_id, None)
        raise NotFound
    kept = _kept.get(public_id)
    if kept is None or kept[0] != seen:
        if len(_kept) >= MOST:
            _kept.clear()
        kept = _kept[public_id] = (seen, submissions.published(public_id))
    return kept[1]
