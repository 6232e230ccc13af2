"""Tools for leads: find, read, explain why one was not delivered, send again. By the functions of the REST API."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from webapp.blueprints.api import leads as api_leads
from webapp.blueprints.api.leads import LeadQuery, LeadSummary, Retry
from webapp.blueprints.mcp.strangers import NOTICE, cut
from webapp.blueprints.mcp.tools import tool
from webapp.db.slow_reads import searches
from webapp.models import Delivery, Scope
from webapp.services.leads import explaining
from webapp.webhooks import shown_addresses

IN_LIST, ALONE = 300, 4000  # characters of a text that a visitor wrote
ANSWER = 1000  # characters of a receiver's answer
ATTEMPTS = 5  # of a delivery, the newest

LeadId = Annotated[str, Meta(max_length=40, description="Such as lead_01m83pph3v0019fd3g78e43pkn.")]


class ListLeads(LeadQuery, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=50, description="How many leads at most.")] = 10


class OneLead(msgspec.Struct, forbid_unknown_fields=True):
    id: LeadId


class RetryLead(Retry, forbid_unknown_fields=True, kw_only=True):
    id: LeadId


@tool(
    "List and search leads",
    "Leads, newest first, without spam unless status is spam. q finds a part of the name, the address or the id. "
    "Long answers are cut; get_lead has more. If next is not null, call again with it as cursor.",
    ListLeads,
)
def list_leads(query: ListLeads) -> dict[str, Any]:
    with searches.turn(bool(query.q.strip() or (query.status and query.interface))):
        found = api_leads.list_leads(query)
    return {"notice": NOTICE, "leads": [_lead(each, IN_LIST) for each in found.data], "next": found.next}


@tool(
    "Get a lead",
    "One lead with every answer of the visitor, and its deliveries to webhooks with their newest attempts.",
    OneLead,
)
def get_lead(asked: OneLead) -> dict[str, Any]:
    found = api_leads.get_lead(asked.id)
    return {"notice": NOTICE, **_lead(found, ALONE)}


@tool(
    "Explain why a lead was not delivered",
    "For each webhook of a lead: what happened, the usual cause, what to do about it, and what Leadhook does next. "
    "can_retry says whether retry_lead would send it now.",
    OneLead,
)
def explain_failure(asked: OneLead) -> dict[str, Any]:
    lead = api_leads.lead_of(asked.id)
    explained = [_explained(delivery) for delivery in lead.deliveries]
    about = {"lead": lead.public_id, "status": lead.status.slug}
    return {"notice": NOTICE, **about, "not_sent_because": explaining.of_lead(lead), "webhooks": explained}


@tool(
    "Send a lead again",
    "Retry Webhook: sends a lead to its webhooks again, with the same bytes and webhook-id. Without webhooks, to those "
    "that it was not delivered to, or else to all. A receiver may then get it twice: ask the person first.",
    RetryLead,
    scope=Scope.WRITE,
    changes=True,
)
def retry_lead(asked: RetryLead) -> dict[str, Any]:
    found = api_leads.retry_lead(asked.id, Retry(asked.webhooks))
    sent = [{"webhook": each.webhook.id, "name": each.webhook.name, "status": each.status} for each in found.deliveries]
    return {"lead": found.id, "status": found.status, "webhooks": sent}


def _lead(lead: LeadSummary, most: int) -> dict[str, Any]:
    """The lead with what its visitor wrote under a name of its own."""
    wrote = {name: getattr(lead, name) for name in ("fields", "typed", "undeclared", "consents", "source")}
    known: dict[str, Any] = {
        "id": lead.id,
        "interface": msgspec.to_builtins(lead.interface),
        "received_at": lead.received_at,
        "status": lead.status,
        "test": lead.test,
        "spam": lead.spam,
        "written_by_visitor": cut({name: value for name, value in wrote.items() if value}, most),
    }
    return {**known, "deliveries": [_sent(msgspec.to_builtins(each)) for each in lead.deliveries]}


def _sent(delivery: dict[str, Any]) -> dict[str, Any]:
    """A delivery of the REST API, with what the receiver answered under a name of its own."""
    if "attempts" in delivery:
        delivery["attempts"] = [_attempt(each) for each in delivery["attempts"][-ATTEMPTS:]]
    return delivery


def _attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    answered = attempt.pop("response")
    return {**attempt, "answered_by_receiver": cut(answered, ANSWER)}


def _explained(delivery: Delivery) -> dict[str, Any]:
    said = explaining.of_delivery(delivery)
    shown, urls = shown_addresses.CUT.answer, [delivery.webhook.url]
    return {
        "webhook": {"id": delivery.webhook.public_id, "name": delivery.webhook.label},
        "status": delivery.status.slug,
        "what_happened": shown(said.what, urls),
        "answered_by_receiver": shown(said.answer, urls),
        "usual_cause": said.cause,
        "what_to_do": said.step,
        "what_happens_next": said.what_next,
        "can_retry": said.refusal is None,
        "why_not": said.refusal,
    }
