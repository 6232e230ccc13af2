"""What the form of a webhook's page shows of what is stored, by the names of its controls."""

import json
from collections.abc import Mapping
from typing import Any

from wtforms import SelectChoice

from webapp.forms.interface import CHOICE
from webapp.forms.webhook_parts import stored_values
from webapp.models import Webhook
from webapp.services.webhooks.presets import Filling
from webapp.services.webhooks.shown import Facts
from webapp.webhooks.conditions import KnownField


def saved(webhook: Webhook, facts: Facts) -> dict[str, Any]:
    stored = webhook.connection or {}
    authentication, format_name = webhook.authentication, stored.get("format", "json")
    return {
        "name": webhook.name or "",
        "webhook_url": webhook.url or "",
        "authentication": CHOICE.get(authentication, authentication.value),
        "shared_token": webhook.shared_token.public_id if webhook.shared_token else None,
        "custom_headers": facts.custom_headers,
        "automatic_retries": webhook.automatic_retries,
        "parallel_requests": "automatic" if webhook.is_automatic else str(webhook.parallel_requests),
        "rate": str(webhook.rate or ""),
        "is_shadow": webhook.is_shadow,
        **stored_values("auth", authentication.value, stored.get("authentication", {})),
        **stored_settings(format_name, stored),
    }


def filled_in(webhook: Webhook, preset: Filling) -> dict[str, Any]:
    """The values of a preset, by the names of the controls."""
    found: dict[str, Any] = {}
    if preset.authentication:
        found |= {"authentication": preset.authentication}
        found |= stored_values("auth", preset.authentication, preset.options)
    if preset.stored:
        found |= stored_settings(preset.stored["format"], preset.stored)
        kept = (webhook.connection or {}).get("condition")
        found |= _condition_values(kept)
    if webhook.url:
        found["webhook_url"] = preset.url_of(webhook.url)
    return found


def stored_settings(format_name: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the controls for stored settings of the payload, with the keys of services/webhooks/connections.py.
    Presets have the same keys."""
    success = stored.get("success") or {}
    header, body = success.get("header") or {}, success.get("body") or {}
    return {
        **stored_values("format", format_name, stored),
        "method": stored.get("method", "POST"),
        "format": format_name,
        "preset": stored.get("preset", ""),
        **_condition_values(stored.get("condition")),
        "codes": success.get("codes", ""),
        "header_name": header.get("name", ""),
        "header_is": header.get("is", "contains"),
        "header": header.get("text", ""),
        "body_is": body.get("is", "contains"),
        "body": body.get("text", ""),
        "give_up": success.get("give_up", ""),
        "stops": json.dumps(success["stops"]) if success.get("stops") else "",
    }


def _condition_values(condition: Mapping[str, Any] | None) -> dict[str, Any]:
    given = condition or {}
    rules = given.get("rules", [])
    rows = [{"field": one["field"], "comparison": one["is"], "value": one["value"]} for one in rules]
    return {"match": given.get("match", "all"), "condition": rows}


def lines(typed: str | None) -> str:
    """What was typed, with the line breaks of Unix: browsers send those of DOS."""
    return (typed or "").replace("\r\n", "\n")


def flat(errors: Any) -> list[str]:
    """Of rows of controls, errors are nested."""
    if isinstance(errors, str):
        return [errors]
    return [one for each in (errors.values() if isinstance(errors, dict) else errors) for one in flat(each)]


def fields(known: Mapping[str, KnownField], chosen: str | None) -> list[SelectChoice]:
    """What a rule may name; also the field of a saved rule that was removed since."""
    choices = [SelectChoice("", "–"), *(SelectChoice(key, field.label) for key, field in known.items())]
    if chosen and chosen not in known:
        choices.append(SelectChoice(chosen, f"{chosen} (removed)"))
    return choices
