"""Which leads a webhook gets. A table of comparisons, then what cannot be saved, and conditions as text."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.webhooks.condition_texts import parse, printed
from webapp.webhooks.conditions import SPAM, WORDS, Condition, known_fields
from webapp.webhooks.payload import lead_payload
from webapp.webhooks.settings import WrongSetting

FIELDS: dict[str, Any] = {
    "country": " Germany ",
    "company": "",
    "blank": "  ",
    "phone": None,
    "message": "Please call me.\nI want a DEMO",
    "budget": 12.5,
    "seats": 1000,
    "products": ["Roof", "Battery"],
    "nothing": [],
    "newsletter": True,
    "calls": False,
    "files": [{"name": "plan.pdf", "size": 4, "type": "application/pdf", "url": "https://example.com/a"}],
}
SOURCE = {
    "page_url": "https://example.com/pricing?a=1",
    "utm": {"source": "Newsletter", "campaign": "spring"},
    "click_ids": {"gclid": "abc"},
}
KNOWN = known_fields(
    [
        ("country", "Country", "text"),
        ("phone", "Phone", "phone"),
        ("products", "Products", "checkboxes"),
        ("newsletter", "Newsletter", "consent"),
        ("title", "About you", "heading"),
    ]
)


def document(fields: dict[str, Any] = FIELDS, source: dict[str, Any] = SOURCE) -> dict[str, Any]:
    """As a receiver gets it, and read again."""
    body = lead_payload(
        event="lead.created",
        lead_id="lead_1",
        received_at=datetime(2026, 11, 27, tzinfo=UTC),
        fields=fields,
        interface_id="int_1",
        interface_name="Contact sales",
        source=source,
        consents=[{"key": "terms", "text": "I agree", "version": 1, "given": True, "at": "x", "page": None}],
    )
    read: dict[str, Any] = json.loads(body)
    return read


def condition(*rules: tuple[str, str, str], match: str = "all", known: Any = None) -> Condition:
    stored = [{"field": field, "is": comparison, "value": value} for field, comparison, value in rules]
    return Condition.of({"match": match, "rules": stored}, known)


def holds(field: str, comparison: str, value: str = "", spam: bool = False) -> bool:
    return condition((field, comparison, value)).holds(document(), spam)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("country", "Germany"),
        ("country", "  gErMaNy "),
        ("country", "\uff27ermany"),  # a letter of full width
        ("budget", "12.5"),
        ("budget", "12,5"),
        ("budget", "12.50"),
        ("seats", "1000"),
        ("seats", "1000.0"),
        ("products", "roof"),
        ("products", "battery"),
        ("newsletter", "yes"),
        ("newsletter", " Yes"),
        ("calls", "no"),
        ("files", "plan.pdf"),
        ("terms", "yes"),  # a consent that is not among the answers
        ("utm_source", "newsletter"),
        ("gclid", "ABC"),
        ("page_url", "https://example.com/pricing?a=1"),
    ],
)
def test_a_lead_is_sent_if_the_answer_is_the_value(field: str, value: str) -> None:
    assert holds(field, "is", value)
    assert not holds(field, "is_not", value)
    assert holds(field, "in_list", f"something else\n\n{value}\n")
    assert not holds(field, "not_in_list", f"something else\n{value}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("country", "German"),
        ("country", "Austria"),
        ("budget", "125"),
        ("budget", "twelve"),
        ("seats", "1,000"),  # a thousand for some, one for others
        ("products", "Roof, Battery"),
        ("newsletter", "no"),
        ("newsletter", "true"),
        ("company", "Acme"),
        ("phone", "None"),
        ("nothing", "Roof"),
        ("removed_since", "x"),
        ("utm_medium", "mail"),
        ("fbclid", "abc"),
    ],
)
def test_and_is_not_sent_if_it_is_another_one(field: str, value: str) -> None:
    assert not holds(field, "is", value)
    assert holds(field, "is_not", value)
    assert not holds(field, "in_list", value)
    assert holds(field, "not_in_list", value)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("message", "demo", True),
        ("message", "call me", True),
        ("message", "offer", False),
        ("products", "oo", True),
        ("products", "Roof Battery", False),
        ("page_url", "/pricing", True),
        ("seats", "00", True),
        ("company", "a", False),
        ("phone", "n", False),
        ("files", ".PDF", True),
    ],
)
def test_a_part_of_an_answer_is_found(field: str, value: str, expected: bool) -> None:
    assert holds(field, "contains", value) is expected
    assert holds(field, "contains_not", value) is not expected


@pytest.mark.parametrize(
    ("field", "is_empty"),
    [
        *[(field, True) for field in ("company", "blank", "phone", "nothing", "removed_since", "utm_medium", "fbclid")],
        *[(field, False) for field in ("country", "seats", "products", "newsletter", "calls", "files", "gclid")],
    ],
)
def test_an_answer_is_empty_or_not(field: str, is_empty: bool) -> None:
    assert holds(field, "empty") is is_empty
    assert holds(field, "not_empty") is not is_empty


@pytest.mark.parametrize("spam", [True, False])
def test_spam_is_one_of_the_fields(spam: bool) -> None:
    assert holds("spam", "is", "yes", spam) is spam
    assert holds("spam", "is", "no", spam) is not spam
    assert condition(("spam", "is", "no")).names_spam
    assert not condition(("country", "is", "spam")).names_spam


def test_all_rules_must_hold_or_any_of_them() -> None:
    rules = ("country", "is", "Germany"), ("seats", "is", "5")
    assert not condition(*rules).holds(document())
    assert condition(*rules, match="any").holds(document())
    assert not condition(*rules, match="any").holds(document({**FIELDS, "country": "Austria"}))


def test_twenty_rules_and_a_thousand_lines_are_allowed() -> None:
    lines = "\n".join(map(str, range(1000)))
    assert condition(*[("seats", "not_in_list", lines)] * 20).holds(document())


def test_texts_are_compared_in_one_unicode_form() -> None:
    answers = document({"city": "Köln", "street": "STRASSE"})
    assert condition(("city", "is", "ko\u0308ln")).holds(answers)
    assert condition(("street", "is", "Straße")).holds(answers)


def test_a_condition_is_said_in_words() -> None:
    rules = ("country", "is", "Germany"), ("newsletter", "is", "yes")
    assert condition(*rules, known=KNOWN).in_words() == "Only if Country is Germany and Newsletter is yes"
    any_of = condition(("phone", "empty", ""), ("products", "contains_not", " Roof "), match="any", known=KNOWN)
    assert any_of.in_words() == "Only if Phone is empty or Products does not contain Roof"
    listed = condition(("country", "in_list", "A\nB\nC\nD\nE"), ("spam", "is", "no"), known=KNOWN)
    assert listed.in_words() == "Only if Country is one of A, B, C and 2 more and Spam is no"


RULE = {"field": "country", "is": "is", "value": "DE"}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (None, "at least one rule"),
        ("country is DE", "at least one rule"),
        ({"match": "all", "rules": []}, "at least one rule"),
        ({"match": "none", "rules": [RULE]}, "all rules must hold, or any"),
        ({"rules": [RULE] * 21}, "at most 20 rules; this one has 21"),
        ({"rules": ["country"]}, "Rule 1 names no field"),
        ({"rules": [RULE, {**RULE, "field": ""}]}, "Rule 2 names no field"),
        ({"rules": [{**RULE, "is": "equals"}]}, "how country is compared"),
        ({"rules": [{**RULE, "is": ["is"]}]}, "how country is compared"),
        ({"rules": [{**RULE, "field": "contry"}]}, "the field contry, which this interface does not have"),
        ({"rules": [{**RULE, "field": "title"}]}, "the field title, which this interface does not have"),
        ({"rules": [{**RULE, "field": "utm_sauce"}]}, "the field utm_sauce"),
        ({"rules": [{**RULE, "value": " "}]}, "Say what Country is compared with"),
        ({"rules": [{**RULE, "is": "in_list", "value": "\n \n"}]}, "Say what Country is compared with"),
        ({"rules": [{**RULE, "value": 5}]}, "The value for Country is a text"),
        ({"rules": [{**RULE, "value": "x" * 501}]}, "at most 500 characters"),
        ({"rules": [{**RULE, "value": "D\nE"}]}, "line break"),
        ({"rules": [{**RULE, "is": "in_list", "value": "a\n" * 1001}]}, "at most 1,000 lines; this one has 1,001"),
        ({"rules": [{**RULE, "field": "newsletter", "value": "maybe"}]}, "Newsletter is yes or no"),
        ({"rules": [{**RULE, "field": "newsletter", "is": "empty"}]}, "Newsletter is yes or no"),
        ({"rules": [{**RULE, "field": "spam", "is": "contains", "value": "yes"}]}, "Spam is yes or no"),
    ],
)
def test_what_is_no_condition_is_refused_in_words(stored: object, words: str) -> None:
    with pytest.raises(WrongSetting, match=words) as refused:
        Condition.of(stored, KNOWN)
    assert refused.value.setting == "condition"


def test_a_field_that_was_removed_since_is_empty_and_stops_nothing() -> None:
    stored = {"rules": [{"field": "gone", "is": "empty"}]}
    with pytest.raises(WrongSetting):
        Condition.of(stored, KNOWN)
    assert Condition.of(stored).holds(document())


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("country is DE and newsletter is yes", [("country", "is", "DE"), ("newsletter", "is", "yes")]),
        ("country IS NOT New York", [("country", "is_not", "New York")]),
        ("city is empty", [("city", "empty", "")]),
        ("city is not empty", [("city", "not_empty", "")]),
        ('city is "empty"', [("city", "is", "empty")]),
        ('city is "Stoke and Trent"', [("city", "is", "Stoke and Trent")]),
        ("city contains  New,  York ", [("city", "contains", "New,  York")]),
        ("city contains not x", [("city", "contains_not", "x")]),
        ("city does not contain x", [("city", "contains_not", "x")]),
        ('country in DE, New York,"a, b"', [("country", "in_list", "DE\nNew York\na, b")]),
        ("country not in DE,AT", [("country", "not_in_list", "DE\nAT")]),
        ('name is "a \\"b\\" \\\\"', [("name", "is", 'a "b" \\')]),
        ('"and" is x', [("and", "is", "x")]),
    ],
)
def test_a_condition_is_read_from_text(text: str, rules: list[tuple[str, str, str]]) -> None:
    found = parse(text)
    assert [(rule["field"], rule["is"], rule["value"]) for rule in found["rules"]] == rules
    assert found["match"] == "all"
    assert parse(printed(Condition.of(found))) == found


def test_or_joins_the_rules_of_a_text_too() -> None:
    found = parse("a is 1 OR b is 2 or c is 3")
    assert found["match"] == "any"
    assert printed(Condition.of(found)) == "a is 1 or b is 2 or c is 3"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one rule"),
        ("  ", "at least one rule"),
        ("country", "After the field country comes one of: is not empty, is empty"),
        ("country = DE", "After the field country comes one of"),
        ("country is", "Say what country is compared with"),
        ("country is DE and", "A rule of the condition is missing"),
        ("and country is DE", "A rule of the condition is missing"),
        ("country is DE and and city is X", "A rule of the condition is missing"),
        ("a is 1 and b is 2 or c is 3", "not by both"),
        ('country is "DE', "not closed"),
        ('country is "DE" AT', "comes “and”, “or”"),
        ("city is Stoke and Trent", "After the field Trent"),
    ],
)
def test_a_text_that_is_no_condition_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(WrongSetting, match=words):
        Condition.of(parse(text))


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
RULES = st.tuples(NAMES, st.sampled_from(list(WORDS)), VALUES).filter(lambda rule: rule[0] != SPAM and rule[2].strip())


@settings(max_examples=50)
@given(st.sampled_from(["all", "any"]), st.lists(RULES, min_size=1, max_size=4))
def test_every_condition_can_be_printed_and_read_again(match: str, rules: list[tuple[str, str, str]]) -> None:
    first = condition(*rules, match=match)
    again = Condition.of(parse(printed(first)))
    assert [(rule.field, rule.comparison, rule.wanted) for rule in again.rules] == [
        (rule.field, rule.comparison, rule.wanted) for rule in first.rules
    ]
    assert again.match == first.match or len(rules) == 1
