"""What is kept of answers that no field asks for: their names, their JSON types, and what is too much."""

import json
from typing import Any

import pytest

from webapp.services.intake.file_answers import file_entry
from webapp.services.intake.rules import JsonNumber
from webapp.services.intake.undeclared import MAX_BYTES, MOST, answers, collect, sort


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("pro", "pro"),
        ("  two  words ", "two  words"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\x00b\x07c\ud83d", "abc\ufffd"),
        ("محمد 👩‍🚀", "محمد 👩‍🚀"),
        (True, True),
        (False, False),
        (JsonNumber("12"), 12),
        (JsonNumber("0"), 0),
        (JsonNumber("-1.50"), -1.5),
        (JsonNumber("4915112345678901234"), "4915112345678901234"),
        (JsonNumber("1e999"), "1e999"),
        (["a", "b\x00"], ["a", "b"]),
        ({"city": " Berlin ", "n": JsonNumber("3"), "more": [None, {"x": "y"}]}, None),
        (file_entry("cv.pdf\x00", 12345), {"file": "cv.pdf", "size": 12345}),
    ],
)
def test_a_value_keeps_its_json_type_and_loses_only_what_no_database_stores(sent: Any, kept: Any) -> None:
    if kept is None:
        kept = {"city": "Berlin", "n": 3, "more": [None, {"x": "y"}]}
    assert collect([("it", sent)]) == {"it": kept}


@pytest.mark.parametrize("sent", ["", "  \n", None, [], {}, "\x00"])
def test_an_empty_value_says_nothing_and_is_left_out_without_a_count(sent: Any) -> None:
    assert collect([("it", sent)]) == {}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("topics[]", "topics[]"),
        ("Company Name", "Company Name"),
        ("fields[email][value]", "fields[email][value]"),
        ("naïve ключ", "naïve ключ"),
        (" two\nlines\x00 ", "two lines"),
        ("", "unnamed"),
        ("n" * 300, "n" * 200),
        ("__proto__", "proto"),
        ("constructor", "constructor"),
        ("_subject", "_subject"),
        ("_left_out", "left_out"),
        ("_cut", "cut"),
    ],
)
def test_a_name_is_kept_as_it_was_sent_unless_it_would_do_harm(sent: str, kept: str) -> None:
    assert collect([(sent, "x")]) == {kept: "x"}
    assert collect([("it", {sent: "x"})]) == {"it": {kept: "x"}}


def test_two_names_that_become_the_same_are_one_list() -> None:
    assert collect([("a", "1"), ("a\x00", "2"), ("a ", ["3"])]) == {"a": ["1", "2", "3"]}


def test_of_more_than_50_names_the_first_50_are_kept_and_the_others_counted() -> None:
    found = collect((f"n{number}", "x") for number in range(MOST + 3))
    assert list(answers(found)) == [f"n{number}" for number in range(MOST)]
    assert found["_left_out"] == 3


@pytest.mark.parametrize("character", ["a", "é", "€", "👩", '"', "\nx"])
def test_a_text_that_does_not_fit_is_cut_to_16_kb_and_marked(character: str) -> None:
    found = collect([("plan", "pro"), ("text", f"a{character * 100_000}z"), ("company", "Brightwater"), ("n", "1")])
    size = len(json.dumps(answers(found), ensure_ascii=False).encode())
    assert MAX_BYTES - 300 < size <= MAX_BYTES
    assert found["_cut"] == ["text"]
    assert found["plan"] == "pro"
    assert found["text"].startswith("a")


def test_what_comes_after_the_limit_is_counted() -> None:
    found = collect([("text", "a" * 100_000), ("company", "B" * 200), ("list", ["c" * 200])])
    assert list(answers(found)) == ["text"]
    assert (found["_cut"], found["_left_out"]) == (["text"], 2)


@pytest.mark.parametrize(
    "value",
    [
        ["x"] * 1001,
        [["x"] * 500] * 3,
        [[[[[["deep"]]]]]],
        {"a": {"b": {"c": {"d": {"e": {"f": "deep"}}}}}},
        ["y" * 20_000],
    ],
)
def test_a_list_or_object_that_is_too_big_or_too_deep_is_left_out_whole(value: Any) -> None:
    assert collect([("before", "x"), ("it", value), ("after", "y")]) == {"before": "x", "after": "y", "_left_out": 1}


def test_five_levels_are_kept() -> None:
    value = {"a": [{"b": [["c"]]}]}
    assert collect([("it", value)]) == {"it": value}


def of_form(repeated: dict[str, list[str]], known: set[str], others: dict[str, str] | None = None) -> Any:
    values = {name: several[-1] for name, several in repeated.items()}
    return sort(values, repeated, frozenset(known), others or {})


def test_a_name_that_came_several_times_or_ends_in_brackets_is_a_list() -> None:
    sent = {"name": ["Ada"], "a[]": ["1"], "b[]": ["1", "2"], "c": ["1", "2"], "d": ["1"], "e": ["", "1"], "f[]": [""]}
    found = of_form(sent, {"name"}).undeclared
    assert found == {"a[]": ["1"], "b[]": ["1", "2"], "c": ["1", "2"], "d": "1", "e": "1"}


def test_a_field_gets_what_was_sent_under_its_other_name() -> None:
    found = of_form({"Topics[]": ["a", "b"], "x": ["1"]}, {"topics"}, {"Topics[]": "topics"})
    assert found.repeated["topics"] == ["a", "b"]
    assert found.values == {"topics": "b", "x": "1"}
    assert found.undeclared == {"x": "1"}


def test_the_key_of_a_field_counts_before_its_other_name() -> None:
    found = of_form({"Company": ["old"], "company": ["new"]}, {"company"}, {"Company": "company"})
    assert (found.values["company"], found.undeclared) == ("new", {"Company": "old"})
