"""Dates as people write them, and the days that a Date field accepts."""

import pytest

from webapp.models import Field
from webapp.services.interfaces.dates import bounds, read
from webapp.services.interfaces.numbers import Unclear

EVERYWHERE = ["2027-03-31", "20270331", "2027-3-31", "2027/03/31", "2027.03.31", "2027. 3. 31.", "2027年3月31日"]
EVERYWHERE += [
    "2027년 3월 31일",
    "２０２７-０３-３１",
    "31.03.2027",
    "31/03/2027",
    "3/31/2027",
    "31-03-2027",
    "٣١/٠٣/٢٠٢٧",
]
EVERYWHERE += ["\u200e31.03.2027\u200f", "2027‑03‑31"]  # invisible marks; hyphens that do not break


@pytest.mark.parametrize("language", ["en", "en-US", "en-GB", "de", "ja", "fr-CA"])
def test_a_date_with_one_reading_is_read_in_every_language(language: str) -> None:
    for typed in EVERYWHERE:
        assert read(typed, language) == "2027-03-31", typed


def test_the_language_says_whether_the_day_or_the_month_comes_first() -> None:
    for language in ("de", "fr", "en-GB", "en-AU", "es-MX", "pt-BR", "it", "sr-Latn-RS", "tr", "ar"):
        assert read("03/04/2027", language) == read("3.4.2027", language) == "2027-04-03", language
    for language in ("en-US", "es-PR", "fil"):
        assert read("03/04/2027", language) == "2027-03-04", language


@pytest.mark.parametrize(
    ("typed", "language"),
    [
        ("03/04/2027", "en"),
        ("3.4.2027", "en"),
        ("03.04.2027", "en-US"),
        ("03/04/2027", "en-CA"),
        ("03/04/2027", "ja"),
        ("03-04-2027", "sv"),
        ("03/04/2027", "fr-CA"),
    ],
)
def test_a_date_with_two_readings_is_not_guessed(typed: str, language: str) -> None:
    with pytest.raises(Unclear) as unclear:
        read(typed, language)
    assert (unclear.value.first, unclear.value.second) == ("2027-03-04", "2027-04-03")


WRONG = ["", "2027-02-30", "2027-02-29", "2027-13-01", "2027-00-10", "0000-01-01", "2027-W13-3", "2027-090", "31.03.27"]
WRONG += [
    "27-03-31",
    "03/31/27",
    "2027-03",
    "2027-03/31",
    "2027-03-31T10:00:00Z",
    "31032027",
    "tomorrow",
    "31. März 2027",
]
WRONG += ["32.01.2027", "13/13/2027", "+2027-03-31", "2027-03-31 10:00", "2027-03-3 1", "12027-03-31"]


@pytest.mark.parametrize("language", ["en", "en-US", "de", "ja"])
def test_what_is_not_a_date_is_none_in_any_language(language: str) -> None:
    for typed in WRONG:
        with pytest.raises(ValueError) as refused:
            read(typed, language)
        assert not isinstance(refused.value, Unclear), typed


def test_a_leap_day_is_a_day() -> None:
    assert read("29.02.2028", "de") == "2028-02-29"


@pytest.mark.parametrize(
    ("minimum", "maximum", "accepted"),
    [
        ("", "", ("1900-01-01", "2199-12-31")),
        ("1850-01-01", "", ("1850-01-01", "2199-12-31")),
        ("", "2300-01-01", ("1900-01-01", "2300-01-01")),
        ("", "1815-12-10", ("1000-01-01", "1815-12-10")),
        ("2200-01-01", "", ("2200-01-01", "9999-12-31")),
        ("2027-01-01", "2027-12-31", ("2027-01-01", "2027-12-31")),
    ],
)
def test_a_field_accepts_likely_days_unless_its_own_limits_are_wider(
    minimum: str, maximum: str, accepted: tuple[str, str]
) -> None:
    assert bounds(Field(minimum=minimum, maximum=maximum)) == accepted
