"""Forms as visitors meet them, cached in the process: a page view costs one small SELECT, a submission none.

A cached form is used only while the database has the same version of it. So the next visitor sees a change at once,
from any process: a page view asks for the version, and the statement that inserts a lead has it as its condition.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from sqlalchemy import and_, bindparam, select
from werkzeug.exceptions import NotFound

from webapp.db import bulk
from webapp.db.plain_reads import PlainObjects, PlainSelect
from webapp.db.write_turns import meet
from webapp.models import Account, Field, Interface, Webhook, WebhookState
from webapp.per_app import per_app
from webapp.services.intake import undeclared
from webapp.services.intake.answers import rules_of
from webapp.services.intake.rules import Rules
from webapp.services.interfaces import after_submit
from webapp.services.webhooks.shapes import Shape, shapes_of

log = structlog.get_logger()

MOST = 500  # forms a process caches, some kilobytes each


class FormVersion(NamedTuple):
    """What a lead depends on. A change of what a form shows or asks sets `Interface.updated_at`. That does not cover
    where its leads go, so the first webhook's URL and state are fields here; all else about the webhooks raises
    `Interface.webhooks_version`."""

    updated_at: datetime
    account_name: str
    webhook_id: int
    webhook_url: str | None
    webhook_state: WebhookState
    webhooks_version: int


# The columns of FormVersion, by its names.
VERSION: dict[str, Any] = dict(
    zip(
        FormVersion._fields,
        (
            Interface.updated_at,
            Account.name,
            Webhook.id,
            Webhook.url,
            Webhook.state,
            Interface.webhooks_version,
        ),
        strict=True,
    )
)


@dataclass(frozen=True)
class PublishedForm:
    """An interface with its account, fields, removed fields and webhooks: threads share it, nothing writes.

    All of these are plain objects (`PlainObjects`), with no other relationships. A post reads a hundred of their
    values, which SQLAlchemy makes slow. `fields` are the interface's.

    `names` are those that a post of this form has; `other_names` are keys by another name, see undeclared.py. `shapes`:
    what the webhooks that have settings of their own get, by their ids. `answers`: what visitors of this version get,
    kept by kind.
    """

    interface: Interface
    version: FormVersion
    row: tuple[Any, ...]  # the same as the database's driver has it
    rules: Rules
    names: frozenset[str]
    other_names: Mapping[str, str]
    shapes: Mapping[int, Shape]
    fields: Sequence[Field]
    answers: dict[tuple[Any, ...], Any] = field(default_factory=dict, compare=False)


_cache: dict[str, PublishedForm] = per_app("published_forms")
_VERSION = PlainSelect(
    select(*VERSION.values())
    .select_from(Interface)
    .join(Account, Account.id == Interface.account_id)
    .join(Webhook, and_(Webhook.interface_id == Interface.id, Webhook.is_first))
    .where(Interface.public_id == bindparam("public_id"), Interface.archived_at.is_(None))
)


def cached(public_id: str) -> PublishedForm | None:
    """The form as this process last saw it, without a query; a capture finds out whether it is still so."""
    return _cache.get(public_id)


def get(public_id: str) -> PublishedForm:
    """The form as it is now; NotFound where its interface does not exist or was deleted.

    The same object as long as nothing changed. Reads what is committed, outside the session's transaction.
    """
    if not (public_id.isascii() and public_id.isprintable()):
        raise NotFound
    row = _row_of(public_id)
    if row is None:
        _cache.pop(public_id, None)
        raise NotFound
    form = _cache.get(public_id)
    if form is None or form.row != row:
        if len(_cache) >= MOST:
            _cache.clear()
        form = _cache[public_id] = _load(public_id, row)
    return form


class _Asked:
    """A request for the version of a form. `row`: None where there is no such form; `error`: why the database could not
    say."""

    is_answered = False
    row: tuple[Any, ...] | None = None
    error: Exception | None = None

    def __init__(self, public_id: str) -> None:
        self.public_id = public_id


def _row_of(public_id: str) -> tuple[Any, ...] | None:
    """The version in the database; requests side by side ask once for each form."""
    mine = _Asked(public_id)
    if beside := meet(_VERSION, mine):
        _ask_for(beside)
    if not mine.is_answered:
        _ask_for([mine])
    if mine.error:
        raise mine.error
    return mine.row


def _ask_for(asked: Sequence[_Asked]) -> None:
    """Fills in the row of each. After an error it asks no more: a database that is away may take ten seconds to say so.
    The others get copies of it, because each that raises an error adds its stack to it."""
    rows: dict[str, tuple[Any, ...] | None] = {}
    failed: Exception | None = None
    for each in asked:
        if each.public_id not in rows and not failed:
            try:
                rows[each.public_id] = _VERSION.one_or_none(public_id=each.public_id)
            except Exception as error:  # noqa: BLE001 - each of them raises it
                each.error = failed = error
        each.row, each.is_answered = rows.get(each.public_id), True
        if each.public_id not in rows and not each.error:
            each.error = copy(failed)


_ACCOUNTS, _INTERFACES = PlainObjects(Account), PlainObjects(Interface)
_WEBHOOKS, _FIELDS = PlainObjects(Webhook), PlainObjects(Field)
_READ_INTERFACE = bulk.Statement(
    select(*_INTERFACES.columns, *_ACCOUNTS.columns)
    .join(Account, Account.id == Interface.account_id)
    .where(Interface.public_id == bindparam("public_id"), Interface.archived_at.is_(None))
)
_READ_WEBHOOKS = bulk.Statement(
    select(*_WEBHOOKS.columns)
    .where(Webhook.interface_id == bindparam("interface_id"), Webhook.removed_at.is_(None))
    .order_by(Webhook.is_first.desc(), Webhook.id)
)
_READ_FIELDS = bulk.Statement(
    select(*_FIELDS.columns).where(Field.interface_id == bindparam("interface_id")).order_by(Field.position)
)


def _load(public_id: str, row: tuple[Any, ...]) -> PublishedForm:
    """Reads the interface first, then its parts. If a part changes in between, the version noted here is the old one,
    so the form is not used. `row`: the version as it was before."""
    interface = _read(public_id)
    if interface.redirect_url and (wrong := after_submit.fault(interface.redirect_url)):
        # Stored before such addresses were refused: no answer could be written with it, though the lead is stored.
        log.warning("visitors get the thank-you page instead of the page to go to", interface=public_id, reason=wrong)
        interface.redirect_url = None
    webhook = interface.webhook
    first = webhook.id, webhook.url, webhook.state
    version = FormVersion(interface.updated_at, interface.account.name, *first, interface.webhooks_version)
    names, others = undeclared.known_names(interface), undeclared.other_names(interface)
    shapes = shapes_of(interface)
    return PublishedForm(interface, version, row, rules_of(interface), names, others, shapes, interface.fields)


def _read(public_id: str) -> Interface:
    """A statement for each table: an ORM session would take ten times as long for the same."""
    with bulk.driver() as connection:
        rows = _READ_INTERFACE.rows(connection, {"public_id": public_id})
        if not rows:
            raise NotFound
        width = len(_INTERFACES.columns)
        interface = _INTERFACES.of(rows[0][:width], account=_ACCOUNTS.of(rows[0][width:]))
        given = {"interface_id": interface.id}
        interface.webhooks = [_WEBHOOKS.of(each) for each in _READ_WEBHOOKS.rows(connection, given)]
        fields = [_FIELDS.of(each) for each in _READ_FIELDS.rows(connection, given)]
    interface.fields = [field for field in fields if field.removed_at is None]
    interface.removed_fields = [field for field in fields if field.removed_at is not None]
    return interface  # type: ignore[no-any-return]
