"""A webhook as the REST API answers it."""

from typing import Any

from webapp.blueprints.api.shapes import moment
from webapp.blueprints.api.webhook_shapes import (
    AuthenticationResource,
    BodySearch,
    CertificateResource,
    ConditionShape,
    HeaderSearch,
    PayloadResource,
    RuleShape,
    SavedWebhook,
    StopShape,
    SuccessShape,
    WebhookResource,
)
from webapp.models import Scope, Webhook
from webapp.services.webhooks import shown
from webapp.services.webhooks.shown import Facts
from webapp.web.api import changes, keys
from webapp.web.api.operations import Answered
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.shown_addresses import AddressView


def resource(webhook: Webhook) -> WebhookResource:
    return WebhookResource(**_values(webhook, shown.facts(webhook)))


def saved(webhook: Webhook, secret: str, warning: str, released: int = 0, location: str = "") -> Answered:
    """The webhook with what is said only now. The ETag is that of the webhook, as GET answers it."""
    found = _values(webhook, shown.facts(webhook))
    made = None if found["authentication"].public_keys else secret or None
    headers = {"ETag": f'"{changes.etag(changes.encoded(WebhookResource(**found)))}"'}
    headers |= {"Location": location} if location else {}
    saved = SavedWebhook(**found, secret=made, warning=warning or None, released=released)
    return Answered(saved, headers=headers)


def _values(webhook: Webhook, facts: Facts) -> dict[str, Any]:
    stored = webhook.connection or {}
    sees = AddressView(whole=Scope.WRITE in keys.caller().scopes)
    return {
        "id": webhook.public_id,
        "interface": webhook.interface.public_id,
        "name": webhook.label,
        "url": sees.address(webhook.url) if webhook.url else None,
        "state": webhook.state.value,
        "reason": webhook.state_reason,
        "first": webhook.is_first,
        "shadow": webhook.is_shadow,
        "method": stored.get("method", "POST"),
        "authentication": _authentication(webhook, facts),
        "custom_headers": [line.partition(":")[0] for line in facts.custom_headers.splitlines()],
        "certificate": CertificateResource(facts.certificate, moment(webhook.certificate_until))
        if facts.certificate
        else None,
        "payload": _payload(stored),
        "preset": stored.get("preset") or None,
        "condition": _condition(stored.get("condition")),
        "success": _success(stored.get("success")),
        "automatic_retries": webhook.automatic_retries,
        "parallel_requests": None if webhook.is_automatic else webhook.parallel_requests,
        "rate": webhook.rate,
    }


def _authentication(webhook: Webhook, facts: Facts) -> AuthenticationResource:
    token = webhook.shared_token.public_id if webhook.shared_token else None
    options = (webhook.connection or {}).get("authentication", {})
    secrets, public = sorted(facts.secrets), dict(facts.public_keys)
    about = webhook.authentication.value, token, options, secrets, public, facts.has_previous
    return AuthenticationResource(*about)


def _payload(stored: dict[str, Any]) -> PayloadResource:
    name = stored.get("format", "json")
    own = [setting.name for setting in FORMATS[name].settings] if name in FORMATS else []
    return PayloadResource(name, {each: stored[each] for each in own if stored.get(each)})


def _condition(stored: dict[str, Any] | None) -> ConditionShape | None:
    if not stored:
        return None
    rules = [RuleShape(each["field"], each["is"], each.get("value", "")) for each in stored["rules"]]
    return ConditionShape(rules, stored.get("match", "all"))


def _success(stored: dict[str, Any] | None) -> SuccessShape | None:
    if not stored:
        return None
    header, body = stored.get("header"), stored.get("body")
    return SuccessShape(
        codes=stored.get("codes") or "200-299",
        header=HeaderSearch(header["name"], header["text"], header["is"]) if header else None,
        body=BodySearch(body["text"], body["is"]) if body else None,
        give_up=stored.get("give_up", ""),
        stops=[
            StopShape(each["then"], each.get("code"), each.get("text", ""), each.get("words", ""))
            for each in stored.get("stops") or []
        ],
    )
