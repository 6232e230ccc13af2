"""Interfaces as their forms show them, kept in the process: a visitor's first view costs one small SELECT.

Loading an interface with its fields through the ORM takes as long as all the rest of the request. What is kept here is
asked about each time: it counts only while the database has the same version, so a change is seen by the next visitor,
whichever process answers. Whoever changes what a form shows sets `Interface.updated_at`.
"""

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import joinedload
from werkzeug.exceptions import NotFound

from webapp.extensions import db
from webapp.models import Account, Interface

MOST = 500  # interfaces a process keeps, some kilobytes each

_kept: dict[str, tuple[Any, Interface]] = {}
_interface, _account = Interface.__table__, Account.__table__
_VERSION = (
    select(_interface.c.id, _interface.c.updated_at, _account.c.name)
    .join(_account, _account.c.id == _interface.c.account_id)
    .where(_interface.c.public_id == bindparam("public_id"), _interface.c.archived_at.is_(None))
)


def get(public_id: str) -> Interface:
    """The interface with its fields and account, to look at only: it belongs to no session. NotFound once deleted."""
    if not (public_id.isascii() and public_id.isprintable()):
        raise NotFound
    connection = db.session.connection()
    version = connection.execute(_VERSION, {"public_id": public_id}).one_or_none()
    if version is None:
        _kept.pop(public_id, None)
        raise NotFound
    seen = (str(connection.engine.url), *version)
    kept = _kept.get(public_id)
    if kept is None or kept[0] != seen:
        if len(_kept) >= MOST:
            _kept.clear()
        kept = _kept[public_id] = (seen, _load(version.id))
    return kept[1]


def _load(interface_id: int) -> Interface:
    parts = (joinedload(Interface.fields), joinedload(Interface.account, innerjoin=True))
    query = select(Interface).where(Interface.id == interface_id).options(*parts)
    row = db.session.execute(query.execution_options(populate_existing=True)).unique().scalar_one()
    db.session.expunge_all()  # a request that shows a form holds nothing else
    return row
