"""Settings to begin with, for many services: they fill the form of a webhook's page, and a person saves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webapp.webhooks.authentications import signature_presets

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
    signatures = [(f"{SIGNED}{name}", each.title) for name, each in signature_presets.PRESETS.items()]
    return [("Signature as of", signatures)]


def named(name: str) -> Filling | None:
    """The preset of this name; None if there is none."""
    signed = signature_presets.PRESETS.get(name.removeprefix(SIGNED)) if name.startswith(SIGNED) else None
    if signed:
        return Filling(signed.title, "signature", signed.options, note=signed.needs)
    return None
