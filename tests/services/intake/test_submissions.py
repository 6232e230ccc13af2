"""Answers made clean and judged, and where a visitor came from."""

import pytest

from webapp.models import Field, FieldType
from webapp.services.intake.answers import LeadForm
from webapp.services.intake.submissions import clean, source, tracked


def answer(kind: FieldType, sent: object, required: bool = False) -> tuple[str, list[str]]:
    form = LeadForm([Field(key="it", label="It", type=kind, required=required)], {"it": sent})
    return form.values["it"], form.errors.get("it", [])


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("+44 20 7946 0958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("(+34) 600 555 014", "+34600555014"),
        ("+15550100", "+15550100"),
        ("020 7946 0958", "020 7946 0958"),
        ("+1 202 555 0143 ext 5", "+1 202 555 0143 ext 5"),
        ("٠٢٠ ٧٩٤٦ ٠٩٥٨", "٠٢٠ ٧٩٤٦ ٠٩٥٨"),
    ],
)
def test_valid_international_numbers_become_e164_and_others_stay(typed: str, kept: str) -> None:
    assert answer(FieldType.PHONE, typed) == (kept, [])


@pytest.mark.parametrize("typed", ["call me", "12", "+", "1" * 40, "<script>", "555-1234; DROP TABLE"])
def test_what_is_no_phone_number_is_told_so(typed: str) -> None:
    assert answer(FieldType.PHONE, typed)[1]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada@EXAMPLE.com\n", "Ada@example.com"),
        ("é@exämple.com", "é@exämple.com"),
    ],
)
def test_addresses_are_normalised(typed: str, kept: str) -> None:
    assert answer(FieldType.EMAIL, typed) == (kept, [])


@pytest.mark.parametrize("typed", ["ada", "ada@", "@example.com", "ada@example", "a b@example.com", "a@b.com,c@d.com"])
def test_what_is_no_address_is_told_so_and_kept_to_be_put_right(typed: str) -> None:
    value, errors = answer(FieldType.EMAIL, typed)
    assert value == typed
    assert len(errors) == 1


def test_spaces_alone_are_no_answer() -> None:
    assert answer(FieldType.TEXT, " \t\x00 ", required=True) == ("", ["It is needed."])
    assert answer(FieldType.TEXT, " \t ", required=False) == ("", [])


def test_an_unsent_form_is_empty_and_not_judged() -> None:
    form = LeadForm([Field(key="it", label="It", type=FieldType.TEXT, required=True)])
    assert (form.values, form.errors) == ({"it": ""}, {})


def test_one_line_stays_one_line() -> None:
    assert clean("a\r\nb\u2028c\td") == "a b c d"
    assert clean("a\r\nb\x00\x9f", multiline=True) == "a\nb"


@pytest.mark.parametrize(
    "bad", ["javascript:alert(1)", "//a.example", "https://", "http://[::1", "data:text/html,x", 5, None]
)
def test_only_addresses_of_pages_are_kept_as_such(bad: object) -> None:
    assert "page_url" not in tracked({"page_url": bad}, {}, None, None)


def test_a_source_has_every_part_known_or_not() -> None:
    empty = source({}, None, "")
    assert empty["utm"] == dict.fromkeys(("source", "medium", "campaign", "term", "content"))
    assert (empty["click_ids"], empty["ip"], empty["user_agent"]) == ({}, None, None)
