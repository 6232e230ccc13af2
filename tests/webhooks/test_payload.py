"""The payload is a promise to users: its shape and its bytes."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from markupsafe import Markup

from webapp.webhooks import as_javascript
from webapp.webhooks.payload import encode, lead_payload

RECEIVED_AT = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


def payload(**changes: object) -> bytes:
    values: dict[str, object] = {
        "event": "lead.created",
        "lead_id": "lead_01k",
        "received_at": RECEIVED_AT,
        "fields": {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "", "message": None},
        "interface_id": "if_8Kx2",
        "interface_name": "Contact sales",
        "source": {"page_url": "https://example.com/contact", "utm": {"source": "newsletter"}, "ip": "203.0.113.7"},
        "consents": [],
    }
    return lead_payload(**{**values, **changes})


def test_the_payload_is_exactly_what_receivers_were_promised():
    assert payload() == (
        b'{"type":"lead.created","timestamp":"2026-11-23T08:00:00.123Z","data":{'
        b'"lead":{"id":"lead_01k","received_at":"2026-11-23T08:00:00.123Z","test":false,'
        b'"fields":{"name":"Ada Lovelace","email":"ada@example.com","phone":"","message":null},"typed":{},"marks":{}},'
        b'"interface":{"id":"if_8Kx2","name":"Contact sales"},'
        b'"source":{"page_url":"https://example.com/contact","page_title":null,"referrer":null,'
        b'"utm":{"source":"newsletter","medium":null,"campaign":null,"term":null,"content":null},'
        b'"click_ids":{},"ip":"203.0.113.7","user_agent":null,"first_touch":null},'
        b'"consents":[]}}'
    )


def test_the_payload_of_a_test_says_that_it_is_a_test():
    test = json.loads(payload(event="lead.test"))
    assert test["type"] == "lead.test"
    assert test["data"]["lead"]["test"] is True


@pytest.mark.parametrize("source", [{}, {"utm": None, "click_ids": None}])
def test_an_unknown_source_keeps_its_shape(source):
    assert json.loads(payload(source=source))["data"]["source"] == {
        "page_url": None,
        "page_title": None,
        "referrer": None,
        "utm": {"source": None, "medium": None, "campaign": None, "term": None, "content": None},
        "click_ids": {},
        "ip": None,
        "user_agent": None,
        "first_touch": None,
    }


def test_click_ids_and_consents_are_passed_on():
    data = json.loads(payload(source={"click_ids": {"gclid": "x"}}, consents=[{"text": "Yes", "given": True}]))["data"]
    assert data["source"]["click_ids"] == {"gclid": "x"}
    assert data["consents"] == [{"text": "Yes", "given": True}]


def test_letters_of_all_scripts_are_sent_as_utf8_and_not_as_escapes():
    body = payload(fields={"name": "Zoë 山田 🚀"})
    assert "Zoë 山田 🚀".encode() in body


def test_half_a_surrogate_pair_is_replaced_and_two_halves_are_joined():
    fields = json.loads(payload(fields={"name": "a\ud83d b", "mood": "\ud83d\ude80"}))["data"]["lead"]["fields"]
    assert fields == {"name": "a� b", "mood": "🚀"}


def test_every_character_is_printed_as_javascript_does():
    """Leads without a number with decimals take a faster way."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    fields = dict.fromkeys(characters, "".join(characters[:0x3000]))
    fields = {name: value if name < "\x80" else name for name, value in fields.items() if not name.isdigit()}
    slow = as_javascript.text({"type": "a", "data": fields})
    assert encode({"type": "a", "data": fields}, is_plain=True) == slow.encode()


@pytest.mark.parametrize("value", [Markup("<b>"), 2**53, -(10**30), True, [["a"], {}], {"a": {"b": None}}, ""])
def test_what_is_printed_the_faster_way_is_the_same(value: object):
    assert encode({"value": value}, is_plain=True) == as_javascript.text({"value": value}).encode()


def test_times_are_utc_with_milliseconds_wherever_they_come_from():
    there = timezone(timedelta(hours=5, minutes=30))
    body = json.loads(payload(received_at=datetime(2026, 11, 23, 13, 30, tzinfo=there)))
    assert body["timestamp"] == body["data"]["lead"]["received_at"] == "2026-11-23T08:00:00.000Z"


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        payload(received_at=RECEIVED_AT.replace(tzinfo=None))


def test_values_that_json_cannot_express_are_refused():
    with pytest.raises(ValueError):
        payload(fields={"amount": float("nan")})
    with pytest.raises(ValueError):
        payload(fields={"amounts": [1, float("inf")]})


@pytest.mark.parametrize(
    "value", [object(), RECEIVED_AT, b"bytes", Decimal(1), UUID(int=1), {"a", "set"}, Colour.RED, Point(1)]
)
def test_values_that_json_has_no_type_for_are_refused(value: object):
    for each in (value, [value], {"key": value}):
        with pytest.raises(TypeError):
            payload(fields={"name": "Ada", "what": each})
