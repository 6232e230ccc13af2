"""The example numbers of all countries, as people write and paste them, are delivered exactly or as typed."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType
from phonenumbers.re_util import enable_pattern_cache

from webapp.models import Field, FieldType
from webapp.services.intake import contact_details
from webapp.services.intake.rules import UNPARSED, Read, Rules

pytestmark = pytest.mark.once

PHONE = Field(key="phone", label="Phone", type=FieldType.PHONE)
FORMS = {
    "national": PhoneNumberFormat.NATIONAL,
    "international": PhoneNumberFormat.INTERNATIONAL,
    "E.164": PhoneNumberFormat.E164,
    "RFC 3966": PhoneNumberFormat.RFC3966,
}
FULL_WIDTH = {ord(each): ord(each) + 0xFEE0 for each in "+0123456789()"} | {ord(" "): 0x2009, ord("-"): 0x2011}
PERSIAN = {ord(each): 0x06F0 + int(each) for each in "0123456789"} | {ord(" "): 0xA0, ord("-"): 0x2212}


@pytest.fixture(scope="module", autouse=True)
def judged_once() -> Iterator[None]:
    """Most decorations leave the same digits, which are judged once: what they mean depends on nothing but the country.

    Each country has its own patterns, more than Python keeps.
    """
    enable_pattern_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact_details, "_valid", cache(contact_details._valid))
        yield


Decoration = Callable[[str], str]
CLEANED: Mapping[str, Decoration] = {  # the number is certain
    "as it is": "{}".format,
    "between brackets": "({})".format,
    "a label": "Tel.: {}".format,
    "invisible characters": lambda text: "\u202a\u200e" + "\u200b".join(text) + "\ufe0f\u202c\ufeff",
    "full-width": lambda text: text.translate(FULL_WIDTH),
    "Persian digits": lambda text: text.translate(PERSIAN),
}
EXTENDED: Mapping[str, Decoration] = {  # the number is certain, and so is the extension 412
    "extension": "{} extension 412".format,
    "(x412)": "{} (x412)".format,
    "доб.": "{} доб. 412".format,
    "ramal": "{}, Ramal 412".format,
    "pause": "{},,412#".format,
}
REMARKED: Mapping[str, Decoration] = {  # a person has to read it
    "a time": "{} (ab 18h)".format,
    "a word": "{} abends".format,
    "a word before": "ask for Ada, {}".format,
    "a letter": "{}O".format,
    "a star": "{}*78".format,
    "an ending": "{} (18)".format,
    "another number": lambda text: f"{text} / {text}",
}


@cache
def examples() -> Mapping[tuple[str, str | None], PhoneNumber]:
    """By E.164 and country: the number of each type in each country, and of the codes that belong to no country."""
    found = {}
    for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        number = phonenumbers.example_number_for_non_geo_entity(code)
        assert number
        found[e164(number), None] = number
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(country, kind)
            if number and phonenumbers.is_valid_number(number):
                found[e164(number), country] = number
    return found


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@cache
def texts(form: str) -> list[tuple[str, str | None, str]]:
    """Each example as (its E.164, its country, its text in that form)."""
    return [
        (exact, country, phonenumbers.format_number(number, FORMS[form]))
        for (exact, country), number in examples().items()
    ]


def read(text: str, country: str | None) -> Read:
    return contact_details.phone(PHONE, text, Rules(country=country))


def results(form: str, decorations: Mapping[str, Decoration]) -> Iterator[tuple[str, str, str | None, str, Read]]:
    """(E.164, decoration, the form's country, text, what was read), for a form without and with its country."""
    for exact, country, text in texts(form):
        for of_form in {None, country}:
            for name, decorate in decorations.items():
                typed = decorate(text)
                yield exact, name, of_form, typed, read(typed, of_form)


def test_the_corpus_is_large() -> None:
    assert len(examples()) > 950
    assert {country for _, country in examples()} == {None, *phonenumbers.SUPPORTED_REGIONS}


@pytest.mark.parametrize("form", FORMS)
def test_every_example_is_read_exactly_and_a_national_one_without_its_country_is_kept_as_typed(form: str) -> None:
    for exact, name, of_form, typed, kept in results(form, CLEANED):
        is_certain = form != "national" or of_form is not None
        if name == "between brackets" and "(" in typed[1:]:  # brackets in brackets
            is_certain = False
        assert kept == (Read(exact) if is_certain else Read(typed, UNPARSED)), (typed, of_form)


@pytest.mark.parametrize("form", FORMS)
def test_an_extension_is_delivered_beside_every_example(form: str) -> None:
    for exact, _, of_form, typed, kept in results(form, EXTENDED):
        is_certain = form != "national" or of_form is not None
        assert kept == (Read(f"{exact};ext=412") if is_certain else Read(typed, UNPARSED)), (typed, of_form)


@pytest.mark.parametrize("form", FORMS)
def test_a_remark_is_kept_and_no_part_of_it_becomes_a_number(form: str) -> None:
    for _, _, of_form, typed, kept in results(form, REMARKED):
        assert kept == Read(typed, UNPARSED), of_form


def test_the_country_of_the_form_does_not_change_an_international_number() -> None:
    countries = sorted(phonenumbers.SUPPORTED_REGIONS)
    for place, (exact, _, text) in enumerate(texts("international")):
        country = countries[place % len(countries)]
        for name, decorate in (CLEANED | EXTENDED).items():
            extension = ";ext=412" if name in EXTENDED else ""
            assert read(decorate(text), country) == Read(exact + extension), (text, country)


def test_a_national_number_on_another_countrys_form_has_the_digits_that_were_typed() -> None:
    """Nothing says that it is not of that country. But nothing may be added or dropped either."""
    countries = sorted(phonenumbers.SUPPORTED_REGIONS)
    for place, (exact, _, text) in enumerate(texts("national")):
        country = countries[(place * 7 + 3) % len(countries)]
        kept = read(text, country)
        if kept.mark is None and kept.kept != exact:
            typed = re.sub(r"\D", "", text)
            assert is_written_by(str(kept.kept), typed, country), (text, country, kept)


def is_written_by(number: str, typed: str, country: str) -> bool:
    """Whether the digits typed are those of the number, with or without its country code and a national prefix."""
    parsed = phonenumbers.parse(number)
    national = re.sub(r"\D", "", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    significant = phonenumbers.national_significant_number(parsed)
    prefixes = ("", "0", "1", "8", phonenumbers.ndd_prefix_for_region(country, True) or "")
    ours = {national, number[1:], *(prefix + significant for prefix in prefixes)}
    return typed in ours | {f"00{number[1:]}", f"011{number[1:]}"} or typed.endswith(number[1:])
