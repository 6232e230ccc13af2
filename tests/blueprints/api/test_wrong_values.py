"""What is wrong with a value is said in a sentence, for every value of every operation."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest

from webapp.blueprints.api.hooks import NewHook
from webapp.blueprints.api.interfaces import InterfaceChanges, NewInterface
from webapp.blueprints.api.leads import LeadQuery, Retry
from webapp.blueprints.api.reconcile import HeldLeads
from webapp.web.api import wrong_values
from webapp.web.api.operations import OPERATIONS

OTHERS = (None, 7, 1.5, -(10**30), 10**30, True, "", "\0", "x" * 3000, [], ["x"] * 20_000, [7], {}, {"x": 7}, {"": {}})


def said(kind: Any, value: Any) -> tuple[str, list[str]]:
    """What is wrong with this value of the struct."""
    with pytest.raises(msgspec.ValidationError) as found:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    return wrong_values.read(found.value, kind)


@pytest.mark.parametrize(
    ("kind", "value", "words", "steps"),
    [
        (NewInterface, [], "The whole must be an object, not a list.", []),
        (NewInterface, {"name": 1.5}, "“name” must be a text, not a fraction.", ["name"]),
        (NewInterface, {"name": "x" * 201}, "“name” must have at most 200 characters.", ["name"]),
        (LeadQuery, {"limit": 0}, "“limit” must be at least 1.", ["limit"]),
        (LeadQuery, {"limit": 101}, "“limit” must be at most 100.", ["limit"]),
        (LeadQuery, {"cursor": "!"}, "“cursor” has a character that cannot be there.", ["cursor"]),
        (
            LeadQuery,
            {"received": "1h"},
            "“received” cannot be '1h'; it can be: 24h, 30d, 7d, 90d.",
            ["received"],
        ),
        (
            InterfaceChanges,
            {"look": {"scheme": "red"}},
            "“look/scheme” cannot be 'red'; it can be: auto, dark, light.",
            ["look", "scheme"],
        ),
        (
            NewHook,
            {"target": "x", "interface": "x", "events": ["lead.lost"]},
            "“events/0” cannot be 'lead.lost'; it can be: lead.created.",
            ["events", "0"],
        ),
        (NewHook, {"target": "x", "interface": "x", "events": []}, "“events” must not be empty.", ["events"]),
        (Retry, {"webhooks": ["x"] * 21}, "“webhooks” must have at most 20 items.", ["webhooks"]),
        (
            HeldLeads,
            {"since": "2026-11-01T00:00:00"},
            "“since” must be a time with its zone, such as 2026-11-23T08:00:00Z.",
            ["since"],
        ),
        (HeldLeads, {"since": 1}, f"“since” must be {wrong_values.A_TIME}, not a whole number.", ["since"]),
        (HeldLeads, {"idz": []}, "There is no field “idz”.", ["idz"]),
    ],
)
def test_what_is_wrong_is_said_for_people(kind: Any, value: Any, words: str, steps: list[str]) -> None:
    assert said(kind, value) == (words, steps)


def wrong(kind: Any) -> Iterator[str]:
    """What is said of each wrong value of each member of the struct."""
    for name in kind.__struct_encode_fields__:
        for value in OTHERS:
            try:
                msgspec.json.decode(msgspec.json.encode({name: value}), type=kind)
            except msgspec.ValidationError as error:
                yield wrong_values.read(error, kind)[0]


def test_no_operation_says_it_in_the_words_of_a_library() -> None:
    found = {words for each in OPERATIONS for kind in (each.body, each.query) if kind for words in wrong(kind)}
    assert len(found) > 100
    for words in found:
        assert words.startswith(("“", "There is no field “")), words
        assert not {"Expected", "Invalid", "got", "valid:", "str", "int", "None"} & set(words.split()), words


class Bounded(msgspec.Struct):
    share: Annotated[float, msgspec.Meta(ge=0.5)] = 1.0
    rate: Annotated[float, msgspec.Meta(le=60)] = 1.0
    count: Annotated[int, msgspec.Meta(ge=-1000, le=1_000_000)] = 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"share": 0.1}, "“share” must be at least 0.5."),
        ({"rate": 60.5}, "“rate” must be at most 60."),
        ({"count": 1_000_001}, "“count” must be at most 1,000,000."),
        ({"count": -1001}, "“count” must be at least -1,000."),
    ],
)
def test_a_limit_may_be_a_fraction(value: object, words: str) -> None:
    assert said(Bounded, value)[0] == words
