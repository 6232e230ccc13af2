"""Template filters: times, numbers and other values as people read them."""

import json
from datetime import datetime
from typing import Any

from flask import Flask

from webapp import text
from webapp.clock import moment, utc, utcnow
from webapp.services.files.names import size_words
from webapp.services.intake import file_answers
from webapp.services.interfaces import field_types, form_texts, statements

RIGHT_TO_LEFT = ("ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi")


def init_app(app: Flask) -> None:
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        utc=utc,
        ago=ago,
        moment=moment,
        pretty_json=pretty_json,
        count=count,
        duration=duration,
        age=age,
        bare_url=bare_url,
        size=size_words,
        file_limits=file_answers.limits,
        shown=field_types.shown,
        statement=statements.parts,
        fill=form_texts.fill,
        right_to_left=right_to_left,
    )


def ago(at: datetime) -> str:
    """The time as people say it: just now, 2 min ago, in 27 min, 5 h ago, 3 days ago, 9 Jan 2026."""
    seconds = (utcnow() - at).total_seconds()
    size = abs(seconds)
    if size < 10:
        return "just now"
    if size >= 14 * 86400:
        return f"{at.day} {at:%b %Y}"
    for limit, unit, words in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (1e12, 86400, "days")):
        if size < limit:
            number = int(size // unit)
            words = "day" if words == "days" and number == 1 else words
            return f"{number} {words} ago" if seconds > 0 else f"in {number} {words}"
    raise AssertionError("unreachable")


def age(at: datetime) -> str:
    """How long ago a time was: 5 s, 44 min, 3 h, 6 days."""
    return duration(max((utcnow() - at).total_seconds(), 0))


def bare_url(url: str) -> str:
    """A URL as a list shows it: host and path, without the parts that may contain a secret."""
    return text.bare_url(url).partition("://")[2].rstrip("/")


def right_to_left(language: str) -> bool:
    """Whether a language is written from right to left. Longer tags, such as ar-EG, are understood."""
    return language.partition("-")[0].lower() in RIGHT_TO_LEFT


def pretty_json(payload: bytes | str) -> str:
    """JSON with line breaks and unescaped characters; other content is returned as text."""
    text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else payload
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text


def count(number: Any) -> str:
    """1716 as 1,716."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """A length of time as people say it, rounded: 5 s, 30 min, 2 h, 28 h, 3 days."""
    for limit, unit, words in ((90, 1, "s"), (5400, 60, "min"), (2 * 86400, 3600, "h"), (float("inf"), 86400, "days")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {words}" if unit == 1 else f"{round(seconds / unit)} {words}"
    raise AssertionError("unreachable")
