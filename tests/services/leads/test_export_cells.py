"""The export looks at a row at once; it must never find less than when it looks at each cell.

A cell is judged by the first character that is seen: no spreadsheet may see a formula where a person sees one.
"""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.services.leads import lead_export
from webapp.services.leads.lead_export import cell

DANGEROUS = list("=+-@＝＋－＠﹢;\t\r\n\"' \u200b\u200f\ufeff\u00ad\u2060\u202e\u2800\u3164\ufe0f\U000e0041\x1f|!(a1,:")
TEXTS = st.text(alphabet=st.sampled_from(DANGEROUS), max_size=8)
CELLS = st.one_of(TEXTS, st.text(max_size=8), st.none(), st.integers(), st.booleans(), st.lists(TEXTS, max_size=3))


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_a_row_is_what_its_cells_are(row: list[object]) -> None:
    assert written_as(row) == [cell(value) for value in row]


def written_as(row: list[object]) -> list[str]:
    """An empty cell may be None, which the CSV writer leaves empty."""
    return [text or "" for text in lead_export._texts(row)]


@pytest.mark.parametrize(
    "text",
    ["=1+1", " =1+1", '"=1', "+15550100x", "-2", "@SUM(A1)", "＝1", "a;=1", "a\n=1", "a\t@x", "x; - cmd|'x'!A0", "\t1"],
)
def test_a_formula_is_found_wherever_it_stands_in_a_row(text: str) -> None:
    for row in ([text], ["a", text], [text, "a"], ["", text, ""], [1, text], ["+15550100", text, "a;b"]):
        written = written_as(row)
        assert written == [cell(value) for value in row]
        assert "'" in written[row.index(text)]


@pytest.mark.parametrize("text", ["+15550100", "Ada", "a; b", "(X11; Linux x86_64)", "", "Émile", "{}", "1", "/x?y=1"])
def test_ordinary_rows_stay_as_they_are(text: str) -> None:
    assert written_as(["Lead", text, text]) == ["Lead", text, text]


# Characters that cannot be seen. The first six were found by an attacker, the others are of their kind.
FOUND = [*"\u00ad\u2060\u202e\u061c\u180e\u2800"]
NEIGHBOURS = [
    *"\u200b\u200c\u200d\u200e\u2061\u2064\u2066\u2069\u206a\u206f\u034f\u115f\u1160\u3164\uffa0\u17b4\u17b5\u180b\u180f",
    *"\ufe00\ufe0f\ufff9\U0001d173\U000e0001\U000e0041\U000e0100\x00\x07\x08\x0b\x0c\x1b\x1c\x1f\x7f\x85\xa0\u1680\u2003",
    *"\u2028\u2029\u202f\u205f\u3000\ufeff",
]
BEGINNINGS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
    "﹦1",
    "=cmd|' /C calc'!A0",
    "+44 20 7946 0958",
)


@pytest.mark.parametrize("unseen", [*FOUND, *NEIGHBOURS], ids=lambda text: f"U+{ord(text):04X}")
def test_a_formula_behind_what_cannot_be_seen_is_a_formula(unseen: str) -> None:
    for beginning in BEGINNINGS:
        for text in (
            unseen + beginning,
            unseen * 3 + beginning,
            f'{unseen}"{unseen}{beginning}',
            f" {unseen}{beginning}",
        ):
            assert cell(text) == f"'{text}"
            assert written_as(["a", text, 1]) == ["a", f"'{text}", "1"]
        after = cell(f"a;{unseen}{beginning}")
        assert after == f"a;'{unseen}{beginning}" or unseen in "\t\r\n"


def test_every_character_that_cannot_be_seen_is_one() -> None:
    """All of this Python's Unicode: controls, format characters, spaces and ends of lines."""
    kinds = {"Cc", "Cf", "Zs", "Zl", "Zp"}
    unseen = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in kinds]
    assert len(unseen) > 200
    for character in unseen:
        text = f"{character}=1+1"
        assert written_as([text]) == [cell(text)]
        assert cell(text).startswith("'"), f"U+{ord(character):04X}"


@pytest.mark.parametrize(
    "text",
    [
        "a\u00ad=1",
        "so\u00adlar",
        "\u202eAda",
        "\u2060",
        "\u2800",
        "\u061cسلام",
        "⠓⠑",
        "‘=1’",
        "“+1”",
        "≠1",
        "é=1",
        "\u0301=1",
        "한=1",
    ],
)
def test_a_cell_that_begins_with_a_character_that_is_seen_stays(text: str) -> None:
    assert cell(text) == text
    assert written_as(["a", text]) == ["a", text]


@given(st.text(max_size=8), st.sampled_from([*FOUND, *NEIGHBOURS]), st.sampled_from(BEGINNINGS))
def test_a_formula_is_found_beside_any_other_cell(other: str, unseen: str, beginning: str) -> None:
    written = lead_export._texts([other, unseen + beginning, other])
    assert written == [cell(other), f"'{unseen}{beginning}", cell(other)]
