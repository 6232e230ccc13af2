"""Webhooks: list, add, get, change, remove, pause, resume, test. By the same services as the pages."""

from msgspec import UNSET

from webapp.blueprints.api import interfaces, webhook_plans
from webapp.blueprints.api import leads as lead_resources
from webapp.blueprints.api.leads import LeadResource
from webapp.blueprints.api.shapes import Nothing, PageQuery
from webapp.blueprints.api.webhook_resources import resource, saved
from webapp.blueprints.api.webhook_shapes import (
    EXAMPLE,
    ID,
    SAVED,
    SENT,
    NewSecret,
    NewWebhook,
    RemovedWebhook,
    SavedWebhook,
    WebhookChanges,
    WebhookList,
    WebhookResource,
)
from webapp.db.pages import Page
from webapp.db.transactions import transaction
from webapp.models import Scope, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.leads import leads
from webapp.services.webhooks import editing, hooks, rotating, webhooks
from webapp.web.api import changes, cursors, keys
from webapp.web.api.operations import BASE, Answered, operation
from webapp.web.api.problems import Problem

TAG = "Webhooks"
SIGNED = {**EXAMPLE["authentication"], "kind": "metalocator", "secrets": ["secret"]}
LIST = {"data": [EXAMPLE], "next": None}


@operation(
    "GET",
    "/webhooks",
    "List webhooks",
    tag=TAG,
    scope=Scope.READ,
    query=PageQuery,
    answer=WebhookList,
    example=LIST,
)
def list_webhooks(query: PageQuery) -> WebhookList:
    caller, after = keys.caller(), cursors.row_of(query.cursor)
    return _list(editing.page(caller.account_id, after, query.limit, caller.interfaces))


@operation(
    "GET",
    "/interfaces/<interface_id>/webhooks",
    "List an interface’s webhooks",
    tag=TAG,
    scope=Scope.READ,
    query=PageQuery,
    answer=WebhookList,
    example=LIST,
)
def list_webhooks_of_interface(interface_id: str, query: PageQuery) -> WebhookList:
    interface = interfaces.one(interface_id)
    after = cursors.row_of(query.cursor)
    return _list(editing.page(interface.account_id, after, query.limit, [interface.public_id]))


@operation(
    "POST",
    "/interfaces/<interface_id>/webhooks",
    "Add a webhook",
    tag=TAG,
    scope=Scope.WRITE,
    body=NewWebhook,
    sends=SENT,
    answer=SavedWebhook,
    status=201,
    example=SAVED,
    about="New leads are sent there, too. An interface has 20 webhooks at most.",
)
def add_webhook(interface_id: str, body: NewWebhook) -> Answered:
    interface = interfaces.one(interface_id)
    with webhook_plans.placed(body):
        warning = _warning(body)
        with transaction():
            plan, secret = editing.with_new_secret(None, webhook_plans.plan_of(body, None))
            webhook = editing.add(interface, plan)
            editing.record("added", webhook)
            return saved(webhook, secret, warning, location=f"{BASE}/webhooks/{webhook.public_id}")


@operation(
    "GET",
    "/webhooks/<webhook_id>",
    "Get a webhook",
    tag=TAG,
    scope=Scope.READ,
    answer=WebhookResource,
    example=EXAMPLE,
)
def get_webhook(webhook_id: str) -> WebhookResource:
    return resource(_webhook(webhook_id))


@operation(
    "PATCH",
    "/webhooks/<webhook_id>",
    "Change a webhook",
    tag=TAG,
    scope=Scope.WRITE,
    body=WebhookChanges,
    sends={"rate": 10, "custom_headers": {"X-Team": "sales"}},
    answer=SavedWebhook,
    example=SAVED,
    headers=changes.IF_MATCH,
    about="What is left out stays. Leads on hold are sent if this ends what held them.",
)
def change_webhook(webhook_id: str, body: WebhookChanges) -> Answered:
    webhook = _webhook(webhook_id)
    with webhook_plans.placed(body):
        warning = _warning(body)
        with transaction():
            editing.lock(webhook)
            changes.check(resource(webhook))
            plan, secret = editing.with_new_secret(webhook, webhook_plans.plan_of(body, webhook))
            released = editing.save(webhook, plan)
            editing.record("changed", webhook)
            return saved(webhook, secret, warning, released)


@operation(
    "DELETE",
    "/webhooks/<webhook_id>",
    "Remove a webhook",
    tag=TAG,
    scope=Scope.WRITE,
    answer=RemovedWebhook,
    example={"id": ID, "cancelled": 0},
    about="For ever; its deliveries stay readable, the Shared Token of a hook is revoked. 409 for the first one of an "
    "interface, which stays: empty its URL.",
)
def remove_webhook(webhook_id: str) -> RemovedWebhook:
    webhook = _webhook(webhook_id)
    with transaction():
        return RemovedWebhook(webhook_id, hooks.remove(webhook))


@operation(
    "POST",
    "/webhooks/<webhook_id>/secret",
    "Give a webhook a new secret",
    tag=TAG,
    scope=Scope.WRITE,
    body=NewSecret,
    sends={},
    answer=SavedWebhook,
    example={**SAVED, "authentication": SIGNED, "secret": "0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f"},
    about="Of its own signature: v1a, metalocator or signature; a Shared Token is rotated for itself. Where the "
    "scheme can, the old secret also signs until you end it. 409 for any other authentication.",
)
def rotate_webhook_secret(webhook_id: str, body: NewSecret) -> Answered:
    webhook, given = _webhook(webhook_id), body.secret.strip()
    with transaction():
        secret = rotating.rotate(webhook, given)
        return saved(webhook, "" if given else secret, "")


@operation(
    "POST",
    "/webhooks/<webhook_id>/secret/end-previous",
    "End the old secret of a webhook",
    tag=TAG,
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=WebhookResource,
    example={**EXAMPLE, "authentication": SIGNED},
    about="Only the newest secret signs from now on.",
)
def end_previous_webhook_secret(webhook_id: str, body: Nothing) -> WebhookResource:
    webhook = _webhook(webhook_id)
    with transaction():
        rotating.end_previous(webhook)
        return resource(webhook)


@operation(
    "POST",
    "/webhooks/<webhook_id>/pause",
    "Pause a webhook",
    tag=TAG,
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=WebhookResource,
    example={**EXAMPLE, "state": "paused", "reason": "Paused by the API Key “CRM sync”."},
    about="New leads are kept, and held until it is resumed.",
)
def pause_webhook(webhook_id: str, body: Nothing) -> WebhookResource:
    webhook = _webhook(webhook_id)
    with transaction():
        webhooks.pause(webhook, f"Paused by the API Key “{keys.caller().name}”.")
        return resource(webhook)


@operation(
    "POST",
    "/webhooks/<webhook_id>/resume",
    "Resume a webhook",
    tag=TAG,
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=WebhookResource,
    example=EXAMPLE,
    about="Leads on hold are sent in the order in which they came. Nothing changes for one that is not paused.",
)
def resume_webhook(webhook_id: str, body: Nothing) -> WebhookResource:
    webhook = _webhook(webhook_id)
    with transaction():
        if webhook.state == WebhookState.PAUSED:
            webhooks.resume(webhook)
        return resource(webhook)


@operation(
    "POST",
    "/webhooks/<webhook_id>/test",
    "Send a test lead",
    tag=TAG,
    scope=Scope.WRITE,
    body=Nothing,
    sends={},
    answer=LeadResource,
    status=202,
    example={**lead_resources.EXAMPLE, "test": True},
    about="With an answer for each field. Read the lead, at Location, until its delivery is no longer queued.",
)
def test_webhook(webhook_id: str, body: Nothing) -> Answered:
    webhook = _webhook(webhook_id)
    try:
        with transaction():
            lead_id = leads.send_test(webhook.interface, None, webhook).lead.public_id
    except Refused as refusal:
        raise Problem(409, str(refusal)) from None
    return Answered(lead_resources.get_lead(lead_id), headers={"Location": f"{BASE}/leads/{lead_id}"})


def _webhook(public_id: str) -> Webhook:
    webhook = editing.get(keys.account_id(), public_id)
    keys.check_reach(webhook.interface.public_id)
    return webhook


def _warning(body: WebhookChanges) -> str:
    return "" if body.url is UNSET else webhooks.check_reachable((body.url or "").strip(), keys.account_id())


def _list(page: Page[Webhook, int]) -> WebhookList:
    return WebhookList([resource(each) for each in page.rows], cursors.cursor_of(page.next))
