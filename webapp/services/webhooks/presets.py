"""Settings to begin with, for many services: they fill the form of a webhook's page, and a person saves them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webapp.services.errors import Refused
from webapp.services.webhooks.editing import Plan
from webapp.webhooks.authentications import signature_presets
from webapp.webhooks.presets import catalogue
from webapp.webhooks.presets.catalogue import Preset

SIGNED = "signature:"
PLAIN = "payload:"


@dataclass(frozen=True)
class Filling:
    """`authentication` with its `options`, or what is stored of a payload, with the keys of connections.py.

    `note`: what else a person has to know, in sentences. `url_of`: the address with what the service wants in it.
    """

    name: str
    title: str
    authentication: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    url_of: Callable[[str], str] = str


def offered() -> list[tuple[str, Sequence[tuple[str, str]]]]:
    """Groups, each with the names and titles of its presets."""
    payloads = [(f"{PLAIN}{name}", each.title) for name, each in catalogue.PRESETS.items()]
    signatures = [(f"{SIGNED}{name}", each.title) for name, each in signature_presets.PRESETS.items()]
    return [("Send to", payloads), ("Sign as", signatures)]


def named(name: str) -> Filling | None:
    """The preset with the name that the page gives it, or a person in a shell: slack for payload:slack."""
    signed = signature_presets.PRESETS.get(name.removeprefix(SIGNED))
    payload = catalogue.PRESETS.get(name.removeprefix(PLAIN))
    if payload and not name.startswith(SIGNED):
        return _of_payload(payload)
    if signed and not name.startswith(PLAIN):
        own = f"{SIGNED}{name.removeprefix(SIGNED)}"
        return Filling(own, signed.title, "signature", signed.options, note=signed.needs)
    return None


def check(name: str, plan: Plan) -> None:
    """Refused for settings of a preset in which a person still has to replace something."""
    preset = catalogue.PRESETS.get(name)
    left = preset.left_to_fill_in(plan.url or "", plan.wanted.stored.get("template") or "") if preset else []
    if left:
        raise Refused(f"Still to replace: {'; '.join(left)}.")


def _of_payload(preset: Preset) -> Filling:
    stored = {"format": preset.format, **preset.options, "success": dict(preset.answer), "preset": preset.name}
    options = {"name": preset.header_name} if preset.header_name else {}
    words = [f"Its URL looks like {preset.url}.", *(f"To replace: {words}." for words in preset.fill_in.values())]
    note = " ".join(words)
    return Filling(f"{PLAIN}{preset.name}", preset.title, preset.authentication, options, stored, note, preset.url_of)
