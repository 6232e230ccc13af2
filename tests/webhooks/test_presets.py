"""Presets: their bytes have the shape that the service documents, and stay within its limits for the longest lead."""

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tests.webhooks.leads import document, keys, longest
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.formats.lengths import units
from webapp.webhooks.formats.work import MAX_OUTPUT
from webapp.webhooks.presets.catalogue import PRESETS, Preset

ADA: dict[str, Any] = {
    "name": "Ada King Lovelace",
    "email": "ada@example.com",
    "phone": "+15550100",
    "message": 'Please call me <soon> & tell me "more".',
    "topics": ["news", "a & b"],
    "guests": 12,
    "news": True,
    "empty": "",
    "none": None,
}
LEAD = document(ADA)
# Letters of 1 to 4 bytes; an emoji has two units; the others become longer when they are escaped or encoded.
LETTERS = ["x", "é", "漢", "😀", "&", "<", '"', "\n"]
LONGEST = {letter: longest(letter) for letter in LETTERS}
BARE = [document({}), document(dict.fromkeys(ADA, "")), document({"cv": []}, source={}), document({"n": 0, "b": False})]
AWKWARD = [
    document(dict.fromkeys(ADA, "  ")),
    document({"name": "@everyone", "message": "<!channel> <@U1> [x](https://x.org)"}),
    document({"name": "Ada", "email": "a" * 250, "message": "x" * 20_000}),
    document({"first_name": "Ada", "last_name": "Lovelace", "company": "A & B", "email": ""}, event="lead.test"),
    document({f"f{number}": number for number in range(60)}),
]
ALL = [LEAD, *LONGEST.values(), *BARE, *AWKWARD]


def body(name: str, of: dict[str, Any] = LEAD) -> bytes:
    preset = PRESETS[name]
    return FORMATS[preset.format].of(preset.options, keys(of)).render(of)


def made(name: str, of: dict[str, Any] = LEAD) -> Any:
    return json.loads(body(name, of))


def texts(value: Any) -> Iterator[str]:
    """All texts in a tree, but not its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_every_lead(name: str) -> None:
    for of in ALL:
        assert body(name, of)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_names_its_source_and_its_limits(preset: Preset) -> None:
    assert date.fromisoformat(preset.checked) >= date(2026, 11, 27)
    assert preset.source
    assert preset.limits
    assert preset.title
    assert urlsplit(preset.url).scheme == "https"
    assert preset.format in FORMATS
    assert preset.url_of(preset.url) == preset.url
    assert all(word in preset.url + preset.template for word in preset.fill_in)
    assert len(preset.left_to_fill_in(preset.url, preset.template)) == len(preset.fill_in)
    assert preset.left_to_fill_in("https://example.com/", "{}") == []


def test_all_services_are_there() -> None:
    assert set(PRESETS) == {
        *("slack", "microsoft_teams", "discord", "google_chat", "hubspot_forms", "salesforce_web_to_lead"),
        *("salesforce_rest", "pipedrive_person", "zapier", "make", "google_sheets"),
    }


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_an_answer_rule_is_in_the_stored_form(preset: Preset) -> None:
    rule = preset.answer
    assert rule.keys() <= {"codes", "header", "body", "give_up", "stops"}
    assert re.fullmatch(r"\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*", rule["codes"])
    for part in ("header", "body"):
        if part in rule:
            assert rule[part].keys() == {"is", "text", *(["name"] if part == "header" else [])}
            assert rule[part]["is"] in ("contains", "contains_not")
    for stop in rule["stops"]:
        assert stop.keys() <= {"code", "text", "then", "words"}
        assert stop["then"] in ("pause", "hold")
        assert stop["words"].endswith(".")
        assert len(stop["words"]) <= 300
    assert len(rule["stops"]) <= 20
    assert 410 in {stop["code"] for stop in rule["stops"]} or preset.name == "hubspot_forms"


# Slack ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ALL)
def test_slack_stays_within_its_limits(of: dict[str, Any]) -> None:
    message = made("slack", of)
    blocks = message["blocks"]
    assert 1 <= units(message["text"]) <= 150
    assert len(blocks) <= 50
    assert sum(units(text) for text in texts(blocks)) <= 13_200
    for block in blocks:
        if block["type"] == "header":
            assert 1 <= units(block["text"]["text"]) <= 150
        elif block["type"] == "section" and "fields" in block:
            assert 1 <= len(block["fields"]) <= 10
            assert all(1 <= units(field["text"]) <= 2000 for field in block["fields"])
        elif block["type"] == "section":
            assert 1 <= units(block["text"]["text"]) <= 3000
        else:
            assert block["type"] == "context"
            assert 1 <= len(block["elements"]) <= 10
    for text in texts(message):
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text), text


def test_slack_gets_the_documented_shape() -> None:
    message = made("slack")
    assert message["text"] == "New lead: Ada King Lovelace"
    header, fields, text, context = message["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": "New lead: Ada King Lovelace"}}
    assert fields["fields"][:2] == [
        {"type": "mrkdwn", "text": "*Name*\nAda King Lovelace"},
        {"type": "mrkdwn", "text": "*Email*\nada@example.com"},
    ]
    assert {"type": "mrkdwn", "text": "*Topics*\nnews, a &amp; b"} in fields["fields"]
    assert text["text"]["text"] == 'Please call me &lt;soon&gt; &amp; tell me "more".'
    assert [each["text"] for each in context["elements"]] == ["Contact sales", "https://example.com/contact"]


# Microsoft Teams -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ALL)
def test_teams_stays_within_its_limit_and_has_texts_only(of: dict[str, Any]) -> None:
    assert len(body("microsoft_teams", of)) <= 20_000
    card = made("microsoft_teams", of)["attachments"][0]["content"]
    assert all(part["type"] in ("TextBlock", "FactSet") for part in card["body"])
    for part in card["body"]:
        if part["type"] == "FactSet":
            assert part["facts"]
            assert all(isinstance(fact[key], str) and fact[key] for fact in part["facts"] for key in ("title", "value"))
        else:
            assert isinstance(part["text"], str)
            assert part["text"]


def test_teams_gets_the_documented_shape() -> None:
    message = made("microsoft_teams")
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    card = attachment["content"]
    assert (card["$schema"], card["type"]) == ("http://adaptivecards.io/schemas/adaptive-card.json", "AdaptiveCard")
    assert card["body"][0]["text"] == "New lead: Ada King Lovelace"
    assert {"title": "Guests", "value": "12"} in card["body"][1]["facts"]


# Discord -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ALL)
def test_discord_stays_within_its_limits(of: dict[str, Any]) -> None:
    message = made("discord", of)
    assert message["allowed_mentions"] == {"parse": []}
    assert 1 <= units(message["content"]) <= 2000
    embeds = message["embeds"]
    assert 1 <= len(embeds) <= 10
    counted = 0
    for embed in embeds:
        assert embed
        assert units(embed.get("title", "x")) <= 256
        assert units(embed.get("description", "x")) <= 4096
        assert len(embed.get("fields", [0])) in range(1, 26)
        counted += units(embed.get("title", "")) + units(embed.get("description", ""))
        for field in embed.get("fields", []):
            assert 1 <= units(field["name"]) <= 256
            assert 1 <= units(field["value"].strip()) <= 1024
            counted += units(field["name"]) + units(field["value"])
    assert counted <= 6000
    for text in texts(message):
        assert text.strip(), "Discord refuses empty texts"


def test_discord_gets_the_documented_shape() -> None:
    message = made("discord")
    assert message["content"] == "New lead: Ada King Lovelace"
    first, second = message["embeds"]
    assert first["timestamp"] == "2026-11-23T08:00:00.123Z"
    assert second["fields"][0] == {"name": "Name", "value": "Ada King Lovelace", "inline": True}
    assert len(second["fields"]) == 6


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://discord.com/api/webhooks/1/x", "https://discord.com/api/webhooks/1/x?wait=true"),
        (
            "https://discord.com/api/webhooks/1/x?thread_id=5",
            "https://discord.com/api/webhooks/1/x?thread_id=5&wait=true",
        ),
        ("https://discord.com/api/webhooks/1/x?wait=false", "https://discord.com/api/webhooks/1/x?wait=false"),
        ("https://discord.com/api/webhooks/1/x?wait=true", "https://discord.com/api/webhooks/1/x?wait=true"),
    ],
)
def test_discord_is_asked_to_wait(given: str, sent: str) -> None:
    assert PRESETS["discord"].url_of(given) == sent
    assert PRESETS["slack"].url_of(given) == given


# Google --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ALL)
def test_google_chat_stays_within_its_limits(of: dict[str, Any]) -> None:
    assert len(body("google_chat", of)) <= 32_000
    (card,) = made("google_chat", of)["cardsV2"]
    (section,) = card["card"]["sections"]
    assert len(section["widgets"]) <= 100
    for widget in section["widgets"]:
        ((kind, inner),) = widget.items()
        assert kind in ("decoratedText", "textParagraph")
        assert inner["text"]
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", inner["text"])


@pytest.mark.parametrize("of", ALL)
def test_google_sheets_gets_one_cell_for_each_field(of: dict[str, Any]) -> None:
    found = made("google_sheets", of)
    assert found.keys() == {"id", "names", "row"}
    assert len(found["names"]) == len(found["row"]) == len(keys(of)) + 2
    assert all(isinstance(cell, str) and units(cell) <= 50_000 for cell in found["row"])
    assert not [cell for cell in found["row"] if cell.startswith(("=", "+", "-", "@"))]
    assert len(body("google_sheets", of)) <= MAX_OUTPUT


# CRMs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ALL)
def test_hubspot_gets_fields_with_values_only(of: dict[str, Any]) -> None:
    found = made("hubspot_forms", of)
    assert found.keys() == {"submittedAt", "fields", "context"}
    assert re.fullmatch(r"\d{13}", found["submittedAt"])
    assert len(found["fields"]) <= 1000
    for field in found["fields"]:
        assert field.keys() == {"objectTypeId", "name", "value"}
        assert isinstance(field["value"], str)
        assert field["value"]
        assert units(field["value"]) <= 65_536
    assert len({field["name"] for field in found["fields"]}) == len(found["fields"])


def test_hubspot_gets_the_documented_shape() -> None:
    assert made("hubspot_forms") == {
        "submittedAt": "1795420800123",
        "fields": [
            {"objectTypeId": "0-1", "name": "email", "value": "ada@example.com"},
            {"objectTypeId": "0-1", "name": "firstname", "value": "Ada"},
            {"objectTypeId": "0-1", "name": "lastname", "value": "King Lovelace"},
            {"objectTypeId": "0-1", "name": "phone", "value": "+15550100"},
            {"objectTypeId": "0-1", "name": "message", "value": ADA["message"]},
        ],
        "context": {"pageUri": "https://example.com/contact"},
    }


SALESFORCE = {"FirstName": 40, "LastName": 80, "Company": 255, "Email": 80, "Phone": 40, "Title": 128}
WEB_TO_LEAD = {"first_name": 40, "last_name": 80, "company": 255, "email": 80, "phone": 40, "title": 128}


@pytest.mark.parametrize("of", ALL)
def test_salesforce_gets_what_it_requires_and_nothing_that_is_too_long(of: dict[str, Any]) -> None:
    record = made("salesforce_rest", of)
    form = dict(parse_qsl(body("salesforce_web_to_lead", of).decode("ascii"), strict_parsing=True))
    for found, limits, long in ((record, SALESFORCE, "Description"), (form, WEB_TO_LEAD, "description")):
        for name, most in {**limits, long: 32_000}.items():
            assert 1 <= units(found.get(name, "x")) <= most, name
    assert record["LastName"]
    assert record["Company"]
    assert (form["last_name"], form["company"]) == (record["LastName"], record["Company"])
    assert form["oid"] == "ORGANISATION_ID"


def test_salesforce_gets_the_documented_shape() -> None:
    text = (
        "Name: Ada King Lovelace\nEmail: ada@example.com\nPhone: +15550100\n"
        'Message: Please call me <soon> & tell me "more".'
        "\nTopics: news, a & b\nGuests: 12\nNews: Yes"
    )
    assert made("salesforce_rest") == {
        "FirstName": "Ada",
        "LastName": "King Lovelace",
        "Company": "Not given",
        "Email": "ada@example.com",
        "Phone": "+15550100",
        "Description": text,
        "LeadSource": "Web",
    }
    assert parse_qs(body("salesforce_web_to_lead").decode(), strict_parsing=True) == {
        "oid": ["ORGANISATION_ID"],
        "first_name": ["Ada"],
        "last_name": ["King Lovelace"],
        "company": ["Not given"],
        "email": ["ada@example.com"],
        "phone": ["+15550100"],
        "description": [text],
        "lead_source": ["Web"],
    }


def test_names_in_two_fields_are_put_together_and_a_single_name_is_a_last_name() -> None:
    two = document({"first_name": "Ada", "last_name": "Lovelace"})
    assert made("pipedrive_person", two)["name"] == "Ada Lovelace"
    assert [made("salesforce_rest", two)[name] for name in ("FirstName", "LastName")] == ["Ada", "Lovelace"]
    one = made("salesforce_rest", document({"name": "Ada"}))
    assert "FirstName" not in one
    assert one["LastName"] == "Ada"


@pytest.mark.parametrize("of", ALL)
def test_pipedrive_gets_a_name_and_no_empty_address(of: dict[str, Any]) -> None:
    found = made("pipedrive_person", of)
    assert 1 <= units(found["name"].strip()) <= 255
    for one in (*found["emails"], *found["phones"]):
        assert one["value"]
        assert (one["primary"], one["label"]) == (True, "work")


@pytest.mark.parametrize("name", ["zapier", "make"])
def test_zapier_and_make_get_flat_keys(name: str) -> None:
    found = made(name)
    assert list(found)[:7] == ["lead_id", "received_at", "test", "name", "email", "phone", "message"]
    assert found["topics"] == "news, a & b"
    assert not [value for value in found.values() if isinstance(value, dict | list)]


def test_a_test_lead_says_so() -> None:
    test = document(ADA, event="lead.test")
    for name in ("slack", "microsoft_teams", "discord", "google_chat"):
        assert b"Test lead: Ada" in body(name, test)
        assert b"New lead" not in body(name, test)
