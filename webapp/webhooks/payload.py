"""The JSON that a receiver gets. Its shape is a promise to users: docs/webhooks, and contract tests, hold it still."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

UTM = ("source", "medium", "campaign", "term", "content")


def lead_payload(
    *,
    event: Literal["lead.created", "lead.test"],
    lead_id: str,
    received_at: datetime,
    fields: Mapping[str, object],
    interface_id: str,
    interface_name: str,
    source: Mapping[str, Any],
    consents: Sequence[object],
) -> bytes:
    """The body of one webhook: compact JSON in UTF-8, every part present whether or not it is known.

    `received_at` must be aware (ValueError), `fields` must hold every declared field, empty ones too: Zapier and Make
    learn the shape from the first lead. Parts that `source` lacks become null, `click_ids` {}. Values are JSON's own
    types; others raise TypeError, NaN and the infinities ValueError, for they would make JSON that no receiver reads.
    """
    moment = _moment(received_at)
    lead = {"id": lead_id, "received_at": moment, "test": event == "lead.test", "fields": dict(fields)}
    interface = {"id": interface_id, "name": interface_name}
    data = {"lead": lead, "interface": interface, "source": _source(source), "consents": list(consents)}
    return _encoded({"type": event, "timestamp": moment, "data": data})


def _encoded(payload: Mapping[str, object]) -> bytes:
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Browsers can submit half a surrogate pair. UTF-16 joins halves that belong together; the rest becomes U+FFFD.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode("utf-8")


def _moment(at: datetime) -> str:
    if at.utcoffset() is None:
        raise ValueError("received_at must know its time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _source(source: Mapping[str, Any]) -> dict[str, object]:
    utm = source.get("utm") or {}
    return {
        "page_url": source.get("page_url"),
        "page_title": source.get("page_title"),
        "referrer": source.get("referrer"),
        "utm": {name: utm.get(name) for name in UTM},
        "click_ids": dict(source.get("click_ids") or {}),
        "ip": source.get("ip"),
        "user_agent": source.get("user_agent"),
    }
