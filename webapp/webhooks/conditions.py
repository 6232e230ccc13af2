"""Which leads a webhook gets: rules about answers, consents, where the visitor came from, and spam.

Stored as {"match": "all" or "any", "rules": [{"field", "is", "value"}]}. `field` is a key of the form, one of TRACKED
(payload.py), such as utm_source, or `spam`. Texts are compared without case and blanks around them, in one Unicode form
(NFKC); numbers as numbers. Of several ticked options (and of files, by name) one is enough: `is` holds if one of them
is the value, `is_not` if none is. Yes and no are the values of consents and of `spam`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from webapp.webhooks.payload import TRACKED, UTM
from webapp.webhooks.settings import WrongSetting

MOST_RULES = 20
MOST_LINES = 1000  # of a list
LONGEST_VALUE = 500  # characters, of each line of a list too
SPAM = "spam"
YES, NO = "yes", "no"
MATCHES = {"all": "and", "any": "or"}
LISTED = 3  # values of a list that a sentence names
WORDS = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "contains_not": "does not contain",
    "in_list": "is one of",
    "not_in_list": "is none of",
    "empty": "is empty",
    "not_empty": "is not empty",
}
WITHOUT_VALUE = frozenset({"empty", "not_empty"})
LISTS = frozenset({"in_list", "not_in_list"})
NEGATED = {"is_not": "is", "contains_not": "contains", "not_in_list": "in_list", "not_empty": "empty"}
_NUMBER = re.compile(r"-?\d+(?:\.\d+|,\d{1,2})?", re.ASCII)  # 1,5 has one reading, 1,234 has two


class KnownField(NamedTuple):
    """What a condition may name. `yes_no`: consents and spam, which are yes or no and never empty."""

    label: str
    yes_no: bool = False


def known_fields(declared: Iterable[tuple[str, str, str]] = ()) -> dict[str, KnownField]:
    """Everything that a condition of an interface may name, by key. `declared`: key, label and type of its fields."""
    known = {key: KnownField(label, kind == "consent") for key, label, kind in declared if kind != "heading"}
    return known | {name: KnownField(name) for name in TRACKED} | {SPAM: KnownField("Spam", yes_no=True)}


@dataclass(frozen=True, slots=True)
class Rule:
    """One comparison. `value` as stored; `wanted` is what it is compared with: one text, or the lines of a list."""

    field: str
    label: str
    comparison: str
    value: str
    wanted: frozenset[str]
    numbers: frozenset[Decimal | None]

    def holds(self, answer: object) -> bool:
        """Whether the answer is as wanted. None is an empty one."""
        found = self._is(NEGATED.get(self.comparison, self.comparison), answer)
        return found != (self.comparison in NEGATED)

    def _is(self, comparison: str, answer: object) -> bool:
        members = [one for one in _members(answer) if not isinstance(one, str) or one]
        if comparison == "empty":
            return not members
        if comparison == "contains":
            [part] = self.wanted
            return any(part in _text(one) for one in members)
        return any(_text(one) in self.wanted or _number(one) in self.numbers for one in members)

    def in_words(self) -> str:
        """As in "Country is Germany"."""
        if self.comparison in WITHOUT_VALUE:
            return f"{self.label} {WORDS[self.comparison]}"
        lines = lines_of(self.value) if self.comparison in LISTS else [self.value.strip()]
        more = f" and {len(lines) - LISTED:,} more" if len(lines) > LISTED else ""
        shown = ", ".join(lines[:LISTED]) + more
        return f"{self.label} {WORDS[self.comparison]} {shown}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Make one with `of`."""

    match: str
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, stored: object, known: Mapping[str, KnownField] | None = None) -> "Condition":
        """WrongSetting, with a sentence for the person who typed it, for what is no condition.

        `known`: what it may name, when it is saved. Without, any field may be named: one that a lead does not have is
        empty. So a field that was removed since stops nothing.
        """
        given = stored if isinstance(stored, dict) else {}
        rules = given.get("rules")
        if given.get("match", "all") not in MATCHES:
            raise _wrong("Choose whether all rules must hold, or any of them.")
        if not isinstance(rules, list) or not rules:
            raise _wrong("A condition has at least one rule.")
        if len(rules) > MOST_RULES:
            raise _wrong(f"A condition can have at most {MOST_RULES} rules; this one has {len(rules)}.")
        return cls(given.get("match", "all"), tuple(_rule(rule, number, known) for number, rule in enumerate(rules, 1)))

    @property
    def names_spam(self) -> bool:
        """Whether it decides about spam too. Without that, spam is not sent."""
        return any(rule.field == SPAM for rule in self.rules)

    def holds(self, document: Mapping[str, Any], spam: bool = False) -> bool:
        """Whether the lead of a document (Leadhook's own JSON, as payload.py makes it) is sent."""
        found = (rule.holds(_answer(rule.field, document["data"], spam)) for rule in self.rules)
        return all(found) if self.match == "all" else any(found)

    def in_words(self) -> str:
        """As in "Only if Country is Germany and Newsletter is yes"."""
        return "Only if " + f" {MATCHES[self.match]} ".join(rule.in_words() for rule in self.rules)

    def stored(self) -> dict[str, Any]:
        """What `of` reads."""
        rules = [{"field": rule.field, "is": rule.comparison, "value": rule.value} for rule in self.rules]
        return {"match": self.match, "rules": rules}


def lines_of(text: str) -> list[str]:
    """The values of a list: one a line, without blanks around them, and without empty lines."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _rule(given: object, number: int, known: Mapping[str, KnownField] | None) -> Rule:
    stored = given if isinstance(given, dict) else {}
    field, comparison, value = (stored.get(name, "") for name in ("field", "is", "value"))
    if not (isinstance(field, str) and field):
        raise _wrong(f"Rule {number} names no field.")
    if not isinstance(comparison, str) or comparison not in WORDS:
        raise _wrong(f"Rule {number} does not say how {field} is compared.")
    about = KnownField(field, field == SPAM) if known is None else known.get(field)
    if about is None:
        raise _wrong(f"Rule {number} names the field {_short(field)}, which this interface does not have.")
    if not isinstance(value, str):
        raise _wrong(f"The value for {about.label} is a text.")
    value = "" if comparison in WITHOUT_VALUE else value
    wanted = _wanted(about.label, comparison, value)
    if about.yes_no:
        _check_yes_no(about.label, comparison, wanted)
    numbers = {_as_number(text) for text in wanted} - {None}
    return Rule(field, about.label, comparison, value, wanted, frozenset(numbers))


def _wanted(label: str, comparison: str, value: str) -> frozenset[str]:
    if comparison in WITHOUT_VALUE:
        return frozenset()
    lines = lines_of(value) if comparison in LISTS else [value]
    if not any(_normal(line) for line in lines):
        raise _wrong(f"Say what {label} is compared with. For an answer that is missing, choose “is empty”.")
    if len(lines) > MOST_LINES:
        raise _wrong(f"The list for {label} can have at most {MOST_LINES:,} lines; this one has {len(lines):,}.")
    if any(len(line) > LONGEST_VALUE for line in lines):
        raise _wrong(f"A value for {label} can have at most {LONGEST_VALUE} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for line in lines for character in line):
        raise _wrong(f"The value for {label} contains a line break or an invisible control character.")
    return frozenset(map(_normal, lines))


def _check_yes_no(label: str, comparison: str, wanted: frozenset[str]) -> None:
    if comparison not in ("is", "is_not") or not wanted <= {YES, NO}:
        raise _wrong(f"{label} is yes or no: compare it with “is yes” or “is no”.")


def _wrong(sentence: str) -> WrongSetting:
    return WrongSetting(sentence, "condition")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


# Answers of a lead ---------------------------------------------------------------------------------------------------


def _answer(field: str, data: Mapping[str, Any], spam: bool) -> object:
    if field == SPAM:
        return spam
    fields, source = data["lead"]["fields"], data["source"]
    if field in fields:
        return fields[field]
    if field in source:
        return source[field]
    if field.startswith("utm_") and field[4:] in UTM:
        return source["utm"].get(field[4:])
    if field in TRACKED:
        return source["click_ids"].get(field)
    return next((entry["given"] for entry in data["consents"] if entry["key"] == field), None)


def _members(answer: object) -> list[object]:
    """What an answer consists of; texts are stripped, so that a blank one is empty."""
    if isinstance(answer, (list, tuple)):
        return [member for one in answer for member in _members(one)]
    if isinstance(answer, dict):  # a file
        return _members(answer.get("name"))
    if isinstance(answer, str):
        return [_normal(answer)]
    return [] if answer is None else [answer]


def _text(member: object) -> str:
    if isinstance(member, bool):
        return YES if member else NO
    number = _number(member)
    return str(member) if number is None else f"{number:f}"


def _number(member: object) -> Decimal | None:
    return Decimal(repr(member)) if isinstance(member, (int, float)) and not isinstance(member, bool) else None


def _as_number(text: str) -> Decimal | None:
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
