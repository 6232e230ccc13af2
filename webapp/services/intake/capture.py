"""Capture: what visitors submit becomes leads, promised deliveries and mails, in one transaction; the ring follows it.

Submissions that come at the same time are kept together: two statements (PostgreSQL: one) and one commit for all.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import select

from webapp.clock import now_sql, utcnow
from webapp.db import bulk
from webapp.db.group_commit import GroupCommit
from webapp.db.transactions import after_commit
from webapp.delivery import states
from webapp.delivery.bell import bell
from webapp.extensions import db
from webapp.ids import lead_id, message_id
from webapp.models import Account, Delivery, DeliveryState, FieldType, Interface, Lead, Webhook, WebhookState
from webapp.per_app import per_app
from webapp.services.intake.submissions import Published
from webapp.services.interfaces import interface_mails
from webapp.webhooks.payload import lead_payload


class Submission(NamedTuple):
    """A form that was sent and judged. `fields` holds every declared key; `spam` says why nobody is told of it.

    Of several with the same `nonce` the first is kept.
    """

    form: Published
    fields: Mapping[str, Any]
    source: Mapping[str, Any]
    consents: Sequence[Any] = ()
    nonce: str | None = None
    spam: str | None = None


def capture(submissions: Sequence[Submission]) -> list[str | None]:
    """Keeps them in the transaction at hand; the leads' public ids.

    None for one whose nonce another lead has, or whose form is not as it was judged by any more.
    """
    leads = [_lead(submission) for submission in submissions]
    told = [
        (submission.form, lead) for submission, lead in zip(submissions, leads, strict=True) if submission.spam is None
    ]
    promised = [
        {**delivery_values(lead, form.interface, form.webhook), "public_id": lead.public_id}
        for form, lead in told
        if form.webhook.url
    ]
    rows = [{**vars(lead), **_version(submission.form)} for submission, lead in zip(submissions, leads, strict=True)]
    kept = _insert(rows, promised)
    pending = [row for row in promised if row["public_id"] in kept and row["state"] == DeliveryState.PENDING]
    for webhook_id in {row["webhook_id"] for row in pending}:
        ring(webhook_id)
    wanted = [(form, lead) for form, lead in told if lead.public_id in kept]
    _write_mails([(form, lead.public_id) for form, lead in wanted if interface_mails.are_wanted(form.interface)])
    return [lead.public_id if lead.public_id in kept else None for lead in leads]


_group = per_app("captures", lambda app: GroupCommit(capture))


def submit(submission: Submission) -> str | None:
    """Keeps it by a transaction of its own, or one with others that come at the same time; as `capture`."""
    return _group.run(submission)


def lead_values(
    interface: Any, questions: Sequence[Any], fields: Mapping[str, Any], source: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """The columns of a new lead; `interface` and `questions` are rows or objects of Interface and Field."""
    email = _first(questions, fields, FieldType.EMAIL)[:320]
    return {
        "public_id": lead_id(),
        "account_id": interface.account_id,
        "interface_id": interface.id,
        "received_at": utcnow(),
        "test": False,
        "name": _first(questions, fields, FieldType.TEXT)[:500],
        "email": email,
        "visitor": email.lower() or _first(questions, fields, FieldType.PHONE)[:320] or None,
        "fields": dict(fields),
        "source": dict(source),
        **more,
    }


def _first(questions: Sequence[Any], fields: Mapping[str, Any], kind: FieldType) -> str:
    """What was put into the first field of a kind: the name or address that people look the lead up by."""
    return next((fields.get(field.key) or "" for field in questions if field.type == kind), "")


def delivery_values(lead: Any, interface: Any, webhook: Any) -> dict[str, Any]:
    """The columns of a lead's new delivery, its payload frozen now; the arguments are rows or objects.

    What it lacks is `lead_id`, and the time it is due.
    """
    payload = lead_payload(
        event="lead.test" if lead.test else "lead.created",
        lead_id=lead.public_id,
        received_at=lead.received_at,
        fields=lead.fields,
        interface_id=interface.public_id,
        interface_name=interface.name,
        source=lead.source,
        consents=lead.consents,
    )
    held = webhook.state == WebhookState.PAUSED
    return {
        "message_id": message_id(),
        "account_id": lead.account_id,
        "webhook_id": webhook.id,
        "payload": payload,
        "test": lead.test,
        "state": DeliveryState.HELD if held else DeliveryState.PENDING,
        "state_reason": states.PAUSED_REASON if held else "",
        "tries": 0,
    }


def _lead(submission: Submission) -> SimpleNamespace:
    form, spam = submission.form, submission.spam
    blank_due = bool(form.interface.anonymises and form.webhook.url and spam is None)  # once it is delivered
    values = lead_values(form.interface, form.fields, submission.fields, submission.source, blank_due=blank_due)
    consents = list(submission.consents)
    return SimpleNamespace(**values, consents=consents, nonce=submission.nonce, spam=spam)


_OF_LEAD = (
    *("public_id", "account_id", "interface_id", "received_at", "test", "name", "email", "visitor", "fields", "source"),
    *("consents", "blank_due", "nonce", "spam"),
)
# What a form was judged by, see services/intake/shown_forms.py: only while that is so is a lead of it inserted.
_VERSION = {
    "form_updated_at": Interface.updated_at,
    "form_account": Account.name,
    "form_webhook": Webhook.id,
    "form_url": Webhook.url,
    "form_state": Webhook.state,
}


def _version(form: Published) -> dict[str, Any]:
    return {
        "form_updated_at": form.interface.updated_at,
        "form_account": form.account_name,
        "form_webhook": form.webhook.id,
        "form_url": form.webhook.url,
        "form_state": form.webhook.state,
    }


def _insert_leads(dialect: str, given: bulk.Values) -> Any:
    rows = (
        select(*(given[name] for name in _OF_LEAD))
        .join_from(Interface, Account, Account.id == Interface.account_id)
        .join(Webhook, Webhook.interface_id == Interface.id)
        .where(Interface.id == given["interface_id"], Interface.archived_at.is_(None))
        .where(*(column.is_not_distinct_from(given[name]) for name, column in _VERSION.items()))
    )
    into = bulk.insert(dialect, Lead).from_select([*_OF_LEAD], rows, include_defaults=False)
    return into.on_conflict_do_nothing()


_LEADS = bulk.Bulk(
    "lead",
    {name: getattr(Lead, name).type for name in _OF_LEAD} | {name: column.type for name, column in _VERSION.items()},
    _insert_leads,
)

_OF_DELIVERY = ("message_id", "account_id", "webhook_id", "payload", "test", "state", "state_reason", "tries")


def _insert_deliveries(dialect: str, given: bulk.Values) -> Any:
    """Of leads that are there; `leads`: the table, or what stands for it."""
    leads = given.get("leads", Lead.__table__)
    columns = [given[name] for name in _OF_DELIVERY]
    rows = select(*columns, leads.c.id, now_sql()).where(leads.c.public_id == given["public_id"])
    names = [*_OF_DELIVERY, "lead_id", "due_at"]
    return bulk.insert(dialect, Delivery).from_select(names, rows, include_defaults=False)


_DELIVERIES = bulk.Bulk(
    "delivery",
    {"public_id": Lead.public_id.type, **{name: getattr(Delivery, name).type for name in _OF_DELIVERY}},
    _insert_deliveries,
)


@cache
def _as_one(many_leads: bool, many_deliveries: bool | None) -> Any:
    """Leads and the deliveries of those that were inserted, as one statement, which PostgreSQL knows; None: there are
    no deliveries."""
    leads = _LEADS.statement("postgresql", many_leads).returning(Lead.id, Lead.public_id).cte("leads_kept")
    found = select(leads.c.public_id)
    if many_deliveries is None:
        return found
    return found.add_cte(_DELIVERIES.statement("postgresql", many_deliveries, leads=leads).cte())


def _insert(leads: Sequence[dict[str, Any]], deliveries: Sequence[dict[str, Any]]) -> set[str]:
    """Inserts leads, but for those whose nonce is there or whose form has changed, and the deliveries of those that
    were; their public ids."""
    connection = db.session.connection()
    if connection.dialect.name == "postgresql":
        given = _LEADS.parameters(leads) | (_DELIVERIES.parameters(deliveries) if deliveries else {})
        return set(connection.scalars(_as_one(len(leads) > 1, bulk.many(deliveries)), given))
    inserted = _LEADS.execute(connection, leads)
    _DELIVERIES.execute(connection, deliveries)
    ids = [lead["public_id"] for lead in leads]
    if inserted == len(leads):
        return set(ids)
    return set(connection.scalars(select(Lead.public_id).where(Lead.public_id.in_(ids))))


def ring(webhook_id: int) -> None:
    """Sees to it that somebody sends what is due, once the transaction at hand is committed."""
    after_commit(lambda: bell.ring(webhook_id))


def _write_mails(leads: Sequence[tuple[Published, str]]) -> None:
    if not leads:
        return
    ids = [public_id for _, public_id in leads]
    kept = {lead.public_id: lead for lead in db.session.scalars(select(Lead).where(Lead.public_id.in_(ids)))}
    for form, public_id in leads:
        interface_mails.tell(kept[public_id], form.interface, form.fields)
