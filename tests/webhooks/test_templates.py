"""The language of templates: JSON in which texts hold expressions."""

import json
from typing import Any

import pytest

from tests.webhooks.leads import document, keys
from tests.webhooks.test_as_javascript import printed_again
from webapp.webhooks.formats.template import PayloadTemplate
from webapp.webhooks.formats.work import CannotRender

FIELDS: dict[str, Any] = {
    "name": "Ada King Lovelace",
    "email": "Ada@Example.com",
    "phone": "+1 (555) 0100",
    "topics": ["news", "b & c"],
    "guests": "12",
    "price": 0.00001,
    "whole": 3.0,
    "day": "2027-03-31",
    "yes": True,
    "no": False,
    "empty": "",
    "none": None,
    "nothing": [],
    "message": 'Call <me> & say "hi" \\ 🚀\nsoon',
    "cv": [{"name": "cv.pdf", "size": 71, "type": "application/pdf", "url": "https://leads.example.com/f/abc"}],
}
LEAD = document(FIELDS, undeclared={"extra": {"deep": [1, 2]}})


def bytes_of(template: Any, of: dict[str, Any] = LEAD, encode: str = "json") -> bytes:
    source = template if isinstance(template, str) else json.dumps(template)
    return PayloadTemplate.of(source, keys(of), encode).render(of)


def rendered(template: Any, of: dict[str, Any] = LEAD) -> Any:
    return json.loads(bytes_of(template, of))


def value(expression: str, of: dict[str, Any] = LEAD) -> Any:
    return rendered({"a": "{{ " + expression + " }}"}, of)["a"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # the twelve tasks
        ("fields.email", "Ada@Example.com"),
        ("fields | pick('e_mail', 'email', 'name')", "Ada@Example.com"),
        ("fields.empty | default('none')", "none"),
        ("fields.name | first_name", "Ada"),
        ("fields.name | last_name", "King Lovelace"),
        ("fields.name | split | first", "Ada"),
        ("fields.topics | join('; ')", "news; b & c"),
        ("lead.received_at | date('Europe/Berlin', '%d.%m.%Y %H:%M')", "23.11.2026 09:00"),
        ("fields.name | upper", "ADA KING LOVELACE"),
        ("fields.phone | digits", "15550100"),
        ("fields.guests | number", 12),
        ("fields.message | escape", 'Call &lt;me&gt; &amp; say "hi" \\ 🚀\nsoon'),
        # neighbours
        ("lead.received_at | date('America/New_York')", "2026-11-23T03:00:00-05:00"),
        ("lead.received_at | date('Asia/Kathmandu', '%H:%M %z')", "13:45 +0545"),
        ("lead.received_at | date", "2026-11-23T08:00:00+00:00"),
        ("lead.received_at | epoch_ms", 1795420800123),
        ("fields.day | date('Pacific/Kiritimati', '%d %B %Y')", "31 March 2027"),
        ("fields.day | date('Pacific/Kiritimati')", "2027-03-31"),
        ("fields.empty | date('Europe/Berlin')", ""),
        ("fields.none | date", None),
        ("fields.name | date('UTC', '%Y', 'no date')", "no date"),
        ("fields.none | number", None),
        ("fields.empty | number", None),
        ("fields.price | number", 0.00001),
        ("'-1200.50' | number", -1200.5),
        ("fields.name | number(0)", 0),
        ("fields.name | number(none)", None),
        ("fields.topics | upper", ["NEWS", "B & C"]),
        ("fields.name | lower | replace(' ', '-')", "ada-king-lovelace"),
        ("'Ada' | first_name", ""),
        ("'Ada' | last_name", "Ada"),
        ("'  Ada   Byron ' | last_name", "Byron"),
        ("'a, b,c' | split(',')", ["a", "b", "c"]),
        ("'a, b,c' | split(',') | last", "c"),
        ("'first_name' | words", "First name"),
        ("fields.yes | yes_no", "Yes"),
        ("fields.no | yes_no('ja', 'nein')", "nein"),
        ("fields.empty | yes_no", ""),
        ("fields.message | url", "Call%20%3Cme%3E%20%26%20say%20%22hi%22%20%5C%20%F0%9F%9A%80%0Asoon"),
        ("fields.cv | text", "https://leads.example.com/f/abc"),
        ("fields.cv[0].name", "cv.pdf"),
        ("fields.cv[5].name", None),
        ("fields['email']", "Ada@Example.com"),
        ("'=1+1' | cell", "'=1+1"),
        ("fields.phone | cell", "'+1 (555) 0100"),
        ("fields.name | cell", "Ada King Lovelace"),
        ("fields.topics | json", '["news","b & c"]'),
        ("fields.message | length", 30),
        ("fields.topics | length", 2),
        ("fields.no | default(true)", False),
        ("fields.topics | take(1)", ["news"]),
        ("undeclared.extra.deep[1]", 2),
        ("source.utm.source", "newsletter"),
        ("source.first_touch.utm.source", None),
        ("source.click_ids.gclid", None),
        ("data.interface.name ~ ' / ' ~ type", "Contact sales / lead.created"),
        ("fields.empty or fields.none or 'x'", "x"),
        ("fields.name and fields.email", "Ada@Example.com"),
        ("not fields.empty", True),
        ("fields.guests == '12' and fields.whole == 3", True),
        ("fields.whole > 2 and fields.whole <= 3", True),
        ("fields.name < 5", False),
        ("fields.name != 5", True),
        ("'news' in fields.topics", True),
        ("'King' in fields.name", True),
        ("fields.name not in ['Ada', 'Bob']", True),
        ("5 in fields.name", False),
        ("-5 < fields.whole", True),
        # a lone expression keeps its type
        ("fields.whole", 3),
        ("fields.topics", ["news", "b & c"]),
        ("fields.yes", True),
        ("fields.none", None),
        ("interface", {"id": "if_8Kx2", "name": "Contact sales"}),
    ],
)
def test_an_expression_gives(expression: str, expected: object) -> None:
    found = value(expression)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("New lead: {{ fields.name }} <{{ fields.email }}>", "New lead: Ada King Lovelace <Ada@Example.com>"),
        ("{{ fields.guests }} guests", "12 guests"),
        ("{{ fields.price }}, {{ fields.whole }}, {{ fields.yes }}, {{ fields.none }}.", "0.00001, 3, true, ."),
        ("topics: {{ fields.topics }}", "topics: news, b & c"),
        (" {{ fields.name }}", " Ada King Lovelace"),
        ("{{ '{{' }} and {{ '{%' }}", "{{ and {%"),
        ("}} { } %}", "}} { } %}"),
        ('{{ "a\\"b}}" }}!', 'a"b}}!'),
        ("line\n{{ fields.guests }}\r\nend\u2028", "line\n12\nend\u2028"),
    ],
)
def test_text_around_expressions(text: str, expected: str) -> None:
    assert rendered([text]) == [expected]


def test_values_of_json_stay_as_they_are() -> None:
    plain = {"a": [1, 2.5, True, False, None, "x", {}, []], "b": {"c": "🚀"}, "": ""}
    assert rendered(plain) == plain
    assert rendered("5") == 5
    assert rendered('"{{ fields.name }}"') == "Ada King Lovelace"


def test_a_loop_over_fields() -> None:
    template = {
        "all": {"$each": "{{ fields | pairs('message', 'cv') }}", "k": "{{ item.name }}", "v": "{{ item.value }}"}
    }
    assert rendered(template)["all"][:4] == [
        {"k": "Name", "v": "Ada King Lovelace"},
        {"k": "Email", "v": "Ada@Example.com"},
        {"k": "Phone", "v": "+1 (555) 0100"},
        {"k": "Topics", "v": "news, b & c"},
    ]
    values = {each["k"]: each["v"] for each in rendered(template)["all"]}
    assert "Empty" not in values
    assert "None" not in values
    assert (values["Yes"], values["No"], values["Whole"]) == ("Yes", "No", "3")


def test_loops_stand_in_lists_beside_other_elements_and_in_one_another() -> None:
    loop = {"$each": "{{ fields.topics }}", "$as": "topic", "$value": "{{ topic }}"}
    assert rendered([0, loop, 9]) == [0, "news", "b & c", 9]
    assert rendered([[loop]]) == [["news", "b & c"]]
    inner = {"$each": "{{ row }}", "$value": "{{ item.key }}"}
    outer = {"$each": "{{ fields | pairs | take(3) | chunks(2) }}", "$as": "row", "row": [inner]}
    assert rendered(outer) == [{"row": ["name", "email"]}, {"row": ["phone"]}]
    assert (
        rendered({"$each": "{{ fields.topics }}", "$value": {"$each": "{{ [1, 2] }}", "$value": "{{ item }}"}})
        == [[1, 2]] * 2
    )


def test_a_loop_takes_objects_single_values_and_nothing() -> None:
    assert rendered({"$each": "{{ interface }}", "$value": "{{ item.key ~ '=' ~ item.value }}"}) == [
        "id=if_8Kx2",
        "name=Contact sales",
    ]
    assert rendered({"$each": "{{ fields.guests }}", "$value": "{{ item }}"}) == ["12"]
    for nothing in ("empty", "none", "nothing"):
        assert rendered({"$each": "{{ fields." + nothing + " }}", "$value": 1}) == []


def test_a_loop_leaves_out_what_its_condition_refuses() -> None:
    template = {"$each": "{{ fields }}", "$if": "{{ item.value == true }}", "$value": "{{ item.key }}"}
    assert rendered(template) == ["yes"]


def test_a_condition_leaves_out_a_key_or_an_element() -> None:
    given = {"$if": "{{ fields.name }}", "x": 1}
    missing = {"$if": "{{ fields.empty }}", "x": 1}
    assert rendered({"a": given, "b": missing, "c": [given, missing]}) == {"a": {"x": 1}, "c": [{"x": 1}]}
    assert rendered({**missing, "$else": "no"}) == "no"
    assert rendered({**given, "$else": "no"}) == {"x": 1}
    assert rendered({"a": {"$if": "{{ fields.yes }}", "$value": ["{{ fields.guests }}"]}}) == {"a": ["12"]}


def test_empty_values_are_left_out_where_it_is_asked_for() -> None:
    values = {key: "{{ fields." + key + " }}" for key in ("name", "empty", "none", "nothing", "no", "whole")}
    assert rendered({"$drop_empty": True, **values}) == {"name": "Ada King Lovelace", "no": False, "whole": 3}
    inner = {"$drop_empty": True, "x": "{{ fields.none }}"}
    assert rendered({"$drop_empty": True, "a": inner, "b": 0}) == {"b": 0}
    assert rendered({"a": inner}) == {"a": {}}
    assert rendered({"$drop_empty": True, "$value": ["", "{{ fields.none }}", "x"]}) == ["x"]


def test_a_key_that_begins_with_a_dollar() -> None:
    assert rendered({"$$schema": "x", "$$each": 1, "a$": 2}) == {"$schema": "x", "$each": 1, "a$": 2}


@pytest.mark.parametrize(
    "answer", ['"', "\\", "\n\t\x00\x1f", "{{ fields.name }}", "</script>", "\u2028", "'", '"}]', "🚀"]
)
def test_no_answer_can_break_the_json_or_be_an_expression(answer: str) -> None:
    of = document({"name": answer})
    for template in ({"a": "{{ fields.name }}"}, {"a": "{{ '' ~ fields.name }}"}, {"a": "{{ fields.name }}{{ '' }}"}):
        assert rendered(template, of) == {"a": answer}


def test_half_a_surrogate_pair_is_replaced() -> None:
    of = document({"name": "a\ud83d"})
    assert rendered({"a": "{{ fields.name }}", "b": "{{ fields.name | cut(5) ~ fields.name | url }}"}, of)["a"] == "a�"


def test_node_prints_a_rendered_template_again_as_it_is() -> None:
    template = {"b": "{{ fields.price }}", "10": 1, "9": ["{{ fields.whole }}", 1e21, 1.5e-7], "a": "{{ undeclared }}"}
    numbered = document(FIELDS, undeclared={"2": "x", "1": "y"})
    bodies = [bytes_of(template), bytes_of(template, numbered), bytes_of({"a": "{{ fields.message }}"})]
    assert printed_again(bodies) == bodies


def test_a_template_can_be_sent_as_a_form() -> None:
    template = {
        "oid": "00D",
        "$drop_empty": True,
        "last_name": "{{ fields.name | last_name }}",
        "x": "{{ fields.empty }}",
    }
    assert bytes_of(template, encode="form") == b"oid=00D&last_name=King+Lovelace"
    made = PayloadTemplate.of(
        '{"a": "{{ fields.topics }}", "b": "{{ fields.yes }}", "c": "{{ fields.none }}"}', keys(LEAD), "form"
    )
    assert made.content_type == "application/x-www-form-urlencoded"
    assert made.render(LEAD) == b"a=news%2C+b+%26+c&b=true&c="


@pytest.mark.parametrize("expression", ["fields.name | number", "fields.name | date", "fields.message | epoch_ms"])
def test_what_a_lead_makes_impossible_is_one_sentence_with_the_place_and_without_the_answer(expression: str) -> None:
    with pytest.raises(CannotRender) as failed:
        bytes_of('{\n "rows": [1, {"a": "{{ ' + expression + ' }}"}]}')
    assert str(failed.value).startswith("Line 2, column 21, in rows[1].a: A text that is no ")
    assert "Lovelace" not in str(failed.value)


def test_a_part_that_a_lead_lacks_is_nothing() -> None:
    bare = document({"name": "Ada"}, source={})
    template = {"a": "{{ undeclared.extra.deep }}", "b": "{{ source.first_touch.at }}", "c": "{{ typed.name }}"}
    assert rendered(template, bare) == {"a": None, "b": None, "c": None}
