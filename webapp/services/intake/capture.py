"""Capture: accepted submissions become leads with their deliveries and mails, in one transaction.

Submissions that arrive at the same time are captured together: two statements (PostgreSQL: one) and one commit for all.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, select

from webapp.clock import now_sql, utcnow
from webapp.db import bulk
from webapp.db.transactions import after_commit
from webapp.db.write_turns import GroupCommit
from webapp.delivery import events, states
from webapp.delivery.rings import bell
from webapp.extensions import db
from webapp.ids import lead_id, message_id
from webapp.models import Account, Delivery, DeliveryState, Field, Interface, Lead, Webhook, WebhookState
from webapp.per_app import per_app
from webapp.services.files import stored as stored_files
from webapp.services.intake import idempotency
from webapp.services.intake.published_forms import VERSION, PublishedForm
from webapp.services.intake.visitor import who
from webapp.services.interfaces import interface_mails
from webapp.services.webhooks.shapes import Shape
from webapp.webhooks.payload import payload_of


class NewLead(NamedTuple):
    """The columns of a lead that is not stored yet, by the attributes of `Lead`.

    `fields` holds every declared key. Of several leads with the same `nonce` only the first is stored; one with a
    `content_digest` was sent with an Idempotency-Key. `spam` is the reason why a lead counts as spam: it is stored, but
    not delivered and not mailed.
    """

    public_id: str
    received_at: datetime
    account_id: int
    interface_id: int
    name: str  # of the visitor, cut to 500 characters
    email: str
    visitor: str | None  # what a visitor who comes again is recognised by
    fields: Mapping[str, Any]
    source: Mapping[str, Any]
    typed: Mapping[str, str] | None = None
    marks: Mapping[str, str] | None = None
    undeclared: Mapping[str, Any] | None = None
    consents: Sequence[Any] = ()
    nonce: str | None = None
    content_digest: str | None = None
    spam: str | None = None
    no_webhook: bool = False  # it gets no delivery, although it is not spam
    test: bool = False
    anonymise_after_delivery: bool = False
    files: Sequence[str] = ()  # public ids of stored files, which become the lead's; not a column
    ip: str | None = None  # the visitor's, to count automatic answers; not a column, and `source` may not have it

    @property
    def columns(self) -> dict[str, Any]:
        """Its values by attribute of `Lead`, JSON in JSON's own types."""
        values = self._asdict()
        values |= {"fields": dict(self.fields), "source": dict(self.source), "consents": list(self.consents)}
        del values["files"], values["ip"]
        return values


LEAD_COLUMNS = tuple(name for name in NewLead._fields if name not in ("files", "ip"))


class Submission(NamedTuple):
    """A lead, and the form by whose settings it was accepted."""

    form: PublishedForm
    lead: NewLead


def new_lead(
    interface: Interface,
    answers: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    fields: Sequence[Field] | None = None,
    typed: Mapping[str, str] | None = None,
    marks: Mapping[str, str] | None = None,
    undeclared: Mapping[str, Any] | None = None,
    consents: Sequence[Any] = (),
    files: Sequence[str] = (),
    ip: str | None = None,
    nonce: str | None = None,
    content_digest: str | None = None,
    spam: str | None = None,
    test: bool = False,
) -> NewLead:
    """A lead of this interface with these answers; the rest as in NewLead. `fields`: the interface's, where the caller
    has them as plain objects."""
    name, email, visitor = who(fields or interface.fields, answers)
    is_delivered = any(webhook.url for webhook in interface.webhooks)
    return NewLead(
        public_id=lead_id(),
        received_at=utcnow(),
        account_id=interface.account_id,
        interface_id=interface.id,
        name=name,
        email=email,
        visitor=visitor,
        fields=answers,
        source=source,
        typed=typed or None,
        marks=marks or None,
        undeclared=undeclared or None,
        consents=consents,
        files=files,
        ip=ip,
        nonce=nonce,
        content_digest=content_digest,
        spam=spam,
        no_webhook=not is_delivered and spam is None,
        test=test,
        anonymise_after_delivery=interface.anonymises and is_delivered and spam is None and not test,
    )


def submit(submission: Submission) -> str | None:
    """Captures a submission in a transaction of its own, or in one with others; returns as `capture` does."""
    return (_ordinary if _is_ordinary(submission) else _others).run(submission)


def _is_ordinary(submission: Submission) -> bool:
    """Whether only a lead and its deliveries are written, which needs no session."""
    interface, lead = submission.form.interface, submission.lead
    is_mailed = interface.notification_emails or interface.autoresponds
    return not (is_mailed or lead.files or lead.content_digest or lead.spam is not None)


def capture(submissions: Sequence[Submission]) -> list[str | None]:
    """Stores the leads of these submissions in the current transaction; returns their public ids.

    None for a lead whose nonce is stored already or is a spent key’s, or whose form changed since it was accepted.
    FilesGone for one whose files cannot be given to it.
    """
    with_key = [lead.nonce for _, lead in submissions if lead.nonce and lead.content_digest]
    spent = idempotency.release(with_key) if with_key else ()
    wanted = [each for each in submissions if each.lead.nonce not in spent]
    promised: list[dict[str, Any]] = []
    for form, lead in wanted:
        for columns in deliveries(lead, form.interface, form.shapes):
            columns["public_id"] = lead.public_id
            promised.append(columns)
    sent = {row["public_id"] for row in promised if not row["shadow"]}
    rows = [_row(form, lead, lead.public_id in sent) for form, lead in wanted]
    stored = _insert(rows, promised) if rows else set()
    if any(lead.files for _, lead in wanted):
        stored_files.attach({lead.public_id: lead.files for _, lead in wanted if lead.public_id in stored})
    due = (row for row in promised if row["public_id"] in stored and row["state"] == DeliveryState.PENDING)
    ring({row["webhook_id"] for row in due})
    kept = [each for each in wanted if each.lead.public_id in stored]
    _write_mails([each for each in kept if each.lead.spam is None])
    if spam := [(form.interface, lead) for form, lead in kept if lead.spam is not None]:
        events.note_spam(db.session.connection(), spam)
    return [lead.public_id if lead.public_id in stored else None for _, lead in submissions]


_ordinary: GroupCommit[Submission, str | None] = per_app("captures")
_others: GroupCommit[Submission, str | None] = per_app("other_captures")


def deliveries(
    lead: NewLead | Lead, interface: Interface, shapes: Mapping[int, Shape], only: Webhook | None = None
) -> list[dict[str, Any]]:
    """The columns of a lead's new deliveries, their payloads frozen now, without `lead_id` and the time they are due:
    one for each webhook that takes it. `shapes`: by webhook id. `only`: for this webhook, without its condition.
    """
    found, body = [], None
    for webhook in interface.webhooks if only is None else [only]:
        shape = shapes.get(webhook.id)
        if not webhook.url or (lead.spam is not None and not (shape and shape.takes_spam)):
            continue
        body = body or payload_of(lead, interface)
        shaped = shape.of_lead(body, spam=lead.spam is not None, always=only is not None) if shape else {}
        if shaped is not None:
            found.append(_delivery_columns(lead, webhook, body) | shaped)
    return found


def _delivery_columns(lead: NewLead | Lead, webhook: Webhook, payload: bytes) -> dict[str, Any]:
    on_hold = webhook.state == WebhookState.PAUSED
    return {
        "message_id": message_id(),
        "account_id": lead.account_id,
        "webhook_id": webhook.id,
        "payload": payload,
        "content_type": None,
        "test": lead.test,
        "shadow": webhook.is_shadow,
        "hops": lead.source.get("hops"),
        "state": DeliveryState.ON_HOLD if on_hold else DeliveryState.PENDING,
        "state_reason": states.PAUSED_REASON if on_hold else "",
        "tries": 0,
    }


# A lead is inserted only while its form has the version it was accepted by.
_CONDITIONS = {f"form_{name}": column for name, column in VERSION.items()}


def _row(form: PublishedForm, lead: NewLead, is_sent: bool) -> dict[str, Any]:
    """The columns of a lead, and its form's version. It may be sent nowhere although there are webhooks: none of their
    conditions holds."""
    row = lead.columns
    if not is_sent:
        row.update(no_webhook=lead.spam is None, anonymise_after_delivery=False)
    row.update(zip(_CONDITIONS, form.version, strict=True))
    return row


def _insert_leads(dialect: str, given: bulk.Values) -> Any:
    rows = (
        select(*(given[name] for name in LEAD_COLUMNS))
        .join_from(Interface, Account, Account.id == Interface.account_id)
        .join(Webhook, and_(Webhook.interface_id == Interface.id, Webhook.is_first))
        .where(Interface.id == given["interface_id"], Interface.archived_at.is_(None))
        .where(*(column.is_not_distinct_from(given[name]) for name, column in _CONDITIONS.items()))
    )
    columns = [Lead.__mapper__.columns[name] for name in LEAD_COLUMNS]
    return bulk.insert(dialect, Lead).from_select(columns, rows, include_defaults=False).on_conflict_do_nothing()


_LEADS = bulk.Bulk(
    "lead",
    {name: getattr(Lead, name).type for name in LEAD_COLUMNS} | {name: each.type for name, each in _CONDITIONS.items()},
    _insert_leads,
)

_DELIVERY_COLUMNS = (
    *("message_id", "account_id", "webhook_id", "payload", "content_type", "test", "shadow", "hops"),
    *("state", "state_reason", "tries"),
)


def _insert_deliveries(dialect: str, given: bulk.Values) -> Any:
    """For leads that were stored; `given["leads"]`: what stands for their table."""
    leads = given.get("leads", Lead.__table__)
    values = [given[name] for name in _DELIVERY_COLUMNS]
    rows = select(*values, leads.c.id, now_sql()).where(leads.c.public_id == given["public_id"])
    names = [*_DELIVERY_COLUMNS, "lead_id", "due_at"]
    return bulk.insert(dialect, Delivery).from_select(names, rows, include_defaults=False)


_DELIVERIES = bulk.Bulk(
    "delivery",
    {"public_id": Lead.public_id.type, **{name: getattr(Delivery, name).type for name in _DELIVERY_COLUMNS}},
    _insert_deliveries,
)


@cache
def _one_statement(many_leads: bool, many_deliveries: bool | None) -> bulk.Statement:
    """PostgreSQL: leads, and the deliveries of those that were inserted, in one statement; None: no deliveries."""
    leads = _LEADS.statement("postgresql", many_leads).returning(Lead.id, Lead.public_id).cte("leads_stored")
    found = select(leads.c.public_id)
    if many_deliveries is not None:
        found = found.add_cte(_DELIVERIES.statement("postgresql", many_deliveries, leads=leads).cte())
    return bulk.Statement(found)


_STORED = bulk.Statement(select(Lead.public_id).where(Lead.public_id == bindparam("public_id")))


def _insert(leads: Sequence[dict[str, Any]], deliveries: Sequence[dict[str, Any]]) -> set[str]:
    """Inserts leads whose nonce is new and whose form did not change, with deliveries; their public ids."""
    connection = bulk.plain() or db.session.connection()
    if connection.dialect.name == "postgresql":
        given = _LEADS.parameters(leads) | (_DELIVERIES.parameters(deliveries) if deliveries else {})
        return {row[0] for row in _one_statement(len(leads) > 1, bulk.many(deliveries)).run(connection, given)}
    inserted = _LEADS.execute(connection, leads)
    _DELIVERIES.execute(connection, deliveries)
    ids = {lead["public_id"] for lead in leads}
    if inserted == len(leads):
        return ids
    return {each for each in ids if _STORED.run(connection, {"public_id": each}).fetchone()}


def ring(webhook_ids: Collection[int]) -> None:
    """Has the due deliveries of these webhooks sent, once the current transaction is committed."""
    if webhook_ids:
        after_commit(lambda: bell.ring(webhook_ids))


def _write_mails(submissions: Sequence[Submission]) -> None:
    interfaces = {lead.public_id: (form.interface, lead.ip) for form, lead in submissions}
    mailed = [key for key, (each, _) in interfaces.items() if each.notification_emails or each.autoresponds]
    if not mailed:
        return
    found = db.session.scalars(select(Lead).where(Lead.public_id.in_(mailed)).order_by(Lead.id))
    interface_mails.write_mails([interface_mails.Mailed(lead, *interfaces[lead.public_id]) for lead in found])
