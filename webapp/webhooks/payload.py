"""The JSON that a receiver gets. Its shape is a promise to users; docs/webhooks and contract tests fix it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict, Unpack

import msgspec

from webapp.webhooks import as_javascript

PLACES = ("page_url", "page_title", "referrer")
UTM = ("source", "medium", "campaign", "term", "content")
CLICK_IDS = ("gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id")
_PLAIN = frozenset({str, int, bool, type(None)})
TRACKED = (*PLACES, *(f"utm_{name}" for name in UTM), *CLICK_IDS)  # what a form may carry of the source, by name


class LeadValues(TypedDict):
    """What a payload is made of."""

    event: Literal["lead.created", "lead.test"]
    lead_id: str
    received_at: datetime
    fields: Mapping[str, object]
    typed: NotRequired[Mapping[str, str] | None]
    marks: NotRequired[Mapping[str, str] | None]
    undeclared: NotRequired[Mapping[str, object] | None]
    interface_id: str
    interface_name: str
    source: Mapping[str, Any]
    consents: Sequence[object]


def lead_payload(**values: Unpack[LeadValues]) -> bytes:
    """The body of one webhook: compact JSON in UTF-8, as JSON.stringify prints it in JavaScript. So a receiver that
    parsed it and prints it again has the same bytes. Every part is present, whether or not its value is known.

    `received_at` must be timezone-aware (else ValueError). `fields` must hold every declared field, empty ones too:
    Zapier and Make learn the shape from the first lead. `typed` and `marks` are explained in models/lead.py; without
    `undeclared` the payload has no such part. Parts missing from `source` become null, the first touch too;
    `click_ids` becomes {}. A value that JSON has no type for raises TypeError; NaN and infinity raise ValueError,
    because no receiver reads them.
    """
    is_plain = not values.get("undeclared") and all(map(_is_plain, values["fields"].values()))
    return encode(lead_document(**values), is_plain)


def _is_plain(answer: object) -> bool:
    """Whether msgspec prints it as JavaScript does. It prints much besides that JSON has no type for."""
    return type(answer) in _PLAIN or (type(answer) is list and {*map(type, answer)} <= {str})


def lead_document(
    *,
    event: Literal["lead.created", "lead.test"],
    lead_id: str,
    received_at: datetime,
    fields: Mapping[str, object],
    typed: Mapping[str, str] | None = None,
    marks: Mapping[str, str] | None = None,
    undeclared: Mapping[str, object] | None = None,
    interface_id: str,
    interface_name: str,
    source: Mapping[str, Any],
    consents: Sequence[object],
) -> dict[str, Any]:
    """The payload before it is printed: what the other formats and templates are made of. As `lead_payload`."""
    moment = utc_text(received_at)
    lead = {"id": lead_id, "received_at": moment, "test": event == "lead.test", "fields": dict(fields)}
    lead |= {"typed": dict(typed or {}), "marks": dict(marks or {})}
    if undeclared is not None:
        lead["undeclared"] = dict(undeclared)
    interface = {"id": interface_id, "name": interface_name}
    data = {"lead": lead, "interface": interface, "source": _source(source), "consents": list(consents)}
    return {"type": event, "timestamp": moment, "data": data}


def payload_of(lead: Any, interface: Any) -> bytes:
    """The bytes that a webhook gets for a lead: a Lead of the database or a NewLead, with its Interface."""
    return lead_payload(**values_of(lead, interface, lead.undeclared or {} if interface.sends_undeclared else None))


def values_of(lead: Any, interface: Any, undeclared: Mapping[str, Any] | None) -> LeadValues:
    """What a payload says of a lead, as in `payload_of`; `undeclared`: of answers that no field asks for."""
    return {
        "event": "lead.test" if lead.test else "lead.created",
        "lead_id": lead.public_id,
        "received_at": lead.received_at,
        "fields": lead.fields,
        "typed": lead.typed,
        "marks": lead.marks,
        "undeclared": undeclared,
        "interface_id": interface.public_id,
        "interface_name": interface.name,
        "source": lead.source,
        "consents": lead.consents,
    }


def event_payload(event: str, data: Mapping[str, object]) -> bytes:
    """The body of an event that is not about a new lead, in the frame of one; of now."""
    return encode({"type": event, "timestamp": utc_text(datetime.now(UTC)), "data": data})


def encode(payload: object, is_plain: bool = False) -> bytes:
    """A payload's bytes. `is_plain`: no number has decimals and no name is one, so msgspec prints what JavaScript does,
    and faster."""
    if is_plain:
        with suppress(TypeError, UnicodeEncodeError):  # for a subclass of str, and for half a character
            return msgspec.json.encode(payload)
    text = as_javascript.text(payload)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return whole_characters(text).encode("utf-8")


def whole_characters(text: str) -> str:
    """Browsers can submit half a surrogate pair. UTF-16 joins matching halves; single halves become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def utc_text(at: datetime) -> str:
    """Such as 2026-11-23T08:00:00.123Z."""
    if at.utcoffset() is None:
        raise ValueError("received_at must have a time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _source(source: Mapping[str, Any]) -> dict[str, object]:
    first = source.get("first_touch")
    return {
        **_touch(source),
        "ip": source.get("ip"),
        "user_agent": source.get("user_agent"),
        "first_touch": {**_touch(first), "at": first.get("at")} if first else None,
    }


def _touch(source: Mapping[str, Any]) -> dict[str, object]:
    utm = source.get("utm") or {}
    return {
        **{name: source.get(name) for name in PLACES},
        "utm": {name: utm.get(name) for name in UTM},
        "click_ids": dict(source.get("click_ids") or {}),
    }
