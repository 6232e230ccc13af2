"""Flat JSON: one object without objects and lists in it, for receivers that read no nested ones.

A released shape never changes: new keys are added at the end.
"""

from collections.abc import Mapping, Set
from typing import Any

from webapp.webhooks.formats.encoding import encode
from webapp.webhooks.formats.texts import as_text
from webapp.webhooks.payload import CLICK_IDS, PLACES, UTM

CONTENT_TYPE = "application/json"


def render(document: Mapping[str, Any]) -> bytes:
    return encode(flattened(document))


def flattened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Flat keys and plain values of Leadhook's JSON: the lead, its answers, its form, its source, the first touch, and
    undeclared answers where they are sent. `typed`, `marks` and the record of consents are in Leadhook's JSON only.

    An answer whose key is one of the other keys gets `field_` before it, so that no answer can pretend to be the
    lead's id. Lists are joined with a comma and a space; a file is its address.
    """
    data = document["data"]
    lead, interface, source = data["lead"], data["interface"], data["source"]
    first = {"lead_id": lead["id"], "received_at": lead["received_at"], "test": lead["test"]}
    touch = source.get("first_touch") or {}
    last = {
        "event": document["type"],
        "interface_id": interface["id"],
        "interface_name": interface["name"],
        **_touch(source),
        "ip": source.get("ip"),
        "user_agent": source.get("user_agent"),
        "first_touch_at": touch.get("at"),
        **{f"first_touch_{name}": value for name, value in _touch(touch).items()},
    }
    answers = _beside(first.keys() | last.keys(), "field_", lead["fields"])
    taken = first.keys() | last.keys() | answers.keys()
    more = {f"undeclared_{name}": value for name, value in (lead.get("undeclared") or {}).items()}
    return {**first, **answers, **last, **_beside(taken, "undeclared_", more)}


def _touch(touch: Mapping[str, Any]) -> dict[str, Any]:
    utm, click_ids = touch.get("utm") or {}, touch.get("click_ids") or {}
    return {
        **{name: touch.get(name) for name in PLACES},
        **{f"utm_{name}": utm.get(name) for name in UTM},
        **{name: click_ids.get(name) for name in CLICK_IDS},
    }


def _beside(taken: Set[str], prefix: str, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers, whose keys get the prefix where they are taken, again until no other answer has that key."""
    own = answers.keys() - taken
    found: dict[str, Any] = {}
    for key, value in answers.items():
        name = key
        while name in taken or name in found or (name != key and name in own):
            name = prefix + name
        found[name] = as_text(value) if isinstance(value, list | Mapping) else value
    return found
