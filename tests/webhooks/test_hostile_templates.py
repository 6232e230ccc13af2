"""Templates that are legal, or nearly, and want more than a template may have: they end soon and take little memory."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.tree import ROOT
from tests.webhooks.leads import document, keys, longest
from webapp.webhooks.formats.places import MAX_SOURCE
from webapp.webhooks.formats.template import PayloadTemplate, _node
from webapp.webhooks.formats.work import MAX_OUTPUT, CannotRender
from webapp.webhooks.settings import WrongSetting

SECONDS, BYTES = 0.25, 32 * 1024 * 1024
LEAD = longest("😀")
KEY = keys(LEAD)[-1]


def one(expression: str) -> str:
    return json.dumps({"a": "{{ " + expression + " }}"}, ensure_ascii=False)


def loops(depth: int, inside: Any) -> Any:
    for number in range(depth):
        inside = {"$each": "{{ fields }}", "$as": f"e{number}", "$value": inside}
    return inside


def filled(unit: str, before: str = "", after: str = "", separator: str = "") -> str:
    """The unit as often as a template's length allows."""
    count = (MAX_SOURCE - 40 - len(before) - len(after)) // (len(unit) + len(separator))
    return before + separator.join([unit] * count) + after


LONG = f"fields.{KEY}"
CASES = {
    "three loops in one another": json.dumps(loops(3, "{{ fields.name }}")),
    "twelve loops in one another": json.dumps(loops(12, "x")),
    "loops that make nothing": json.dumps([loops(5, {"$if": "{{ fields.none_such_value }}"})]).replace(
        "fields.none_such_value", "lead.test"
    ),
    "many loops side by side": json.dumps([loops(1, "{{ e0.value | upper }}")] * 150),
    "a large loop inside of a loop": json.dumps(loops(1, ["{{ fields.name | upper }}"] * 600)),
    "one text joined many times": one(filled(LONG, separator=" ~ ")),
    "a short text joined many times": one(filled("fields.name", separator=" ~ ")),
    "doubling by replace": one(LONG + "".join(f" | replace('{a}', '{b * 500}')" for a, b in ["😀x", "xy", "yz"] * 8)),
    "one replace with a long text": one(f"{LONG} | replace('😀', '{'z' * 19_000}')"),
    "a chain of split and join": one(LONG + " | split('😀') | join('xxxxxxxxxx')" * 20),
    "the longest join": one(f"{LONG} | replace('😀', 'a ') | split | join('{'y' * 15_000}')"),
    "a chain of filters": one(filled("upper", f"{LONG} | ", separator=" | ")),
    "many filters side by side": json.dumps(["{{ data | json | escape | upper | lower }}"] * 400),
    "the whole lead, many times": json.dumps(["{{ data }}"] * 1300),
    "the whole lead as text, many times": json.dumps(["x {{ data }}"] * 1200),
    "the whole lead in a loop": json.dumps(loops(2, "{{ data }}")),
    "comparing large values": json.dumps(["{{ data == lead or data != source }}"] * 450),
    "looking for a text in a large one": json.dumps([{"$if": "{{ 'zz' in " + LONG + " }}"}] * 130),
    "pairs in loops": json.dumps(loops(2, "{{ fields | pairs | fit(100) | chunks(1) }}")),
    "fitting many pieces": json.dumps(["{{ fields.name | split('😀') | fit(1000) }}"] * 330),
    "fitting in bytes": json.dumps(["{{ fields | pairs | fit_bytes(100000) }}"] * 350),
    "lists of lists": one(f"fields | pairs{' | chunks(1)' * 25}"),
    "dates in loops": json.dumps(loops(2, "{{ lead.received_at | date('Europe/Berlin', '%Y%Y%Y%Y') }}")),
    "very deep brackets": one("(" * 9_000 + "1" + ")" * 9_000),
    "very deep negation": one("not " * 4_900 + "true"),
    "a very long chain of parts": one("undeclared" + ".a" * 9_000),
    "a very long chain of ~": one("1" + "~1" * 9_900),
    "very many short expressions": json.dumps(["{{1~1}}"] * 1_700),
    "a very long chain of or": one(filled("fields.name", separator=" or ")),
    "very many lists in one another": "[" * 9_000 + "]" * 9_000,
    "very many objects in one another": '{"a":' * 3_300 + "1" + "}" * 3_300,
    "very many expressions": json.dumps(["{{type}}"] * 1600),
    "very many expressions in one text": json.dumps(["{{type}}" * 2400]),
    "very many unended expressions": json.dumps(["{{" * 9_000]),
    "a number of very many digits": one("9" * 19_000),
    "a JSON number of very many digits": "9" * 19_000,
    "a power of powers": one("**".join(["9"] * 6_000)),
    "a text repeated": one("'x' * 999999999"),
    "a range": one("range(999999999)"),
    "padding by a format": one("lead.received_at | date('UTC', '%999999999d')"),
    "padding by a format of Python": one("'%999999999d' % 1"),
    "a method of a text": one("fields.name.ljust(999999999)"),
    "an escape of a text": json.dumps({"a": "{{ '" + "\\x41" * 3_900 + "' }}"}),
    "a very long name": one("n" * 19_000),
    "a very long name of a field": one("fields." + "n" * 19_000),
    "a very long name of a filter": one("type | " + "n" * 19_000),
    "very many quotation marks": one("'\\" * 4_000),
    "very many brackets that begin an expression": json.dumps(["{ { {" * 3_000]),
    "a template that is too long": json.dumps("x" * 30_000),
}


def used(source: str) -> str:
    """What becomes of it: the end of each is a sentence, or a payload that is not too long."""
    _node.cache_clear()
    try:
        body = PayloadTemplate.of(source, keys(LEAD)).render(LEAD)
    except (WrongSetting, CannotRender) as error:
        return str(error)
    assert len(body) <= MAX_OUTPUT
    return "rendered"


ANSWERS: dict[str, str] = {}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_template_ends_soon(name: str) -> None:
    taken: list[float] = []
    while not taken or (taken[-1] >= SECONDS and len(taken) < 3):  # other programs on the machine slow it down
        began = time.process_time()
        ANSWERS[name] = used(CASES[name])
        taken.append(time.process_time() - began)
    assert min(taken) < SECONDS
    assert 0 < len(ANSWERS[name]) < 600, "a sentence for people"


def test_most_of_them_are_stopped() -> None:
    ended = [name for name, source in CASES.items() if (ANSWERS.get(name) or used(source)) != "rendered"]
    assert len(ended) >= 35, ended


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("three loops in one another", "more than 10,000 turns"),
        ("doubling by replace", "too much text of this lead"),
        ("the whole lead in a loop", "longer than 256 KB"),
        ("very many expressions", "The expressions of this template are too long"),
        ("a very long chain of or", "This expression is too deep"),
        ("very many lists in one another", "At most 40 lists and objects"),
        ("a template that is too long", "at most 20,000 characters"),
    ],
)
def test_the_sentence_says_which_limit_was_met(name: str, words: str) -> None:
    assert words in used(CASES[name])


RUN_ALL = """
import resource
from pathlib import Path
from tests.webhooks.test_hostile_templates import BYTES, CASES, used

used('["{{ fields.name | upper }}"]')
most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + BYTES
resource.setrlimit(resource.RLIMIT_AS, (most, most))
print(len([used(source) for source in CASES.values()]))
try:
    bytearray(BYTES + 1)
except MemoryError:
    print("bounded")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Only Linux bounds the memory of a process so")
def test_hostile_templates_take_little_memory() -> None:
    """All of them run in a process that may have no more memory than that. The last line proves that it may not."""
    run = subprocess.run([sys.executable, "-c", RUN_ALL], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split() == [str(len(CASES)), "bounded"], run.stderr


def test_an_ordinary_lead_is_rendered_by_what_the_longest_is_not() -> None:
    ada = document()
    template = PayloadTemplate.of(json.dumps(loops(2, "{{ fields.name }}")), keys(ada))
    assert len(json.loads(template.render(ada))) == 4
    with pytest.raises(CannotRender, match="KB"):
        PayloadTemplate.of('["{{ fields }}", "{{ fields }}"]', keys(LEAD)).render(LEAD)
