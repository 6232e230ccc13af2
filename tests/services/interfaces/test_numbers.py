"""Numbers in the way of each language: what has one reading is taken, what has two is asked about."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.services.interfaces.numbers import Unclear, exact, read, separators, written

# By language: what is typed, and the number that it is.
TYPED = {
    "en": {
        "10,000": 10000,
        "12.5": 12.5,
        "12,5": 12.5,
        "1.234": 1.234,
        "1,234.5": 1234.5,
        "1.234,5": 1234.5,
        "1,234,567": 1234567,
        "1.234.567": 1234567,
        "12,34,567.89": 1234567.89,
        "1,00,000": 100000,
        "10 000": 10000,
        "10'000": 10000,
        "0.500": 0.5,
        "0,500": 0.5,
        "1234.567": 1234.567,
        "3.14": 3.14,
    },
    "de": {
        "10.000": 10000,
        "12,5": 12.5,
        "12.5": 12.5,
        "1.234": 1234,
        "1,234": 1.234,
        "1.234,56": 1234.56,
        "1,234.56": 1234.56,
        "10’000": 10000,
        "-10.000": -10000,
    },
    "de-CH": {"10'000.50": 10000.5, "10’000,50": 10000.5, "12.5": 12.5, "1.234": 1.234},
    "fr": {"10\u202f000": 10000, "10\u00a0000,5": 10000.5, "10\u2009000": 10000, "12,5": 12.5, "1,234": 1.234},
    "pt-BR": {"10.000,00": 10000},
    "es": {"10.000": 10000},
    "es-MX": {"10,000": 10000},
    "it": {"1.250": 1250},
    "ar": {"١٢٬٣٤٥٫٦": 12345.6, "٣": 3},
    "ar-MA": {"10.000": 10000},
    "fa": {"۱۲٫۵": 12.5},
    "hi": {"१,००,०००": 100000},
    "ja": {"１２": 12, "１０，０００": 10000, "１２．５": 12.5},
    "sr-Latn-RS": {"10.000": 10000},
}


@pytest.mark.parametrize("language", TYPED)
def test_a_number_is_read_in_the_way_of_the_language(language: str) -> None:
    for typed, number in TYPED[language].items():
        assert read(typed, language) == number, typed


# What only the language could decide, and does not: with both readings, as they can be written without doubt.
UNCLEAR = [
    ("10.000", "en", "10000", "10"),
    ("2.500", "en-GB", "2500", "2.5"),
    ("-10.000", "en", "-10000", "-10"),
    ("10,000", "de", "10000", "10"),
    ("1,250", "nl", "1250", "1,25"),
    ("1.234", "fr", "1234", "1,234"),
    ("10.000", "sv", "10000", "10"),
    ("10.000", "pl", "10000", "10"),
    ("1,234", "de-CH", "1234", "1.234"),
    ("10.000", "de-CH", "10000", "10"),
]


@pytest.mark.parametrize(("typed", "language", "first", "second"), UNCLEAR)
def test_a_number_with_two_readings_is_not_guessed(typed: str, language: str, first: str, second: str) -> None:
    with pytest.raises(Unclear) as unclear:
        read(typed, language)
    assert (unclear.value.first, unclear.value.second) == (first, second)
    assert read(first, language) != read(second, language), "each reading can be typed as it is shown"


SIGNS = {"−5": -5, "＋5": 5, "+5": 5, "- 5": -5, "–5": -5, ".5": 0.5, ",5": 0.5, "5.": 5, "5,": 5, "007": 7, "-0": 0}
PROGRAMS = {"1e5": 100000, "3.142e+0": 3.142, "1.5E3": 1500, "-2e-3": -0.002}
INVISIBLE = {"\u200e12,5\u200f": 12.5, "\ufeff10000": 10000, "12\u200b000": 12000, "10\u2060": 10}


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_signs_exponents_and_invisible_characters_mean_the_same_everywhere(language: str) -> None:
    for typed, number in (SIGNS | PROGRAMS | INVISIBLE).items():
        assert read(typed, language) == number, typed


WRONG = [
    "",
    ".",
    "-",
    "--5",
    "5-",
    "(5)",
    "ten",
    "50 €",
    "€50",
    "5%",
    "10k",
    "1 2",
    "12 5",
    "030 123",
    "1,2,3",
    "1.2.3",
]
WRONG += [
    "31.03.2027",
    "1_000",
    "0x10",
    "Infinity",
    "NaN",
    "1e400",
    "1e-400",
    "1e99999999999",
    "½",
    "²",
    "5'11",
    "1.234,",
]
WRONG += ["1.234,5.6", "12.34,5", "1,23,4", "9" * 16, "0.1234567890123456", "1/2", "三", "e5", "5e", "1,234.567,8"]


@pytest.mark.parametrize("language", ["en", "de", "fr", "de-CH", "hi"])
def test_what_is_not_a_number_is_none_in_any_language(language: str) -> None:
    for typed in WRONG:
        with pytest.raises(ValueError) as refused:
            read(typed, language)
        assert not isinstance(refused.value, Unclear), typed


def test_a_number_of_json_has_one_meaning() -> None:
    assert [exact(text) for text in ("10.000", "12.5", "1e5", "-0", "1.50", "999999999999999")] == [
        10,
        12.5,
        100000,
        0,
        1.5,
        999999999999999,
    ]
    assert isinstance(exact("1e5"), int)
    for text in ("10,000", "+5", ".5", "5.", "9" * 16, "1e15", "١", "NaN", "-", ""):
        with pytest.raises(ValueError):
            exact(text)


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.one_of(st.integers(-(10**14), 10**14), st.decimals(-(10**9), 10**9, places=4).map(float)),
    st.sampled_from(["en", "de", "fr", "de-CH", "es-MX", "ar", "hi", "en-ZA"]),
)
def test_what_is_shown_is_read_as_the_same_number(number: float, language: str) -> None:
    assert read(written(number, language), language) == number


# CLDR 45, by ICU 75: the signs for decimals and for thousands.
CLDR = {
    ".,": "en en-GB en-IN en-US ar ar-EG bn cy es-419 es-MX es-PE es-US fa fil ga gu he hi ja km ko mn ms my ne pa",
    ",.": "ar-DZ ar-MA az bs ca da de el es es-AR es-CL es-CO eu fo gl hr id is it lb lo mk nl pt pt-BR ro sl sr tr vi",
    ", ": "af be bg br cs en-ZA eo et fi fr fr-CA fr-CH hu hy ka kk lt lv nb nn no pl ru sk sq sv tg uk uz es-CR",
    ".'": "de-CH de-LI it-CH gsw",
}


def test_the_signs_of_each_language_are_those_of_cldr() -> None:
    for signs, languages in CLDR.items():
        for language in languages.split():
            assert "".join(separators(language)) == signs, language
