"""The sentences of error reports, and what of a receiver's answer may stand in them. Pure: values in, words out.

No visitor's data stands in a report. A receiver's answer often repeats what it was sent, so a lead's own values are
blotted out of its excerpt.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

from webapp.models import DeliveryState

NO_ANSWER = 999
EXCERPT = 160  # characters of an answer
BLOT = "•••"
STEM = 10  # characters of a visitor's value by which it is known where an answer cuts it short
EMAIL_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\[\]{}=]+(?:@|%40)[^\s@<>\"'(),:;\[\]{}=&]+")
MARKUP = re.compile(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>")
UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


class Line(NamedTuple):
    """A lead of a report: its failed try, and where it stands by now."""

    public_id: str
    at: datetime
    code: int
    response: str
    state: DeliveryState


@dataclass(frozen=True)
class Failures:
    """What a report of failures tells: all its leads in numbers, the newest of them one by one."""

    count: int
    first_at: datetime
    last_at: datetime
    lines: Sequence[Line]
    states: Mapping[DeliveryState, int]
    next_at: datetime | None  # of the automatic tries to come, the first
    written_at: datetime

    def number(self, state: DeliveryState) -> int:
        return self.states.get(state, 0)


def leads(count: int) -> str:
    return "1 lead" if count == 1 else f"{count:,} leads"


def day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"


def clock(at: datetime) -> str:
    return f"{at:%H:%M} UTC"


def period(first_at: datetime, last_at: datetime) -> str:
    """between 13:44 and 13:58 UTC on 23 November 2026"""
    if first_at.date() != last_at.date():
        return f"between {clock(first_at)} on {day(first_at)} and {clock(last_at)} on {day(last_at)}"
    if clock(first_at) == clock(last_at):
        return f"at {clock(last_at)} on {day(last_at)}"
    return f"between {first_at:%H:%M} and {clock(last_at)} on {day(last_at)}"


def duration(seconds: float) -> str:
    """As in "the next 10 minutes", "the next hour"."""
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            number = round(seconds / size)
            return unit if number == 1 else f"{number} {unit}s"
    return "second"


def bare_url(url: str | None) -> str:
    """A URL without credentials, query and fragment."""
    if not url:
        return "its Lead Webhook URL"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def preview(told: Failures, url: str) -> str:
    """The line a list of mails shows under the subject."""
    codes = dict.fromkeys(line.code for line in told.lines)
    answered = [str(code) for code in codes if code != NO_ANSWER][:3]
    words = f"answered {' or '.join(answered)}" if answered else "did not answer"
    silent = " or not at all" if answered and NO_ANSWER in codes else ""
    host = urlsplit(url).netloc or "The receiver"
    return f"{host} {words}{silent} since {clock(told.first_at)}. The leads are kept."


def what_next(told: Failures, schedule: Sequence[float]) -> str:
    """What happens without anybody's doing, then what a person can do. `schedule` is empty where retries are off."""
    delivered, retrying, failed, held = (
        told.number(state)
        for state in (DeliveryState.DELIVERED, DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.HELD)
    )
    if delivered == told.count:
        return f"{_these(delivered, told.count, 'has', 'have')} been delivered since. There is nothing left to do."
    said = []
    if delivered:
        said.append(f"{_these(delivered, told.count, 'has', 'have')} been delivered since.")
    if retrying:
        said.append(_retries(told, retrying, schedule))
    if failed and not schedule:
        said.append("Automatic retries are off for this interface, so nothing more happens by itself.")
    elif failed:
        said.append(_not_retried(failed, told.count))
    if held:
        said.append(f"{_these(held, told.count, 'is', 'are')} held until the webhook is resumed.")
    if retrying:
        said.append("Once the receiver is mended you need not wait: press Retry Webhook.")
    elif failed:
        said.append("Once the receiver is mended, press Retry Webhook: it sends the original payload again.")
    return " ".join(said)


def _these(number: int, of: int, singular: str, plural: str) -> str:
    if number == of:
        return f"The lead {singular}" if of == 1 else f"All of them {plural}"
    return f"{leads(number)} {singular if number == 1 else plural}"


def _not_retried(failed: int, of: int) -> str:
    if failed == of > 1:
        return "None of them is tried again by itself."
    return f"{_these(failed, of, 'is', 'are')} not tried again by {'itself' if failed == 1 else 'themselves'}."


def _retries(told: Failures, retrying: int, schedule: Sequence[float]) -> str:
    if retrying == told.count:
        who = "The lead is tried again by itself" if retrying == 1 else "Each lead is tried again by itself"
    else:
        who = f"{_these(retrying, told.count, 'is', 'are')} tried again automatically"
    if told.next_at is None or told.next_at <= told.written_at + timedelta(minutes=1):
        when = "the next time within a minute"
    else:
        when = f"the next at {clock(told.next_at)}"
        when += "" if told.next_at.date() == told.written_at.date() else f" on {day(told.next_at)}"
    return f"{who}, {when}, up to {len(schedule) + 1} times in about {duration(sum(schedule))}."


def excerpt(response: str, fields: Iterable[Any]) -> str:
    """The beginning of an answer on one line: no markup, no visitor's data (`fields` are the lead's values)."""
    text = EMAIL_ADDRESS.sub(BLOT, response)
    for value in _as_echoed(fields):
        text = _blot(text, value)
    if text.lstrip().startswith("<"):
        text = html.unescape(MARKUP.sub(" ", text))
    text = UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1].rstrip() + "…"


def _as_echoed(fields: Iterable[Any]) -> list[str]:
    """The values in the spellings that answers use, the long ones first; of short values each word, too."""
    values = {value.strip() for value in fields if isinstance(value, str)}
    values |= {word for value in values if len(value) <= 60 for word in value.split()}
    values |= {re.sub(r"\D", "", value) for value in values if sum(map(str.isdigit, value)) >= 7}
    spellings = {
        spelling
        for value in values
        if len(value) > 2
        for spelling in (
            value,
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            html.escape(value),
            quote_plus(value, errors="replace"),
        )
    }
    return sorted(spellings, key=len, reverse=True)


def _blot(text: str, value: str) -> str:
    at = 0
    while (at := text.find(value[:STEM], at)) >= 0:
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text[at:], value, strict=False)))
        text = text[:at] + BLOT + text[at + same :]
        at += len(BLOT)
    return text
