"""What a webhook gets that has a condition or a payload of its own. Ordinary webhooks have no shape."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webapp.models import DeliveryState, Interface, Webhook
from webapp.webhooks.conditions import Condition, KnownField, known_fields
from webapp.webhooks.formats.choices import FORMATS, Renderer
from webapp.webhooks.formats.work import CannotRender
from webapp.webhooks.settings import WrongSetting

KEYS = ("condition", "format", "template", "encode", "source", "extensions")
UNRENDERED = b""  # the payload of a delivery that is held until it can be rendered


@dataclass(frozen=True)
class Shape:
    """A webhook's condition and payload. `fault`: why leads are held, because neither can be used any more."""

    condition: Condition | None = None
    format: Renderer | None = None
    fault: str = ""

    @property
    def takes_spam(self) -> bool:
        """Whether leads in Spam are asked about, too. They are only where the condition names spam."""
        return self.condition is not None and self.condition.names_spam

    def of_lead(self, body: bytes, *, spam: bool, always: bool = False) -> dict[str, Any] | None:
        """The columns of a lead's delivery that differ from an ordinary webhook's; None if it does not take the lead.

        `body`: Leadhook's own JSON of the lead. `always`: the condition is not asked.
        """
        if self.fault:
            return _held(self.fault)
        document = json.loads(body)
        if not (always or self.condition is None or self.condition.holds(document, spam)):
            return None
        if self.format is None:
            return {}
        try:
            return {"payload": self.format.render(document), "content_type": self.format.content_type}
        except CannotRender as error:
            return _held(f"The payload could not be made: {error}")


def shapes_of(interface: Interface) -> dict[int, Shape]:
    """By id, the shapes of the interface's webhooks that have one."""
    return {webhook.id: shape_of(webhook) for webhook in interface.webhooks if webhook.connection}


def shape_of(webhook: Webhook) -> Shape:
    """The shape of one webhook, empty if it has only other settings. Never raises: see `Shape.fault`.

    Fields that it names may have been removed since: that stops no delivery.
    """
    try:
        return made(webhook.connection or {})
    except WrongSetting as wrong:
        return Shape(fault=str(wrong))


def check(stored: Mapping[str, Any], interface: Interface) -> None:
    """WrongSetting for settings that cannot be used for the interface's form as it is now."""
    if condition := stored.get("condition"):
        Condition.of(condition, known(interface))
    made(stored, [field.key for field in interface.fields])


def is_as_before(stored: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether two settings have the same condition and payload."""
    return all(stored.get(key) == before.get(key) for key in KEYS)


def known(interface: Interface) -> dict[str, KnownField]:
    """What the conditions of an interface may name, by key."""
    return known_fields((field.key, field.label, field.type) for field in interface.fields)


def made(stored: Mapping[str, Any], keys: Sequence[str] | None = None) -> Shape:
    """The shape of these settings, with the keys of services/webhooks/connections.py; WrongSetting where they fail.

    `keys`: of the fields that a template may name; None: of any, and one that a lead does not have is empty.
    """
    condition, name = stored.get("condition"), stored.get("format", "json")
    if name not in FORMATS:
        raise WrongSetting(f"The format must be one of {', '.join(FORMATS)}.", "format")
    return Shape(
        Condition.of(condition) if condition else None,
        FORMATS[name].of(stored, keys) if name != "json" else None,
    )


def _held(reason: str) -> dict[str, Any]:
    return {"payload": UNRENDERED, "state": DeliveryState.ON_HOLD, "state_reason": reason[:500]}
