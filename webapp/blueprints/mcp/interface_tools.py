"""The tool for interfaces: which there are, and how their webhooks do."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from webapp.blueprints.api.shapes import moment
from webapp.blueprints.mcp.tools import tool
from webapp.models import Interface
from webapp.services.interfaces import interfaces, webhook_healths
from webapp.services.interfaces.webhook_healths import WebhookHealth
from webapp.web.api import cursors, keys
from webapp.webhooks import shown_addresses


class ListInterfaces(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=50, description="How many interfaces at most.")] = 25
    cursor: Annotated[str, Meta(max_length=100, description="next of the page before.")] = ""


@tool(
    "List interfaces and their webhooks",
    "The forms that leads come from, newest first, each with its webhooks and their health: Healthy, Failing, "
    "Paused, Resting, No webhook or Not tested. If next is not null, call again with it as cursor.",
    ListInterfaces,
)
def list_interfaces(asked: ListInterfaces) -> dict[str, Any]:
    caller, after = keys.caller(), cursors.row_of(asked.cursor)
    page = interfaces.page(caller.account_id, after, asked.limit, only=caller.interfaces)
    webhooks = webhook_healths.of_interfaces([each.id for each in page.rows])
    shown = [_interface(each, webhooks.get(each.id, [])) for each in page.rows]
    return {"interfaces": shown, "next": cursors.cursor_of(page.next)}


def _interface(interface: Interface, webhooks: list[WebhookHealth]) -> dict[str, Any]:
    return {
        "id": interface.public_id,
        "name": interface.name,
        "form_url": interfaces.form_url(interface),
        "closed_at": moment(interface.closed_at),
        "webhooks": [_webhook(each) for each in webhooks],
    }


def _webhook(found: WebhookHealth) -> dict[str, Any]:
    webhook = found.webhook
    return {
        "id": webhook.public_id,
        "name": webhook.label,
        "sends_to": shown_addresses.CUT.address(webhook.url) if webhook.url else None,
        "is_shadow": webhook.is_shadow,
        "health": found.health.value,
        "says": found.says,
    }
