"""REST hooks: a program subscribes an address of its own to new leads, as n8n, Zapier and Make do for a trigger."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from werkzeug.exceptions import NotFound

from webapp.blueprints.api.shapes import Moment, Next, PageQuery
from webapp.blueprints.api.webhook_shapes import RemovedWebhook
from webapp.db.transactions import transaction
from webapp.models import Scope, Webhook
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.leads import samples
from webapp.services.webhooks import hooks, webhooks
from webapp.web.api import cursors, keys
from webapp.web.api.operations import BASE, Answered, operation
from webapp.web.api.problems import Fault, invalid, named_in_body
from webapp.webhooks import shown_addresses

TAG = "Hooks"
EVENT = "lead.created"


class HookResource(msgspec.Struct):
    id: Annotated[str, Meta(description="Of its webhook.")]
    interface: Annotated[str, Meta(description="The id of the interface.")]
    target: Annotated[str, Meta(description="Scheme and host: the rest may hold a secret.")]
    events: Annotated[list[str], Meta(description=f"{EVENT}; later versions may have more.")]
    state: Annotated[str, Meta(description="active or paused; later versions may have more.")]
    reason: Annotated[str | None, Meta(description="Why it is paused, such as an answer 410 of the target.")]


class MadeHook(HookResource):
    secret: Annotated[str, Meta(description="It signs every request: see /docs/webhooks. It is said this once.")]


class HookList(msgspec.Struct):
    data: list[HookResource]
    next: Next


class NewHook(msgspec.Struct, forbid_unknown_fields=True):
    target: Annotated[str, Meta(min_length=1, max_length=2048, description="The URL that gets the leads.")]
    interface: Annotated[str, Meta(max_length=40, description="The id of the interface whose leads it gets.")]
    events: Annotated[
        list[Literal["lead.created"]], Meta(min_length=1, max_length=1, description="Other events are an account’s.")
    ] = msgspec.field(default_factory=lambda: ["lead.created"])


class SampleQuery(msgspec.Struct, forbid_unknown_fields=True):
    interface: Annotated[str, Meta(max_length=40, description="The id of the interface; without it the newest.")] = ""


class HookSample(msgspec.Struct):
    """What a target gets: the body of the webhook."""

    type: Annotated[str, Meta(description="lead.created, or lead.test for a made-up lead.")]
    timestamp: Moment
    data: Annotated[dict[str, Any], Meta(description="lead, interface, source and consents: see /docs/webhooks.")]


EXAMPLE: dict[str, Any] = {
    "id": "wh_3fWq8Zt0LmXa",
    "interface": "if_8Kx2vQ4mTzPa",
    "target": "https://hooks.example.com/…",
    "events": [EVENT],
    "state": "active",
    "reason": None,
}
SAMPLE: dict[str, Any] = {
    "type": EVENT,
    "timestamp": "2026-11-23T08:00:00.123Z",
    "data": {
        "lead": {
            "id": "lead_01m83pph3v0019fd3g78e43pkn",
            "received_at": "2026-11-23T08:00:00.123Z",
            "test": False,
            "fields": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"},
            "typed": {},
            "marks": {},
        },
        "interface": {"id": "if_8Kx2vQ4mTzPa", "name": "Contact sales"},
        "source": {"page_url": "https://example.com/contact", "utm": {"source": "newsletter"}, "ip": "203.0.113.7"},
        "consents": [],
    },
}


@operation(
    "POST",
    "/hooks",
    "Create a hook",
    tag=TAG,
    scope=Scope.WRITE,
    body=NewHook,
    sends={"target": "https://hooks.example.com/catch/1/a2b3", "interface": "if_8Kx2vQ4mTzPa", "events": [EVENT]},
    answer=MadeHook,
    status=201,
    example={**EXAMPLE, "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"},
    about="It is a webhook of the interface like any other, signed with a Shared Token of its own, and on the Lead "
    "Generation tab. A target that answers 410 pauses it.",
)
def create_hook(body: NewHook) -> Answered:
    with named_in_body("interface"):
        keys.check_reach(body.interface)
        interface = interfaces.get(keys.account_id(), body.interface)
    try:
        webhooks.check_reachable(body.target, interface.account_id)
        with transaction():
            hook, secret = hooks.create(interface, body.target)
            made = MadeHook(**_values(hook), secret=secret)
    except Refused as refusal:
        raise Refused(str(refusal), "target" if refusal.field else None) from None
    return Answered(made, headers={"Location": f"{BASE}/hooks/{made.id}"})


@operation(
    "GET",
    "/hooks",
    "List hooks",
    tag=TAG,
    scope=Scope.READ,
    query=PageQuery,
    answer=HookList,
    example={"data": [EXAMPLE], "next": None},
    about="Those that were made over this API. Other webhooks are not among them.",
)
def list_hooks(query: PageQuery) -> HookList:
    caller = keys.caller()
    page = hooks.page(caller.account_id, cursors.row_of(query.cursor), query.limit, caller.interfaces)
    return HookList([HookResource(**_values(each)) for each in page.rows], cursors.cursor_of(page.next))


@operation(
    "GET",
    "/hooks/sample",
    "Get samples of what a hook gets",
    tag=TAG,
    scope=Scope.READ,
    query=SampleQuery,
    answer=list[HookSample],
    example=[SAMPLE],
    about="Of the newest leads, three at most; made up where there is none.",
)
def sample_hook(query: SampleQuery) -> list[HookSample]:
    caller = keys.caller()
    try:
        found = samples.bodies(caller.account_id, query.interface, caller.interfaces)
    except NotFound:
        raise invalid([Fault("There is no interface with this id.", parameter="interface")]) from None
    return [HookSample(**each) for each in found]


@operation("GET", "/hooks/<hook_id>", "Get a hook", tag=TAG, scope=Scope.READ, answer=HookResource, example=EXAMPLE)
def get_hook(hook_id: str) -> HookResource:
    return HookResource(**_values(_hook(hook_id)))


@operation(
    "DELETE",
    "/hooks/<hook_id>",
    "End a hook",
    tag=TAG,
    scope=Scope.WRITE,
    answer=RemovedWebhook,
    example={"id": "wh_3fWq8Zt0LmXa", "cancelled": 0},
    about="Its webhook is removed, its Shared Token revoked. What it sent stays in the log.",
)
def end_hook(hook_id: str) -> RemovedWebhook:
    with transaction():
        return RemovedWebhook(hook_id, hooks.remove(_hook(hook_id)))


def _hook(public_id: str) -> Webhook:
    hook = hooks.get(keys.account_id(), public_id)
    keys.check_reach(hook.interface.public_id)
    return hook


def _values(hook: Webhook) -> dict[str, Any]:
    return {
        "id": hook.public_id,
        "interface": hook.interface.public_id,
        "target": shown_addresses.cut(hook.url or ""),
        "events": [EVENT],
        "state": hook.state.value,
        "reason": hook.state_reason or None,
    }
