"""E-mail addresses: what is pasted with them is cut off where that is certain, and real shapes stay as they are."""

import pytest

from tests.support.shapes import MAIL
from webapp.models import Field, FieldType
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
