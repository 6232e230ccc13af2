"""Reconcile: a program says which leads it has, and reads which of them it lacks."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from webapp.blueprints.api.shapes import Cursor, Moment, Next, moment
from webapp.models import Scope
from webapp.services.leads import reconciling
from webapp.services.leads.reconciling import MOST_HELD, By, Question
from webapp.web.api import cursors, keys
from webapp.web.api.operations import operation
from webapp.web.api.problems import Fault, invalid, named_in_body

Names = Annotated[list[Annotated[str, Meta(max_length=320)]], Meta(max_length=MOST_HELD)]
LISTS: tuple[By, ...] = ("ids", "emails", "webhook_ids")


class ReconcileQuery(msgspec.Struct, forbid_unknown_fields=True):
    cursor: Cursor = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many leads a page has at most.")] = 100


class HeldLeads(msgspec.Struct, forbid_unknown_fields=True):
    interface: Annotated[str, Meta(max_length=40, description="The id of an interface: its leads are compared.")] = ""
    webhook: Annotated[
        str, Meta(max_length=40, description="Instead of an interface: the leads that this webhook was to get.")
    ] = ""
    since: Annotated[datetime, Meta(tz=True, description="Only leads received then or later.")] | UnsetType = UNSET
    until: Annotated[datetime, Meta(tz=True, description="Only leads received before.")] | UnsetType = UNSET
    ids: Annotated[Names, Meta(description="The ids of the leads that you have: lead_….")] | UnsetType = UNSET
    emails: Annotated[Names, Meta(description="Or their e-mail addresses, in any case.")] | UnsetType = UNSET
    webhook_ids: Annotated[Names, Meta(description="Or the webhook-id of each, with webhook.")] | UnsetType = UNSET


class LackedLeadResource(msgspec.Struct):
    id: str
    received_at: Moment
    name: str
    email: str


class LeftOut(msgspec.Struct):
    """Leads that were not compared, because of what they are."""

    spam: int = 0
    test: int = 0
    anonymised: int = 0
    without_email: Annotated[int, Meta(description="Only where addresses are compared.")] = 0


class ReconcileResult(msgspec.Struct):
    data: Annotated[list[LackedLeadResource], Meta(description="Leads that you do not have, newest first.")]
    unknown: Annotated[
        list[str], Meta(description="What you have and no lead of the interface has. Only on the first page.")
    ]
    compared: Annotated[int, Meta(description="How many leads this page looked at.")]
    left_out: Annotated[LeftOut, Meta(description="How many of these were not compared.")]
    next: Next


@operation(
    "POST",
    "/reconcile",
    "Find leads that you lack",
    tag="Leads",
    scope=Scope.READ,
    query=ReconcileQuery,
    body=HeldLeads,
    sends={
        "interface": "if_8Kx2vQ4mTzPa",
        "since": "2026-11-01T00:00:00Z",
        "ids": ["lead_01m83pph3v0019fd3g78e43pkn", "lead_01m83pph3v000000000000000"],
    },
    answer=ReconcileResult,
    example={
        "data": [
            {
                "id": "lead_01m83pph3vbkq2f7vrd9ze5xaw",
                "received_at": "2026-11-23T09:15:41.027Z",
                "name": "Grace Hopper",
                "email": "grace@example.com",
            }
        ],
        "unknown": ["lead_01m83pph3v000000000000000"],
        "compared": 3,
        "left_out": {"spam": 1, "test": 0, "anonymised": 0, "without_email": 0},
        "next": None,
    },
    about="Send the same body for each page; a page may be empty although another follows. Each lead can then be sent "
    "again with POST /leads/{lead_id}/retry. Spam, tests and anonymised leads are left out, and counted.",
)
def reconcile_leads(query: ReconcileQuery, body: HeldLeads) -> ReconcileResult:
    question = _question(body)
    with named_in_body("interface" if body.interface else "webhook"):
        found = reconciling.page(question, cursors.row_of(query.cursor), query.limit)
    data = [
        LackedLeadResource(each.public_id, moment(each.received_at), each.name, each.email) for each in found.lacked
    ]
    return ReconcileResult(
        data, list(found.unknown), found.looked_at, LeftOut(**found.left_out), cursors.cursor_of(found.next)
    )


def _question(body: HeldLeads) -> Question:
    given: dict[By, Any] = {name: value for name in LISTS if (value := getattr(body, name)) is not UNSET}
    if bool(body.interface) == bool(body.webhook):
        raise invalid([Fault("Send “interface” or “webhook”, one of the two.", pointer="#/interface")])
    if len(given) != 1:
        raise invalid([Fault(f"Send one of these lists: {', '.join(LISTS)}.", pointer="#/ids")])
    [(by, held)] = given.items()
    if by == "webhook_ids" and not body.webhook:
        raise invalid([Fault("A webhook-id belongs to a webhook: send “webhook”, too.", pointer="#/webhook")])
    return Question(
        keys.account_id(),
        by,
        held,
        interface=body.interface,
        webhook=body.webhook,
        since=body.since or None,
        until=body.until or None,
        only=keys.caller().interfaces,
    )
