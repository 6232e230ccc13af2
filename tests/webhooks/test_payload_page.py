"""docs/payloads.md: its examples give what it says, and it names every filter, key and preset."""

import json
import re

import pytest

from tests.support.tree import ROOT
from tests.webhooks.leads import document, keys
from webapp.webhooks.formats.choices import FORMATS
from webapp.webhooks.formats.filters import FILTERS
from webapp.webhooks.formats.known_names import names_of
from webapp.webhooks.formats.template import PayloadTemplate
from webapp.webhooks.formats.tree import KEYS
from webapp.webhooks.presets.catalogue import PRESETS

PAGE = (ROOT / "docs" / "payloads.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```\n\ngives\n\n```json\n(.*?)\n```", PAGE, re.DOTALL)
FIELDS = {
    "name": "Ada Lovelace",
    "email": "Ada@Example.com",
    "phone": "+1 555 0100",
    "company": "",
    "guests": "12",
    "message": "Please call me soon",
}


@pytest.mark.parametrize(("template", "expected"), EXAMPLES)
def test_an_example_gives_what_the_page_says(template: str, expected: str) -> None:
    of = document(FIELDS)
    body = PayloadTemplate.of(template, keys(of)).render(of).decode()
    assert json.loads(body) == json.loads(expected)
    assert body == expected


def test_the_page_has_examples_and_names_everything() -> None:
    assert len(EXAMPLES) == 2
    for name in (*FILTERS, *names_of([])):
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", PAGE), name
    for key in KEYS:
        assert f'`"{key}"' in PAGE
    for preset in PRESETS.values():
        assert f"| {preset.title} |" in PAGE
    for kind in FORMATS.values():
        assert f"**{kind.title}**" in PAGE
