"""What an answer that is no success means: the table in the code, and the same in the document for receivers."""

import re

import pytest

from tests.support.tree import ROOT
from webapp.webhooks.answer_rows import ROWS, row_of_code

PAGE = (ROOT / "docs" / "receivers" / "failures.md").read_text()
SECTION = PAGE.partition("## An answer that is no success")[2].partition("\n## ")[0]


def written(codes: tuple[tuple[int, int], ...]) -> str:
    """As the document writes them."""
    if codes == ((400, 499),):
        return "other codes from 400 to 499"
    singly = [str(code) for first, last in codes if last - first < 2 for code in range(first, last + 1)]
    return ", ".join(singly) or "{} to {}".format(*codes[0])


def plain(markdown: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "")


def test_the_document_has_each_row_and_no_other() -> None:
    in_document = [
        tuple(map(plain, row)) for row in re.findall(r"^\| ([^|]*\d) \| (.*) \| (.*) \|$", SECTION, re.MULTILINE)
    ]
    assert in_document == [(written(row.codes), row.cause, row.step) for row in ROWS]


@pytest.mark.parametrize(("code", "cause"), [(301, "The address has"), (403, "The signature"), (405, "The path is")])
def test_a_code_has_the_row_that_names_it(code: int, cause: str) -> None:
    row = row_of_code(code)
    assert row
    assert row.cause.startswith(cause)


def test_every_code_that_is_no_success_has_a_row() -> None:
    assert [code for code in range(200, 1000) if row_of_code(code)] == list(range(300, 600))
