"""Leads: create, list, get with answers, deliveries and attempts, retry, take out of Spam."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from webapp.blueprints.api import deliveries
from webapp.blueprints.api.deliveries import DeliverySummary, LeadDelivery
from webapp.blueprints.api.shapes import Moment, Next, Nothing, PageQuery
from webapp.db.transactions import transaction
from webapp.models import Lead, Scope
from webapp.services.leads import leads, whole_leads
from webapp.services.leads.lead_list import Filter
from webapp.web.api import cursors, keys
from webapp.web.api.operations import operation
from webapp.web.api.problems import Fault, Problem, invalid
from webapp.webhooks.payload import lead_document, values_of

TAG = "Leads"
STATUSES = Literal["delivered", "queued", "retrying", "failed", "held", "cancelled", "no-webhook", "spam"]


class InterfaceName(msgspec.Struct):
    id: str
    name: str


class LeadSummary(msgspec.Struct):
    id: Annotated[str, Meta(description="Such as lead_01m83pph3v0019fd3g78e43pkn.")]
    interface: InterfaceName
    received_at: Moment
    status: Annotated[str, Meta(description=f"{', '.join(STATUSES.__args__)}; later versions may have more.")]
    test: bool
    spam: Annotated[str | None, Meta(description="Why it was taken for spam; null if it was not.")]
    fields: Annotated[dict[str, Any], Meta(description="Every answer by its field’s key, as webhooks get them.")]
    typed: Annotated[dict[str, str], Meta(description="What was typed, where fields has another value.")]
    marks: Annotated[dict[str, str], Meta(description="unparsed or cut, where a reader must know it.")]
    undeclared: Annotated[dict[str, Any], Meta(description="Answers that no field asks for.")]
    source: Annotated[dict[str, Any], Meta(description="Where the visitor came from, as in a webhook.")]
    consents: list[dict[str, Any]]
    deliveries: list[DeliverySummary]


class LeadResource(LeadSummary):
    deliveries: list[LeadDelivery]  # type: ignore[assignment]


class LeadList(msgspec.Struct):
    data: list[LeadSummary]
    next: Next


class LeadQuery(PageQuery, forbid_unknown_fields=True):
    status: Annotated[STATUSES, Meta(description="Only leads with this Webhook Status.")] | UnsetType = UNSET
    interface: Annotated[str, Meta(max_length=40, description="Only leads of the interface with this id.")] = ""
    received: (
        Annotated[Literal["24h", "7d", "30d", "90d"], Meta(description="Only leads that came since then.")] | UnsetType
    ) = UNSET
    q: Annotated[str, Meta(max_length=200, description="A part of the name, of the address or of the id.")] = ""


class Retry(msgspec.Struct, forbid_unknown_fields=True):
    webhooks: Annotated[
        list[str],
        Meta(max_length=20, description="The ids of the webhooks; none: those that did not take it, or else all."),
    ] = []


SUMMARY: dict[str, Any] = {
    "id": "lead_01m83pph3v0019fd3g78e43pkn",
    "interface": {"id": "if_8Kx2vQ4mTzPa", "name": "Contact sales"},
    "received_at": "2026-11-23T08:00:00.123Z",
    "status": "delivered",
    "test": False,
    "spam": None,
    "fields": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"},
    "typed": {},
    "marks": {},
    "undeclared": {},
    "source": {"page_url": "https://example.com/contact", "utm": {"source": "newsletter"}, "ip": "203.0.113.7"},
    "consents": [],
    "deliveries": [deliveries.SUMMARY],
}
EXAMPLE = {**SUMMARY, "deliveries": [deliveries.OF_LEAD]}
LIST = {"data": [SUMMARY], "next": "cm93IDQy"}


@operation(
    "GET",
    "/leads",
    "List leads",
    tag=TAG,
    scope=Scope.READ,
    query=LeadQuery,
    answer=LeadList,
    example=LIST,
    searches=True,
    about="Newest first. Without a status all but spam.",
)
def list_leads(query: LeadQuery) -> LeadList:
    page = whole_leads.page(_filter(query), cursors.row_of(query.cursor), query.limit)
    return LeadList([_summary(lead) for lead in page.rows], cursors.cursor_of(page.next))


@operation("GET", "/leads/<lead_id>", "Get a lead", tag=TAG, scope=Scope.READ, answer=LeadResource, example=EXAMPLE)
def get_lead(lead_id: str) -> LeadResource:
    return resource(lead_of(lead_id))


@operation(
    "POST",
    "/leads/<lead_id>/retry",
    "Send a lead again",
    tag=TAG,
    scope=Scope.WRITE,
    body=Retry,
    sends={},
    answer=LeadResource,
    status=202,
    example=EXAMPLE,
    about="The same bytes and webhook-id, to the webhook’s current URL. 409 says why it cannot be sent now.",
)
def retry_lead(lead_id: str, body: Retry) -> LeadResource:
    lead = lead_of(lead_id)
    refusal = leads.retryable(lead, body.webhooks)
    with transaction():
        queued = leads.retry(lead.account_id, [lead.public_id], None, body.webhooks)
    if not queued:
        raise Problem(409, refusal or "It is being sent right now.")
    return resource(lead_of(lead_id))


@operation(
    "POST",
    "/leads/<lead_id>/not-spam",
    "Take a lead out of Spam",
    tag=TAG,
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=LeadResource,
    example=EXAMPLE,
    about="It is then delivered and mailed like a new lead. Nothing changes for a lead that is not in Spam.",
)
def not_spam(lead_id: str, body: Nothing) -> LeadResource:
    lead = lead_of(lead_id)
    with transaction():
        leads.not_spam(lead.account_id, lead.public_id, None)
    return resource(lead_of(lead_id))


def lead_of(public_id: str) -> Lead:
    lead = whole_leads.get(keys.account_id(), public_id)
    keys.check_reach(lead.interface.public_id)
    return lead


def _filter(query: LeadQuery) -> Filter:
    status = "" if query.status is UNSET else query.status
    received = "" if query.received is UNSET else query.received
    caller = keys.caller()
    wanted = Filter.of(caller.account_id, status, query.q, query.interface, received)
    if query.interface and (wanted.interface_id is None or not caller.reaches(wanted.interface)):
        raise invalid([Fault("There is no interface with this id.", parameter="interface")])
    return replace(wanted, only=caller.interfaces)


def resource(lead: Lead) -> LeadResource:
    attempts = whole_leads.attempts(lead.deliveries)
    sent = [
        LeadDelivery(**deliveries.summary(each), attempts=deliveries.attempts(each, attempts[each.id]))
        for each in lead.deliveries
    ]
    return LeadResource(**_values(lead), deliveries=sent)


def _summary(lead: Lead) -> LeadSummary:
    sent = [DeliverySummary(**deliveries.summary(each)) for each in lead.deliveries]
    return LeadSummary(**_values(lead), deliveries=sent)


def _values(lead: Lead) -> dict[str, Any]:
    """What a webhook gets of the lead, in the same words, and what became of it."""
    sent = lead_document(**values_of(lead, lead.interface, lead.undeclared or {}))["data"]
    interface = InterfaceName(**sent["interface"])
    more = {"interface": interface, "source": sent["source"], "consents": sent["consents"]}
    return {**sent["lead"], **more, "status": lead.status.slug, "spam": lead.spam}
