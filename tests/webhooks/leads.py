"""Leads for tests of formats: an ordinary one, and the longest that a form can take."""

from datetime import UTC, datetime
from typing import Any

from webapp.webhooks.payload import CLICK_IDS, UTM, lead_document

MOST_FIELDS = 60
MOST_BYTES = 256 * 1024  # of a post


def document(fields: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Ada's lead in Leadhook's JSON."""
    ada = {"name": "Ada King Lovelace", "email": "Ada@Example.com", "phone": "+1 (555) 0100", "message": "Hello"}
    values: dict[str, Any] = {
        "event": "lead.created",
        "lead_id": "lead_01k",
        "received_at": datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC),
        "fields": ada if fields is None else fields,
        "interface_id": "if_8Kx2",
        "interface_name": "Contact sales",
        "source": {"page_url": "https://example.com/contact", "utm": {"source": "newsletter"}, "ip": "203.0.113.7"},
        "consents": [],
    }
    return lead_document(**{**values, **changes})


def longest(letter: str = "x", form_name: str = "N" * 200) -> dict[str, Any]:
    """As many and as long answers as a form can take: 60 fields, most with the longest keys, which share the 256 KB of
    a post, the longest source, and undeclared answers of 16 KB."""
    names = ["name", "email", "phone", "company", "message", "first_name", "last_name", "website", "job_title"]
    names += [f"{'k' * 60}_{number:03}" for number in range(MOST_FIELDS - len(names))]
    text = letter * (MOST_BYTES // len(letter.encode()) // MOST_FIELDS)
    address = "https://example.com/" + letter * 2028
    touch = {
        "page_url": address,
        "page_title": letter * 300,
        "referrer": address,
        "utm": dict.fromkeys(UTM, letter * 4000),
        "click_ids": dict.fromkeys(CLICK_IDS, letter * 4000),
    }
    consent = {"key": "k", "text": text, "version": 1, "given": True, "at": "2026-11-23T08:00:00.123Z", "page": address}
    return document(
        dict.fromkeys(names, text),
        interface_name=form_name,
        source={**touch, "ip": "2001:db8::1", "user_agent": letter * 2048, "first_touch": {**touch, "at": None}},
        undeclared={f"{number}{letter * 100}": letter * 60 for number in range(50)},
        consents=[consent] * 10,
    )


def keys(of: dict[str, Any]) -> list[str]:
    """The keys of the fields of a document."""
    return list(of["data"]["lead"]["fields"])
