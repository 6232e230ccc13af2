"""Phone numbers as people write and paste them: read exactly, or kept as typed; and the exit codes of the world."""

import random
import re
import time
from collections.abc import Iterator

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata

from tests.support.tree import ROOT
from webapp.models import Field, FieldType
from webapp.services.intake import contact_details
from webapp.services.intake.answers import Answer, LeadForm
from webapp.services.intake.rules import UNPARSED, Rules


def answer(typed: object, country: str | None = None) -> Answer:
    field = Field(key="phone", label="Phone", type=FieldType.PHONE, required=False)
    [found] = LeadForm([field], {"phone": typed}, rules=Rules(country=country)).answers
    return found


def result(typed: str, country: str | None = None) -> tuple[object, str | None, str | None]:
    """(kept, mark, typed) of an answer that is accepted."""
    found = answer(typed, country)
    assert not found.errors, typed
    return found.kept, found.mark, found.typed


REMARKS = [
    ("+49 30 123456 (ab 18h)", None),
    ("030 12345 abends", "DE"),
    ("030 12345O", "DE"),
    ("+49 30 123456*78", None),
    # Their neighbours: remarks and letters
    ("+49 3O 123456", None),
    ("+49 30 l23456", None),
    ("030 23125 014 home", "DE"),
    ("1-800-FLOWERS", "US"),
    ("0800-REISE", "DE"),
    ("030 12345 zwei", "DE"),
    ("not 030 12345", "DE"),
    ("ask for Ada, 030 12345", "DE"),
    ("Fax: 030 123456", "DE"),
    ("18-22 Uhr 030 123456", "DE"),
    ("030 123456 extra 5", "DE"),
    ("+45 32 12 34 56 kl. 12", None),  # at twelve o'clock
    ("+1 212 736 5000 after 6pm", None),
    ("+49 30 123456²", None),
    ("+49 30 123456 \u2463", None),
    ("050-123-4567 (بعد 18)", "IL"),
    ("090-1234-5678（夜）", "JP"),
    # endings and other numbers
    ("+49 30 123456 (18)", None),
    ("+1 (212) 736-5000 [4]", None),
    ("030 12345/46", "DE"),
    ("030 123456 / 030 123457", "DE"),
    ("030 123456 - 030 123457", "DE"),
    ("+49 30 123456, +49 30 123457", None),
    ("030 1234567, 0171 1234567", "DE"),
    ("+44 20 7946 0958 or 9", None),
    ("212-736-5000 x302/x2303", "US"),
    ("555-1234; DROP TABLE", None),
    # digits that say more than the number would
    ("0 15 11 91234-5678", "BR"),  # a carrier
    ("9090 11 91234-5678", "BR"),  # the other side pays
    ("365-1234", "BS"),  # without the area code
    ("180020 020 7946 0958", "GB"),  # a text relay
    ("1831 02 9374 4000", "AU"),  # caller's number hidden
]


@pytest.mark.parametrize(("typed", "country"), REMARKS)
def test_a_text_that_is_more_than_a_number_is_kept_as_typed_and_marked(typed: str, country: str | None) -> None:
    assert result(typed, country) == (typed, UNPARSED, None)


@pytest.mark.parametrize(
    ("typed", "country", "kept"),
    [
        ("+44 20 7946 0958", None, "+442079460958"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+44 (0)20 7946 0958", None, "+442079460958"),
        ("0044 (0)20 7946-0958", None, "+442079460958"),
        ("(+34) 600 555 014", None, "+34600555014"),
        ("(030) / 12 34 56", "DE", "+4930123456"),
        ("030/123456", "DE", "+4930123456"),
        ("0475/12.34.56", "BE", "+32475123456"),
        ("+49 30 12345-67", None, "+49301234567"),  # a German ending is a part of the number
        ("+ 49 30 123456", None, "+4930123456"),
        ("06 1234 5678", "IT", "+390612345678"),  # Italy keeps the zero
        ("011 15-2345-6789", "AR", "+5491123456789"),  # as Argentina writes its mobile numbers
        ("06 1 234 5678", "HU", "+3612345678"),
        ("8 (0152) 45-09-11", "BY", "+375152450911"),
        ("33 1 42 68 53 00", "FR", "+33142685300"),  # the + was forgotten
        ("Tel.: +49 30 123456", None, "+4930123456"),
        ("☎ 030 123456", "DE", "+4930123456"),
        ("M: +49 1512 3456789", None, "+4915123456789"),
        ("“030 123456”", "DE", "+4930123456"),
    ],
)
def test_one_number_is_delivered_in_e164_beside_what_was_typed(typed: str, country: str | None, kept: str) -> None:
    assert result(typed, country) == (kept, None, typed)


def test_a_number_that_is_typed_in_e164_has_nothing_to_keep_beside_it() -> None:
    assert result("+442079460958") == ("+442079460958", None, None)
    assert result(" +442079460958\n") == ("+442079460958", None, None)


def test_a_number_with_two_meanings_is_kept_as_typed() -> None:
    """On a German form 4915112345678 may lack its +, or be a number of the area 04915."""
    assert result("4915112345678", "DE") == ("4915112345678", UNPARSED, None)
    assert result("+4915112345678", "DE") == ("+4915112345678", None, None)
    assert result("015112345678", "DE") == ("+4915112345678", None, "015112345678")


@pytest.mark.parametrize(
    ("typed", "country", "kept"),
    [
        ("001 65 6223 4567", "HK", "+6562234567"),
        ("0011 44 20 7946 0958", "AU", "+442079460958"),
        ("011 44 20 7946 0958", "US", "+442079460958"),
        ("010 44 20 7946 0958", "JP", "+442079460958"),
        ("8 10 44 20 7946 0958", "RU", "+442079460958"),
        ("00 44 20 7946 0958", "DE", "+442079460958"),
        ("0044 20 7946 0958", "US", "+442079460958"),  # not America's, but no American number either
        ("0044 20 7946 0958", None, "+442079460958"),
        ("0049 1512 3456789", None, "+4915123456789"),  # the groups say that it is not 004 91
    ],
)
def test_the_exit_code_is_that_of_the_forms_country_or_the_usual_one(
    typed: str, country: str | None, kept: str
) -> None:
    assert result(typed, country) == (kept, None, typed)


@pytest.mark.parametrize(
    ("typed", "country"),
    [
        ("001 65 6223 4567", None),  # Singapore for Hong Kong, Florida for Europe
        ("0016562234567", None),
        ("0016562234567", "HK"),
        ("00 1 656 223 4567", "HK"),
        ("0011 65 6223 4567", None),
        ("0033612345678", None),  # 003 36: Hungary for Thailand
        ("011 44 20 7946 0958", None),
        ("0000 20 7946 0958", None),
        ("+0049 30 123456", None),
        ("+999 30 123456", "DE"),  # no country has this code, and a + is no national number
        ("+0171 1234567", "DE"),
    ],
)
def test_an_exit_code_that_may_be_another_one_leaves_the_text_as_typed(typed: str, country: str | None) -> None:
    assert result(typed, country) == (typed, UNPARSED, None)


def test_all_exit_codes_that_are_longer_than_00_are_known() -> None:
    known = {
        PhoneMetadata.metadata_for_region(region).international_prefix for region in phonenumbers.SUPPORTED_REGIONS
    }
    for length in (1, 2, 3, 4):
        for place in range(10**length):
            code = f"00{place:0{length}}"
            is_one = any(re.fullmatch(pattern, code) for pattern in known if pattern)
            assert bool(contact_details._LONGER_EXIT.fullmatch(code)) == is_one, code


EXTENSIONS = [
    ("(212) 736-5000 extension 4", "4"),
    ("(212) 736-5000 (x4)", "4"),
    ("(212) 736-5000 (ext. 12)", "12"),
    ("(212) 736-5000 доб. 123", "123"),
    ("(212) 736-5000 ramal 12", "12"),
    # Their neighbours
    ("(212) 736-5000 #4", "4"),
    ("(212) 736-5000;ext=4", "4"),
    ("(212) 736-5000 Durchwahl 12", "12"),
    ("(212) 736-5000 DW -12", "12"),
    ("(212) 736-5000 poste 12", "12"),
    ("(212) 736-5000 int. 4", "4"),
    ("(212) 736-5000, Ext: 0012", "0012"),
    ("(212) 736-5000 extensión 4", "4"),
    ("(212) 736-5000 extensio\u0301n 4", "4"),
    ("(212) 736-5000 extention no. 4", "4"),
    ("(212) 736-5000 anexo 12", "12"),
    ("(212) 736-5000 interno 12", "12"),
    ("(212) 736-5000 toestel 12", "12"),
    ("(212) 736-5000 wew. 12", "12"),
    ("(212) 736-5000 linka 12", "12"),
    ("(212) 736-5000 внутр. 12", "12"),
    ("(212) 736-5000 доп.12", "12"),
    ("(212) 736-5000 内線12", "12"),
    ("(212) 736-5000转12", "12"),
    ("(212) 736-5000 내선 12", "12"),
    ("(212) 736-5000 שלוחה 12", "12"),
    ("(212) 736-5000 تحويلة ١٢", "12"),
    ("(212) 736-5000 ｅｘｔ．１２", "12"),
    ("(212) 736-5000x4", "4"),
    ("(212) 736-5000,,4#", "4"),
    ("(212) 736-5000,4", "4"),
    ("(212) 736-5000 [ext 4]", "4"),
    ("tel:+1-212-736-5000;ext=4", "4"),
    ("tel:(212)736-5000;ext=4;phone-context=+1", "4"),
]


@pytest.mark.parametrize(("typed", "extension"), EXTENSIONS)
def test_an_extension_is_delivered_as_rfc_3966_writes_it(typed: str, extension: str) -> None:
    assert result(typed, "US") == (f"+12127365000;ext={extension}", None, typed)


@pytest.mark.parametrize(
    "typed", ["(212) 736-5000 ext", "(212) 736-5000 ext. 4 or 5", "(212) 736-5000 ext. 12 34", "(212) 736 (ext. 12)"]
)
def test_an_extension_that_is_unclear_or_of_no_valid_number_is_kept_as_typed(typed: str) -> None:
    assert result(typed, "US") == (typed, UNPARSED, None)


@pytest.mark.parametrize(
    ("typed", "country", "kept"),
    [
        ("tel:+1-212-736-5000", None, "+12127365000"),
        ("TEL:+1(212)7365000", None, "+12127365000"),
        ("tel:%2B49-30-123456", None, "+4930123456"),
        ("tel:030-123456;phone-context=+49", None, "+4930123456"),
        ("tel:030-123456;phone-context=+49", "US", "+4930123456"),
        ("tel:7365000;phone-context=+1-212", None, "+12127365000"),
        ("tel:030-123456", "DE", "+4930123456"),
        ("callto:+12127365000", None, "+12127365000"),
    ],
)
def test_links_to_phone_numbers_are_read_as_rfc_3966_defines_them(typed: str, country: str | None, kept: str) -> None:
    assert result(typed, country) == (kept, None, typed)


@pytest.mark.parametrize(
    "typed",
    ["tel:030-123456;phone-context=example.com", "tel:+1-212-736-5000;isub=12", "tel:030-123456;phone-context=+4x"],
)
def test_a_link_with_parts_that_a_number_cannot_say_is_kept_as_typed(typed: str) -> None:
    assert result(typed, "DE") == (typed, UNPARSED, None)


INVISIBLE = [
    0xAD,
    0x200B,
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    0x2060,
    *range(0x2066, 0x206A),
    0xFE0D,
    0xFE0F,
    0xFEFF,
]
DASHES = [*range(0x2010, 0x2016), 0x2212, 0x30FC, 0xFE63, 0xFF0D]
SPACES = [0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000]


@pytest.mark.parametrize("code", INVISIBLE, ids=hex)
def test_characters_that_cannot_be_seen_are_no_part_of_a_number(code: int) -> None:
    typed = f"{chr(code)}+49 30{chr(code)} 123{chr(code)}456{chr(code)}"
    assert result(typed) == ("+4930123456", None, typed)


@pytest.mark.parametrize("code", [*DASHES, *SPACES], ids=hex)
def test_typographic_dashes_and_spaces_separate_groups(code: int) -> None:
    typed = f"+49{chr(code)}30{chr(code)}123456"
    assert result(typed) == ("+4930123456", None, typed)


@pytest.mark.parametrize(
    "typed",
    [
        "＋４９　３０　１２３４５６",
        "（＋４９）３０－１２３４５６",
        "+٤٩ ٣٠ ١٢٣٤٥٦",
        "+۴۹ ۳۰ ۱۲۳۴۵۶",
        "+४९ ३० १२३४५६",
        "+๔๙ ๓๐ ๑๒๓๔๕๖",
        "+𝟒𝟗 𝟑𝟎 𝟏𝟐𝟑𝟒𝟓𝟔",
        "➕4️⃣9️⃣ 30 123456",
        "+49·30·123456",
    ],
)
def test_digits_and_signs_of_other_keyboards_are_read(typed: str) -> None:
    assert result(typed) == ("+4930123456", None, typed)


@pytest.mark.parametrize(
    "typed",
    [
        "call me",
        "12",
        "+",
        "1" * 40,
        "<script>",
        "-",
        "none",
        "ext. 12",
        "room 12, floor 34",
        "①②③④⑤⑥",
        "ada@example.com",
    ],
)
def test_a_text_without_a_number_is_refused(typed: str) -> None:
    assert answer(typed, "DE").errors == [
        "This is not a phone number. Write it with its country code, such as +44 20 7946 0958."
    ]
    assert answer(typed, "DE").value == typed


def test_a_long_remark_is_accepted_and_a_text_of_any_length_is_judged_quickly() -> None:
    remark = "ask for Ada, 030 12345, but not between twelve and two, when the whole office is at lunch"
    assert result(remark, "DE") == (remark, UNPARSED, None)
    assert answer(f"030 12345 {'x' * 200}", "DE").errors == [
        "Phone is too long: it has 210 characters, and the limit is 200."
    ]
    for text in (
        "0 " * 100,
        "(0" * 100,
        "0-" * 100,
        "0," * 100,
        "0;ext=" * 33,
        "\u200b" * 199 + "1",
        "1" * 24 + "x" * 170,
    ):
        begun = time.process_time()
        answer(text[:200], "DE")
        assert time.process_time() - begun < 0.1


def test_the_examples_in_the_docs_are_true() -> None:
    section = (ROOT / "docs" / "forms.md").read_text().partition("### Phone numbers")[2].partition("\n- ")[0]
    rows = re.findall(r"^\| (`.*) \| (\w+) \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) == 6
    for texts, country, delivered in rows:
        [first, *others] = re.findall("`([^`]+)`", texts)
        number = re.match("`([^`]+)`", delivered)
        for typed in (first, *(other.replace("…", "(212) 736-5000") for other in others)):
            expected = (number[1], None) if number else (typed, UNPARSED)
            assert result(typed, None if country == "any" else country)[:2] == expected


def examples() -> Iterator[str]:
    """Each example of the library of each type, also a digit shorter, longer and with another end; and any digits after
    the country codes whose first region does not take all numbers."""
    kinds = [kind for kind in vars(phonenumbers.PhoneNumberType).values() if isinstance(kind, int)]
    for region in phonenumbers.SUPPORTED_REGIONS:
        for number in filter(None, (phonenumbers.example_number_for_type(region, kind) for kind in kinds)):
            text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            yield from (text, text[:-1], f"{text}1", f"{text[:-1]}{(int(text[-1]) + 5) % 10}")
    any_digit = random.Random(20261128)
    for code in (1, 7, 44, 47, 212, 290, 358, 599):
        for _ in range(500):
            yield f"+{code}{any_digit.randrange(10 ** any_digit.randrange(4, 12))}"


def test_a_number_is_valid_where_the_library_says_so() -> None:
    seen = set()
    for text in examples():
        try:
            number = phonenumbers.parse(text)
        except phonenumbers.NumberParseException:
            continue
        found = phonenumbers.is_valid_number(number)
        assert contact_details._is_valid(number) is found, text
        seen.add((number.country_code, found))
    assert len(seen) > 400, "valid and wrong ones of most country codes"
