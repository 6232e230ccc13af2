"""The export looks at a row at once; it must never find less than when it looks at each cell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.services.leads import lead_export
from webapp.services.leads.lead_export import cell

DANGEROUS = list("=+-@＝＋－＠;\t\r\n\"' \u200b\u200f\ufeff\u00ad\u2060\u202e\x1f|!(a1,:")
TEXTS = st.text(alphabet=st.sampled_from(DANGEROUS), max_size=8)
CELLS = st.one_of(TEXTS, st.text(max_size=8), st.none(), st.integers(), st.booleans(), st.lists(TEXTS, max_size=3))


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_a_row_is_what_its_cells_are(row: list[object]) -> None:
    assert lead_export._texts(row) == [cell(value) for value in row]


@pytest.mark.parametrize(
    "text",
    ["=1+1", " =1+1", '"=1', "+15550100x", "-2", "@SUM(A1)", "＝1", "a;=1", "a\n=1", "a\t@x", "x; - cmd|'x'!A0", "\t1"],
)
def test_a_formula_is_found_wherever_it_stands_in_a_row(text: str) -> None:
    for row in ([text], ["a", text], [text, "a"], ["", text, ""], [1, text], ["+15550100", text, "a;b"]):
        written = lead_export._texts(row)
        assert written == [cell(value) for value in row]
        assert "'" in written[row.index(text)]


@pytest.mark.parametrize("text", ["+15550100", "Ada", "a; b", "(X11; Linux x86_64)", "", "Émile", "{}", "1", "/x?y=1"])
def test_ordinary_rows_stay_as_they_are(text: str) -> None:
    assert lead_export._texts(["Lead", text, text]) == ["Lead", text, text]
