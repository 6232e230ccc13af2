"""Interfaces as their forms show them, kept in the process: a visitor's first view costs one small SELECT.

What is kept here is asked about each time: it counts only while the database has the same version, so a change is seen
by the next visitor, whichever process answers. Whoever changes what a form shows sets `Interface.updated_at`. A
submission does not read from here: it asks for the webhook's state, too (`submissions.published`).
"""

from typing import Any

from sqlalchemy import bindparam, select
from werkzeug.exceptions import NotFound

from webapp.models import Account, Interface
from webapp.services import submissions
from webapp.services.submissions import Published
from webapp.transaction import looking

MOST = 500  # interfaces a process keeps, some kilobytes each

_kept: dict[str, tuple[Any, Published]] = {}
_interface, _account = Interface.__table__, Account.__table__
_VERSION: Any = (
    select(_interface.c.id, _interface.c.updated_at, _account.c.name)
    .join(_account, _account.c.id == _interface.c.account_id)
    .where(_interface.c.public_id == bindparam("public_id"), _interface.c.archived_at.is_(None))
)


def get(public_id: str) -> Published:
    """The interface with its fields, as rows to look at; NotFound once deleted. Its webhook may be out of date."""
    if not (public_id.isascii() and public_id.isprintable()):
        raise NotFound
    with looking() as connection:
        version = connection.execute(_VERSION, {"public_id": public_id}).one_or_none()
        seen = (str(connection.engine.url), *version) if version else None
    if seen is None:
        _kept.pop(public_id, None)
        raise NotFound
    kept = _kept.get(public_id)
    if kept is None or kept[0] != seen:
        if len(_kept) >= MOST:
            _kept.clear()
        kept = _kept[public_id] = (seen, submissions.published(public_id))
    return kept[1]
