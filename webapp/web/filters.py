"""What templates may call: times for people, and the counts of the navigation."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Flask

from webapp.clock import utcnow
from webapp.services.intake import consents
from webapp.services.interfaces import field_types, form_texts

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
        shown=field_types.shown,
        statement=consents.parts,
        fill=form_texts.fill,
        right_to_left=right_to_left,
    )


def moment(epoch: float) -> datetime:
    """An aware UTC datetime of epoch seconds."""
    return datetime.fromtimestamp(epoch, UTC)


def utc(at: datetime) -> str:
    """The exact time, for hover and screen readers: 23 Nov 2026, 14:03:41 UTC."""
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


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
    """How long ago that was: 5 s, 44 min, 3 h, 6 days."""
    return duration(max((utcnow() - at).total_seconds(), 0))


def bare_url(url: str) -> str:
    """A URL as a list shows it: host and path, without the query, where some put a secret."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def right_to_left(language: str) -> bool:
    """Whether a language is written from right to left; its tag may say more, as in ar-EG."""
    return language.partition("-")[0].lower() in RIGHT_TO_LEFT


def pretty_json(payload: bytes | str) -> str:
    """JSON with line breaks, characters as they are; what is not JSON comes back as text."""
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
