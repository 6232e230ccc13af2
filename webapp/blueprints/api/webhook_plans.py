"""From what a program sends of a webhook to the plan that its page makes, too; and where a refusal of it belongs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET

from webapp.blueprints.api.webhook_shapes import (
    KINDS,
    AuthenticationChanges,
    ConditionShape,
    PayloadChanges,
    SuccessShape,
    WebhookChanges,
)
from webapp.models import Authentication, Webhook
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.webhooks import editing, presets, shown
from webapp.services.webhooks.connections import KEYS, Wanted
from webapp.services.webhooks.editing import Plan
from webapp.web.api import keys
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.settings import Setting
from webapp.webhooks.shown_addresses import MASK

PLACES = {
    "webhook_url": "url",
    "shared_token": "authentication/shared_token",
    "is_shadow": "shadow",
    "format": "payload/format",
    **{name: f"success/{name}" for name in ("codes", "header", "body", "give_up", "stops")},
}
NOT_REACHED = (
    "This key is limited to some interfaces: it can choose a Shared Token only if one of them signs with it already. "
    "Create a hook, which gets a token of its own, or have a person choose the token."
)
AS_THEY_ARE = ("name", "url", "automatic_retries", "parallel_requests", "rate")


@contextmanager
def placed(body: WebhookChanges) -> Iterator[None]:
    """Names the refusals in the block by their place in the body, not by the control of the webhook's page."""
    try:
        yield
    except Refused as refusal:
        raise Refused(str(refusal), _place(refusal.field or "", body) or None) from None


def _place(control: str, body: WebhookChanges) -> str:
    if control.startswith("format-"):
        return f"payload/options/{control.rpartition('-')[2]}"
    if control.startswith("auth-"):
        name = control.rpartition("-")[2]
        changes = body.authentication
        is_option = any(each.name == name and not each.secret for each in _settings_of(control.split("-")[1]))
        return f"authentication/{'options' if is_option else 'secrets'}/{name}" if changes is not UNSET else "preset"
    return PLACES.get(control, control)


def plan_of(body: WebhookChanges, before: Webhook | None) -> Plan:
    """The webhook's settings with these changes; Refused for names that are not known. `before`: None for a new one."""
    plan = editing.as_it_is(before) if before else Plan(None)
    if body.preset is not UNSET:
        plan = _begun(plan, body.preset)
    given = {name: value for name in AS_THEY_ARE if (value := getattr(body, name)) is not UNSET}
    wanted = plan.wanted
    if body.authentication is not UNSET:
        wanted, token = _authenticated(wanted, body.authentication)
        if token:
            _check_reach(token)
            given["shared_token"] = token
    if body.shadow is not UNSET:
        given["is_shadow"] = body.shadow
    wanted = replace(
        wanted,
        stored=_stored(wanted.stored, body),
        custom_headers=_headers(body.custom_headers, shown.facts(before).custom_headers if before else ""),
        certificate=None if body.certificate is UNSET else (body.certificate or "").encode(),
        passphrase=body.passphrase,
    )
    plan = replace(plan, **{**given, "wanted": wanted})
    if given.get("url") and body.preset is not UNSET and (preset := presets.named(body.preset)):
        plan = replace(plan, url=preset.url_of(given["url"]))
    _check_filled_in(plan)
    return plan


def _begun(plan: Plan, name: str) -> Plan:
    """The plan with the settings of a preset; the condition stays."""
    preset = presets.named(name) if name else None
    if name and preset is None:
        known = [value.partition(":")[2] for _, choices in presets.offered() for value, _ in choices]
        raise Refused(f"There are these presets: {', '.join(sorted(set(known)))}.", "preset")
    if preset is None:
        kept = {key: value for key, value in plan.wanted.stored.items() if key != "preset"}
        return replace(plan, wanted=replace(plan.wanted, stored=kept))
    wanted = plan.wanted
    if preset.authentication:
        wanted = replace(wanted, authentication=Authentication(preset.authentication), options=preset.options)
    if preset.stored:
        kept = {key: wanted.stored[key] for key in ("condition", "method") if key in wanted.stored}
        wanted = replace(wanted, stored={**kept, **preset.stored})
    return replace(plan, wanted=wanted)


def _check_filled_in(plan: Plan) -> None:
    try:
        presets.check(plan.wanted.stored.get("preset") or "", plan)
    except Refused as refusal:
        raise Refused(str(refusal), "preset") from None


def _authenticated(wanted: Wanted, changes: AuthenticationChanges) -> tuple[Wanted, str | None]:
    kind = wanted.authentication if changes.kind is UNSET else changes.kind
    if kind not in KINDS:
        raise Refused(f"The kind must be one of: {', '.join(KINDS)}.", "authentication/kind")
    settings = _settings_of(kind)
    _check_names(kind, changes.options, [each.name for each in settings if not each.secret], "authentication/options")
    _check_names(kind, changes.secrets, [each.name for each in settings if each.secret], "authentication/secrets")
    kept = wanted.options if kind == wanted.authentication else {}
    token = None if changes.shared_token is UNSET else changes.shared_token
    options = {**kept, **changes.options}
    return replace(wanted, authentication=Authentication(kind), options=options, secrets=changes.secrets), token


def _check_reach(token: str) -> None:
    """Tokens belong to the account. A key for some interfaces could sign as others do, if it might choose any."""
    only = keys.caller().interfaces
    if only is not None and not api_keys.signs_for(token, only):
        raise Refused(NOT_REACHED, "shared_token")


def _settings_of(kind: str) -> Sequence[Setting]:
    scheme = SCHEMES.get(kind)
    return scheme.SETTINGS if scheme else ()


def _check_names(kind: str, given: Iterable[str], known: Sequence[str], place: str) -> None:
    if unknown := next((name for name in given if name not in known), None):
        words = f"It has: {', '.join(known)}." if known else "It has none of these."
        raise Refused(f"{kind} has no “{unknown[:40]}” here. {words}", f"{place}/{unknown[:40]}")


def _stored(kept: Mapping[str, Any], body: WebhookChanges) -> dict[str, Any]:
    found = {key: kept[key] for key in KEYS if key in kept}
    if body.payload is not UNSET:
        found = _in_format(found, body.payload)
    if body.method is not UNSET:
        found["method"] = body.method
    if body.condition is not UNSET:
        found["condition"] = _plain(body.condition)
    if body.success is not UNSET:
        found["success"] = _rule(body.success)
    return found


def _in_format(kept: Mapping[str, Any], changes: PayloadChanges) -> dict[str, Any]:
    before = kept.get("format", "json")
    chosen = before if changes.format is UNSET else changes.format
    if chosen not in FORMATS:
        raise Refused(f"The format must be one of: {', '.join(FORMATS)}.", "payload/format")
    own = [setting.name for setting in FORMATS[chosen].settings]
    _check_names(chosen, changes.options, own, "payload/options")
    others = {setting.name for each in FORMATS.values() for setting in each.settings}
    gone = others if chosen != before else ()
    left = {key: value for key, value in kept.items() if key not in gone}
    return {**left, "format": chosen, **changes.options}


def _plain(shape: ConditionShape | None) -> Any:
    return msgspec.to_builtins(shape)


def _rule(shape: SuccessShape | None) -> dict[str, Any] | None:
    """As success_rules.py stores it: without what is usual."""
    if shape is None:
        return None
    rule = {name: value for name, value in msgspec.to_builtins(shape).items() if value}
    return {name: value for name, value in rule.items() if (name, value) != ("codes", "200-299")} or None


def _headers(given: Mapping[str, str | None], stored: str) -> str | None:
    """The lines of custom headers: those that are stored with a mask, which stands for their value."""
    if not given:
        return None
    lines = {line.partition(":")[0].lower(): line for line in stored.splitlines()}
    for name, value in given.items():
        if set(f"{name}{value}") & set("\r\n"):
            raise Refused("A custom header has no line break.", "custom_headers")
        if value is None:
            lines.pop(name.lower(), None)
        else:
            lines[name.lower()] = f"{name}: {value}"
    return "\n".join(lines.values())


assert f"x: {MASK}" == shown.masked_lines("x: y")  # what `_headers` relies on
