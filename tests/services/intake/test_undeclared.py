"""What is kept of answers that no field asks for: their names, their JSON types, and what is too much."""

import json
import math
from typing import Any

import pytest

from webapp.services.intake.file_answers import file_entry
from webapp.services.intake.packed_source import packed
from webapp.services.intake.rules import JsonNumber
from webapp.services.intake.undeclared import CARRIED, MAX_BYTES, MOST, answers, collect, sort


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


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "  \n",
        None,
        [],
        {},
        "\x00",
        [""],
        [None],
        {"a": None},
        [[]],
        [{}, ""],
        {"a": {"b": [" "]}},
        ["\x00", [None]],
    ],
)
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


SMALL = [(f"n{number}", "b" * 150) for number in range(6)]


@pytest.mark.parametrize("place", range(7))
def test_a_large_answer_pushes_out_no_small_one_wherever_it_comes(place: int) -> None:
    found = collect([*SMALL[:place], ("text", "a" * 40_000), *SMALL[place:]])
    assert list(answers(found)) == [name for name, _ in [*SMALL[:place], ("text", ""), *SMALL[place:]]]
    assert {name: found[name] for name, _ in SMALL} == dict(SMALL)
    assert (found["_cut"], "_left_out" in found, len(found["text"]) > 14_000) == (["text"], False, True)


@pytest.mark.parametrize("large", [["c" * 40_000], {"a": "d" * 40_000}, ["e"] * 900 + ["f" * 20_000]])
def test_a_large_list_or_object_is_left_out_and_the_small_ones_stay(large: Any) -> None:
    assert collect([("it", large), *SMALL]) == {**dict(SMALL), "_left_out": 1}


def test_of_several_large_texts_the_shorter_are_whole_and_the_next_is_cut() -> None:
    found = collect([("c", "c" * 30_000), ("a", "a" * 6_000), ("b", "b" * 12_000), ("z", "z")])
    assert list(answers(found)) == ["a", "b", "z"]
    assert (len(found["a"]), found["_cut"], found["_left_out"]) == (6_000, ["b"], 1)


def test_two_large_texts_under_names_that_become_the_same_are_one_list() -> None:
    assert collect([("a", "1" * 9_000), ("a ", "2" * 9_000), ("b", "x")]) == {"b": "x", "_left_out": 1}


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


@pytest.mark.parametrize("sent", [[0], [False], {"a": {"b": False}}, ["", "x"], [None, 0.0]])
def test_one_value_however_deep_is_an_answer_and_its_empty_neighbours_stay(sent: Any) -> None:
    assert collect([("it", sent)]) == {"it": sent}


# What a form that was shown again brings back -------------------------------------------------------------------------


def again(carried: Any, **sent: list[str]) -> Any:
    return of_form({**sent, CARRIED: [packed(carried)]}, {"name"}).undeclared


@pytest.mark.parametrize(
    "before",
    [
        {"company": "Acme"},
        {
            "topics[]": ["a", "b"],
            "cv": {"file": "cv.pdf", "size": 12345},
            "n": 7,
            "price": 1.5,
            "vip": True,
            "no": False,
        },
        {"id": "12345678901234567890", "utm": {"a": ["b", 0, None]}, "text": "one\ntwo  three", "محمد": "👩‍🚀"},
        {"text": "a" * 15_000, "_cut": ["text"], "_left_out": 3},
        {"referrer": "A friend told me"},
    ],
)
def test_what_was_kept_comes_back_unchanged_and_in_order(before: dict[str, Any]) -> None:
    found = again(before, name=["Ada"])
    assert list(found.items()) == list(before.items())
    assert list(again(found).items()) == list(before.items()), "and again"


def test_what_is_sent_anew_counts_before_what_is_carried() -> None:
    found = again({"company": "Old", "plan": "pro", "plan ": "x"}, company=["New"], more=["1"], plan=[""])
    assert found == {"company": "New", "more": "1"}


def test_what_was_cut_and_is_sent_anew_is_not_marked() -> None:
    found = again({"a": "aaa", "b": "bbb", "_cut": ["a", "b"]}, a=["new"])
    assert found == {"b": "bbb", "a": "new", "_cut": ["b"]}


def test_what_is_cut_stays_marked_and_what_is_left_out_is_added_up() -> None:
    found = again({"a": "a" * 9_000, "_cut": ["a", "gone"], "_left_out": 2}, b=["b" * 12_000], c=["c"])
    assert (found["_cut"], found["_left_out"], len(found["a"]), found["c"]) == (["a", "b"], 2, 9_000, "c")


@pytest.mark.parametrize(
    "carried",
    [
        {"_cut": 7, "_left_out": "many"},
        {"_cut": [1, None, ["x"]], "_left_out": -1},
        {"_cut": {"a": 1}, "_left_out": 10**9},
        {"_left_out": True},
        {"_undeclared": "x"},
        {"a": [[[[[["deep"]]]]]], "_left_out": "\x00"},
    ],
)
def test_notes_that_say_nonsense_are_not_believed(carried: dict[str, Any]) -> None:
    assert set(again(carried)) <= {"_left_out"}
    assert again(carried).get("_left_out", 0) <= 1


def test_what_is_carried_is_cleaned_and_bounded_like_what_is_sent() -> None:
    assert again({"a\x00": " b\x07 ", "__proto__": {"x": "1"}}) == {"a": "b", "proto": {"x": "1"}}
    assert again({"n": math.nan, "i": math.inf, "e": [10**20]}) == {"n": "NaN", "i": "Infinity", "e": [str(10**20)]}
    many = again({f"n{number}": "x" * 1000 for number in range(300)})
    assert len(json.dumps(answers(many)).encode()) <= MAX_BYTES
    assert many["_left_out"] == 300 - len(answers(many))


@pytest.mark.parametrize("sent", ["", "hello", "%%%", "é", packed([1]), packed("x"), "W10", "e30"])  # type: ignore[arg-type]
def test_a_control_that_holds_nothing_readable_is_no_answer(sent: str) -> None:
    assert of_form({CARRIED: [sent], "a": ["1"]}, {"name"}).undeclared == {"a": "1"}
    assert sort({CARRIED: ["a list"]}, {}, frozenset(), {}).undeclared == {}


def test_a_field_gets_by_its_other_name_what_the_name_does_not_mean_here() -> None:
    found = sort({"referrer": "Ann"}, {}, frozenset({"referrer", "from"}), {"referrer": "from"}, {"referrer": "Ann"})
    assert (found.values, found.undeclared) == ({"from": "Ann"}, {})
