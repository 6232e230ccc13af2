"""Answers as text: for machines (flat formats, text around an expression) and for people (messages)."""

import json
from collections.abc import Mapping
from typing import Any

from webapp.webhooks import as_javascript
from webapp.webhooks.formats.lengths import EscapedText

_FILE = frozenset({"name", "size", "type", "url"})


def as_text(value: Any) -> str:
    """Text unchanged; nothing for null; true, false and numbers as JSON has them; lists joined with a comma and a
    space; a file as its address; any other object as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(as_text, value))
    if isinstance(value, Mapping) and value.keys() == _FILE:
        return as_text(value["url"])
    return as_javascript.text(value)


def for_people(value: Any) -> str:
    """As `as_text`, but Yes and No, and a file with its name before its address."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(for_people, value))
    if isinstance(value, Mapping) and value.keys() == _FILE:
        return f"{value['name']}: {value['url']}"
    return as_text(value)


def words(key: str) -> str:
    """A field's key as words: first_name is First name."""
    text = " ".join(key.replace("_", " ").split())
    return text[:1].upper() + text[1:]


def is_empty(value: Any) -> bool:
    """Nothing, "", [] and {}; not 0 and not false."""
    return value is None or (isinstance(value, str | list | Mapping) and not value)


def escaped(text: str) -> EscapedText:
    """& < > as entities, as Slack and Google Chat want them."""
    return EscapedText(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def json_text(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else as_javascript.text(value)
