"""Conditions as one line of text, for a shell: `country is DE and newsletter is yes`.

A rule is a field, a comparison and a value: `is`, `is not`, `contains`, `contains not`, `in`, `not in` (with values
between commas), `is empty`, `is not empty`. All rules are joined by `and`, or all by `or`. A value stands in double
quotes if it has one of these words in it, or a comma in a list; within them, a backslash stands before a quote and
before another backslash.
"""

import re
from typing import Any

from webapp.webhooks.conditions import LISTS, MATCHES, WITHOUT_VALUE, Condition, Rule, lines_of
from webapp.webhooks.settings import WrongSetting

_COMPARISONS = {
    "is not empty": "not_empty",
    "is empty": "empty",
    "is not": "is_not",
    "is": "is",
    "contains not": "contains_not",
    "does not contain": "contains_not",
    "contains": "contains",
    "not in": "not_in_list",
    "in": "in_list",
}  # the longer ones first
_PRINTED = {name: words for words, name in reversed(_COMPARISONS.items())}
_JOINS = {word: match for match, word in MATCHES.items()}
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(rf'{_QUOTED}|[^\s",]+|,')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BARE = re.compile(r"[^\s\",]+(?: [^\s\",]+)*")
_Token = tuple[str, int, int]  # with the place where it begins and ends
_KEPT = {"not", "empty", "in", *_JOINS}


def parse(text: str) -> dict[str, Any]:
    """The stored form of a condition, which `Condition.of` checks; WrongSetting if the text is not one."""
    tokens = _tokens(text)
    joins = [token[0].lower() for token in tokens if token[0].lower() in _JOINS]
    if len(set(joins)) > 1:
        raise _wrong(
            "A condition joins its rules by “and” or by “or”, not by both. Put a value with such a word in quotes."
        )
    parts: list[list[_Token]] = [[]]
    for token in tokens:
        if token[0].lower() in _JOINS:
            parts.append([])
        else:
            parts[-1].append(token)
    return {"match": _JOINS[joins[0]] if joins else "all", "rules": [_rule(text, part) for part in parts]}


def printed(condition: Condition) -> str:
    """The text that `parse` reads as this condition."""
    return f" {MATCHES[condition.match]} ".join(map(_printed_rule, condition.rules))


def _tokens(text: str) -> list[_Token]:
    """Words, quoted texts and commas, each with its place."""
    tokens, at = [], 0
    for found in _TOKEN.finditer(text):
        if text[at : found.start()].strip():
            break
        at = found.end()
        tokens.append((found[0], found.start(), at))
    if text[at:].strip():
        raise _wrong("A quote in the condition is not closed.")
    return tokens


def _rule(text: str, tokens: list[_Token]) -> dict[str, str]:
    if not text.strip():
        raise _wrong("A condition has at least one rule.")
    if not tokens:
        raise _wrong("A rule of the condition is missing before or after “and” or “or”.")
    field, *rest = tokens
    words = [token[0].lower() for token in rest]
    for phrase, name in _COMPARISONS.items():
        length = len(phrase.split())
        if words[:length] == phrase.split() and (name not in WITHOUT_VALUE or len(words) == length):
            value = _value(text, rest[length:], name)
            return {"field": _one(text, [field]), "is": name, "value": value}
    known = ", ".join(_COMPARISONS)
    raise _wrong(f"After the field {field[0][:60]} comes one of: {known}.")


def _value(text: str, tokens: list[_Token], comparison: str) -> str:
    if comparison not in LISTS:
        return _one(text, tokens)
    values: list[list[_Token]] = [[]]
    for token in tokens:
        if token[0] == ",":
            values.append([])
        else:
            values[-1].append(token)
    return "\n".join(_one(text, value) for value in values)


def _one(text: str, tokens: list[_Token]) -> str:
    if not tokens:
        return ""
    if tokens[0][0].startswith('"'):
        if len(tokens) > 1:
            raise _wrong(f"After {tokens[0][0][:60]} comes “and”, “or”, or the end of the condition.")
        return _ESCAPED.sub(r"\1", tokens[0][0][1:-1])
    return text[tokens[0][1] : tokens[-1][2]]


def _printed_rule(rule: Rule) -> str:
    field = f'"{rule.field}"' if rule.field in _JOINS else rule.field
    start = f"{field} {_PRINTED[rule.comparison]}"
    if rule.comparison in WITHOUT_VALUE:
        return start
    values = lines_of(rule.value) if rule.comparison in LISTS else [rule.value]
    return f"{start} {', '.join(map(_printed_value, values))}"


def _printed_value(value: str) -> str:
    if _BARE.fullmatch(value) and not _KEPT & set(value.lower().split()):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _wrong(sentence: str) -> WrongSetting:
    return WrongSetting(sentence, "condition")
