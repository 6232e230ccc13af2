"""The names that a template may use, and what is known of each, so that a wrong one is found when it is saved.

A shape says what a value holds: ANYTHING, a VALUE, an object with these keys, or a list of one shape.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from webapp.webhooks.formats.lengths import cut
from webapp.webhooks.payload import CLICK_IDS, PLACES, UTM


class ListOf(NamedTuple):
    inner: "Shape"


Shape = None | str | Mapping[str, Any] | ListOf
ANYTHING: Shape = None
VALUE: Shape = "value"  # an answer or another value: it has no parts with names, but may be a list
PAIR: Shape = dict.fromkeys(("key", "name", "value"), VALUE)


def names_of(fields: Iterable[str] | None) -> dict[str, Shape]:
    """The names by shape, for a form with these keys of fields; None: any field may be named."""
    answers: Shape = ANYTHING if fields is None else _values(*fields)
    touch = {**_values(*PLACES), "utm": _values(*UTM), "click_ids": _values(*CLICK_IDS)}
    of_lead = {"fields": answers, "typed": answers, "marks": answers, "undeclared": ANYTHING}
    data: dict[str, Shape] = {
        "lead": {**_values("id", "received_at", "test"), **of_lead},
        "interface": _values("id", "name"),
        "source": {**touch, **_values("ip", "user_agent"), "first_touch": {**touch, **_values("at")}},
        "consents": ListOf(_values("key", "text", "version", "given", "at", "page")),
    }
    return {**_values("type", "timestamp"), "data": data, **data, **of_lead}


def _values(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, VALUE)


def values_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same names, with a lead's values."""
    data = document["data"]
    lead = data["lead"]
    return {
        "type": document["type"],
        "timestamp": document["timestamp"],
        "data": data,
        "lead": lead,
        "interface": data["interface"],
        "source": data["source"],
        "consents": data["consents"],
        "fields": lead["fields"],
        "typed": lead.get("typed"),
        "marks": lead.get("marks"),
        "undeclared": lead.get("undeclared"),
    }


def item_shape(shape: Shape) -> Shape:
    """What a loop over it gives: the elements of a list; of an object, each key with its value."""
    if isinstance(shape, ListOf):
        return shape.inner
    return {"key": VALUE, "value": ANYTHING} if isinstance(shape, Mapping) else ANYTHING


def unknown(name: str, known: Iterable[str], of: str = "") -> str:
    """A sentence about a name that does not exist."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    listed = f"Known are: {cut(', '.join(names), 200)}." if names else ""
    advice = f"Did you mean “{close[0]}”?" if close else listed
    return f"“{name[:40]}” is not known{of}. {advice}".strip()
