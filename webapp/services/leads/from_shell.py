"""Leads for people who work in a shell: which there are, and sends them again. By the same services as the pages."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from webapp.db.transactions import end_transaction, read_only
from webapp.extensions import db
from webapp.models import Lead, Status
from webapp.services.errors import Refused
from webapp.services.leads import lead_list, leads, whole_leads
from webapp.services.leads.lead_list import Filter
from webapp.webhooks.payload import utc_text

STATUSES = [status.slug for status in Status]
RETRIED = [status.slug for status in Status if status not in (Status.QUEUED, Status.CANCELLED, Status.SPAM)]
RECEIVED = list(lead_list.RECEIVED)
BATCH = 100  # leads of one transaction


class Retried(NamedTuple):
    """How many leads are sent again, how many not, and why the first of those is not."""

    queued: int
    left: int
    why: str


def chosen(account_id: int, status: str, interface: str, received: str) -> Filter:
    """The account's leads that match, "" for any; Refused for an interface that it does not have."""
    wanted = Filter.of(account_id, status, "", interface, received)
    if interface and wanted.interface_id is None:
        raise Refused(f"There is no interface {interface[:40]}.")
    return wanted


def listed(wanted: Filter, most: int) -> list[dict[str, Any]]:
    """What is shown of the newest leads that match, by name."""
    with read_only():
        return [_shown(lead) for lead in whole_leads.page(wanted, None, most).rows]


def _shown(lead: Lead) -> dict[str, Any]:
    deliveries = [
        {"webhook": each.webhook.public_id, "status": each.status.slug, "code": each.last_code}
        for each in lead.deliveries
    ]
    about: dict[str, Any] = {
        "id": lead.public_id,
        "received_at": utc_text(lead.received_at),
        "interface": lead.interface.public_id,
    }
    about |= {"status": lead.status.slug, "test": lead.test, "name": lead.name, "email": lead.email}
    return {**about, "deliveries": deliveries}


def line(shown: dict[str, Any]) -> str:
    """A lead in one line. What a visitor typed cannot steer the terminal."""
    codes = [str(each["code"]) for each in shown["deliveries"] if each["code"]]
    state = " ".join([shown["status"], *codes])
    who = " ".join(filter(None, [shown["name"], shown["email"], "(test)" if shown["test"] else ""]))
    text = f"{shown['id']}  {shown['received_at'][:19]}  {shown['interface']}  {state:<14}  {who}"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def batches(wanted: Filter) -> Iterator[list[str]]:
    """The ids of all leads that match, newest first. No transaction is open between two batches."""
    after: int | None = None
    while True:
        with read_only():
            page = whole_leads.page(wanted, after, BATCH)
            ids, after = [str(lead.public_id) for lead in page.rows], page.next
            end_transaction()
        yield ids
        if after is None:
            return


def retry(account_id: int, public_ids: Sequence[str], webhooks: Sequence[str]) -> Retried:
    """Sends these leads again, as `leads.retry` does; Refused if one of them is not the account's."""
    known = select(Lead).where(Lead.account_id == account_id, Lead.public_id.in_(public_ids))
    refusals = {lead.public_id: leads.retryable(lead, webhooks) for lead in db.session.scalars(known)}
    if missing := [each for each in public_ids if each not in refusals]:
        raise Refused(f"There is no lead {missing[0][:40]}.")
    queued = leads.retry(account_id, public_ids, None, webhooks)
    return Retried(queued, len(refusals) - queued, next(filter(None, refusals.values()), ""))
