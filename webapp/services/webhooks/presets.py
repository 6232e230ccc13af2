"""Settings to begin with, for many services: they fill the form of a webhook's page, and a person saves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from webapp.webhooks.authentications import signature_presets
from webapp.webhooks.presets.catalogue import PRESETS, Preset

SIGNED = "signature:"


@dataclass(frozen=True)
class Filling:
    """`authentication` with its `options`, or what is stored of a payload, with the keys of connections.py.

    `note`: what else a person has to know, in a sentence.
    """

    title: str
    authentication: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def offered() -> list[tuple[str, Sequence[tuple[str, str]]]]:
    """Groups, each with the names and titles of its presets."""
    services = sorted(((name, each.title) for name, each in PRESETS.items()), key=itemgetter(1))
    signatures = [(f"{SIGNED}{name}", each.title) for name, each in signature_presets.PRESETS.items()]
    return [("Payload for", services), ("Signature as of", signatures)]


def named(name: str) -> Filling | None:
    """The preset of this name; None if there is none."""
    signed = signature_presets.PRESETS.get(name.removeprefix(SIGNED)) if name.startswith(SIGNED) else None
    if signed:
        return Filling(signed.title, "signature", signed.options, note=signed.needs)
    return _for_payload(PRESETS[name]) if name in PRESETS else None


def _for_payload(preset: Preset) -> Filling:
    replaced = [f"Replace {word}: {words}." for word, words in preset.fill_in.items()]
    note = " ".join([f"Limits: {preset.limits}", *replaced, f"Its URL looks like {preset.url}"])
    options = {"name": preset.header_name} if preset.header_name else {}
    stored = {"preset": preset.name, "format": preset.format, "success": preset.answer, **preset.options}
    return Filling(preset.title, preset.authentication, options, stored, note)


def completed(url: str | None, name: object) -> str | None:
    """The URL with what the service of this preset needs in it, such as wait=true for Discord."""
    preset = PRESETS.get(name) if isinstance(name, str) else None
    return preset.url_of(url) if preset and url else url
