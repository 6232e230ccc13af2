"""Answers are cleaned and validated; and where a visitor came from."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webapp.models import Field, FieldType
from webapp.services.intake.answers import LeadForm, _typed, clean
from webapp.services.intake.visitor import source, tracked


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
        ("+1 202 555 0143 ext 5", "+12025550143;ext=5"),
        ("٠٢٠ ٧٩٤٦ ٠٩٥٨", "٠٢٠ ٧٩٤٦ ٠٩٥٨"),
    ],
)
def test_valid_international_numbers_become_e164_and_others_stay(typed: str, kept: str) -> None:
    assert answer(FieldType.PHONE, typed) == (kept, [])


@pytest.mark.parametrize("typed", ["call me", "12", "+", "1" * 40, "<script>"])
def test_text_that_is_not_a_phone_number_is_an_error(typed: str) -> None:
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
def test_text_that_is_not_an_address_is_an_error_and_kept_for_correction(typed: str) -> None:
    value, errors = answer(FieldType.EMAIL, typed)
    assert value == typed
    assert len(errors) == 1


def test_only_spaces_are_an_empty_answer() -> None:
    assert answer(FieldType.TEXT, " \t\x00 ", required=True) == ("", ["It is needed."])
    assert answer(FieldType.TEXT, " \t ", required=False) == ("", [])


def test_a_form_that_was_not_sent_is_empty_and_not_validated() -> None:
    form = LeadForm([Field(key="it", label="It", type=FieldType.TEXT, required=True)])
    assert (form.values, form.errors) == ({"it": ""}, {})


def test_a_one_line_answer_stays_on_one_line() -> None:
    assert clean("a\r\nb\u2028c\td") == "a b c d"
    assert clean("a\r\nb\x00\x9f", multiline=True) == "a\nb"


TYPED = st.text(st.characters(), max_size=30) | st.text(
    "a  é\u3000\xa0\t\n\x85\u2028\x7f\xad\u200b\ud83d\ude00", max_size=12
)


@given(TYPED)
@example("a  b ")
@example("\ud83d\ude00 \ud800")
def test_a_text_is_cleaned_in_the_same_way_whether_it_needs_it_or_not(typed: str) -> None:
    """A text that only has characters that can be seen is cleaned by a shorter way; with a NUL, which goes, by the
    longer one."""
    for more in ({}, {"multiline": True}, {"keep_spaces": True}):
        assert clean(typed, **more) == clean(f"\0{typed}", **more)


@given(TYPED)
def test_what_was_typed_is_kept_in_the_same_way_whether_it_needs_cleaning_or_not(typed: str) -> None:
    assert _typed(typed, "") == _typed(f"\0{typed}", "")


@pytest.mark.parametrize(
    "bad", ["javascript:alert(1)", "//a.example", "https://", "http://[::1", "data:text/html,x", 5, None]
)
def test_only_urls_of_pages_are_kept_as_page_url(bad: object) -> None:
    assert "page_url" not in tracked({"page_url": bad}, {}, None, None)


def test_a_source_has_every_part_even_if_it_is_unknown() -> None:
    empty = source({}, None, "")
    assert empty["utm"] == dict.fromkeys(("source", "medium", "campaign", "term", "content"))
    assert (empty["click_ids"], empty["ip"], empty["user_agent"]) == ({}, None, None)
