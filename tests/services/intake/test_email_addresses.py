"""E-mail addresses: what is pasted with them is cut off where that is certain, and real shapes stay as they are."""

from contextlib import suppress

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shapes import MAIL
from webapp.models import Field, FieldType
from webapp.services.intake import contact_details, pasted
from webapp.services.intake.answers import Answer, LeadForm


def answer(typed: str) -> Answer:
    [found] = LeadForm([Field(key="email", label="Email", type=FieldType.EMAIL)], {"email": typed}).answers
    return found


PASTED = [
    "ada\u200b@example.com",
    "\ufeffada@example.com",
    "a\u00adda@exam\u00adple.com",
    "ada＠example.com",
    # Their neighbours: characters that cannot be seen
    "ada@example.com\u202c",
    "\u202aada@example.com\u202c",
    "\u2068ada@example.com\u2069",
    "ada@exam\u200eple.com",
    "ada\u2060@example.com",
    "ada@example\u200c.com",
    "a\ufe0fda@example.com",
    "ada\u034f@example.com",
    "ada\u2800@example.com",
    # another keyboard
    "ada@example．com",
    "ada@example。com",
    "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    # what stands around it
    "mailto:ada@example.com",
    "MAILTO:ada@example.com?subject=Hello%20you",
    "mailto:ada%40example.com",
    "<ada@example.com>",
    "Ada <ada@example.com>",
    '"Lovelace, Ada" <ada@example.com>;',
    "Ada Lovelace <mailto:ada@example.com>",
    "ada@example.com<mailto:ada@example.com>",
    "ada@example.com.",
    "ada@example.com,",
    "ada@example.com;",
    "(ada@example.com)",
    "“ada@example.com”",
    "'ada@example.com'",
    "„ada@example.com“.",
    "E-Mail: ada@example.com",
    "ada @ example.com",
    "ada@\u00a0example.com",
]


@pytest.mark.parametrize("typed", PASTED, ids=ascii)
def test_what_is_pasted_with_an_address_is_cut_off_and_kept_as_typed(typed: str) -> None:
    found = answer(typed)
    assert (found.kept, found.errors) == ("ada@example.com", [])
    assert found.typed == typed


def test_a_hyphen_that_does_not_break_is_a_hyphen() -> None:
    assert answer("ada\u2011b@my\u2011company.com").kept == "ada-b@my-company.com"


@pytest.mark.parametrize("typed", [*MAIL, "❤️@example.com", "'ada@example.com"])
def test_an_address_of_a_real_shape_is_kept_as_it_is(typed: str) -> None:
    found = answer(typed)
    assert (found.kept, found.errors, found.typed) == (typed, [], None)


@pytest.mark.parametrize(
    "typed",
    [
        "a@b.com,c@d.com",
        "Ada <ada@example.com>, Bob <bob@example.com>",
        "eve@example.org <ada@example.com>",
        "Ada Lovelace ada@example.com",
        "ada@example.com. Thanks",
        "ada@example,com",
        "ada(at)example.com",
        "ada@@example.com",
        "ada..b@example.com",
        "ada@example.com/contact",
        "mailto:",
        "<>",
        "@",
        "\u200b@\u200b",
        "ada@exa mple.com",
        "ada@example.com\u200b bob@example.com",
        "ada@-.com",
        "ada@example.123",
    ],
    ids=ascii,
)
def test_what_is_not_certain_is_refused_and_stays_to_be_corrected(typed: str) -> None:
    found = answer(typed)
    assert len(found.errors) == 1
    assert found.value == typed.strip()


def test_the_error_names_what_is_missing_after_cleaning() -> None:
    assert "needs an @" in answer("ada.example.com\u200b").errors[0]
    assert "needs a dot" in answer("ada＠example").errors[0]


# What the plain pattern accepts, email_validator accepts unchanged ----------------------------------------------------


def by_email_validator(typed: str) -> str | None:
    """What a field of an older version kept of an address: email_validator was asked about each."""
    for cleaned in (typed if typed.isascii() else pasted.visible(typed), pasted.address(typed)):
        with suppress(EmailNotValidError):
            return validate_email(cleaned, check_deliverability=False).normalized
    return None


def plain(typed: str) -> bool:
    return contact_details._PLAIN_ADDRESS.fullmatch(typed) is not None


LABELS = st.text("abz09-", min_size=1, max_size=65) | st.sampled_from(
    [
        "example",
        "com",
        "xn--4dbc",
        "ab--c",
        "1",
        "co",
        *SPECIAL_USE_DOMAIN_NAMES,
        *(f"my{n}" for n in SPECIAL_USE_DOMAIN_NAMES),
    ]
)
ADDRESSES = st.builds(
    lambda local, labels, case: case(f"{local}@{'.'.join(labels)}"),
    st.text("az09._+-'@\"A é\n", min_size=1, max_size=66) | st.sampled_from(["postmaster", "Postmaster", "abuse"]),
    st.lists(LABELS, min_size=1, max_size=5),
    st.sampled_from([str, str.upper, str.title]),
)


@settings(max_examples=300, deadline=None)
@given(ADDRESSES | st.emails())
def test_a_plain_address_is_one_that_email_validator_keeps_as_it_is(typed: str) -> None:
    if plain(typed):
        assert by_email_validator(typed) == typed


@pytest.mark.parametrize("name", [*MAIL, *PASTED, "ada@example.com\n"], ids=ascii)
def test_the_pattern_is_held_to_email_validator_by_odd_addresses(name: str) -> None:
    if plain(name):
        assert by_email_validator(name) == name


@pytest.mark.parametrize(
    ("typed", "is_plain"),
    [
        ("ada@example.com", True),
        ("ada.lovelace+crm@mail-1.example.co.uk", True),
        (f"{'a' * 64}@example.com", True),
        (f"{'a' * 65}@example.com", False),
        (f"ada@{'a' * 64}.com", False),
        (f"ada@{'a' * 63}", False),
        ("ada@example", False),
        ("ada@example.c0m", False),
        ("ada@example.123", False),
        ("ada@example.test", False),
        ("ada@test", False),
        ("ada@mytest.test.com", True),
        ("ada@host.mytest", True),
        ("ada@printer.local", False),
        ("ada@1.2.3.4.in-addr.arpa", False),
        ("ada@xn--bcher-kva.example", False),
        ("ada@ab--cd.example", False),
        ("ada@-example.com", False),
        ("ada@example-.com", False),
        ("ada@example..com", False),
        ("ada@example.com.", False),
        (".ada@example.com", False),
        ("ada.@example.com", False),
        ("ada..l@example.com", False),
        ("Ada@example.com", False),
        ("POSTMASTER@example.com", False),
        ("ada@Example.com", False),
        ("ada@b@example.com", False),
        ("ada@example.com\n", False),
        ("ada@example.com ", False),
        ("adä@example.com", False),
        ("ada@exampl\u0435.com", False),  # a Cyrillic letter
        ("ad\u0661@example.com", False),  # an Arabic digit
        ("", False),
    ],
    ids=ascii,
)
def test_only_plain_addresses_are_plain(typed: str, is_plain: bool) -> None:
    assert plain(typed) is is_plain
    if is_plain:
        assert by_email_validator(typed) == typed
    else:
        kept = by_email_validator(typed.strip())
        assert answer(typed).kept == (kept or "")
