"""The sentences of error reports, and the part of a receiver's answer that they may quote. Pure functions.

A report contains no visitor's data. A receiver's answer often repeats what it was sent, so the excerpt of an answer
masks the lead's own values.
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
from webapp.webhooks.outcome import NO_ANSWER
from webapp.webhooks.shown_addresses import CUT

EXCERPT = 160  # characters of an answer
MASK = "•••"  # in place of a visitor's value
STEM = 10  # characters: where an answer cuts a visitor's value short, its beginning identifies it
EMAIL_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\[\]{}=]+(?:@|%40)[^\s@<>\"'(),:;\[\]{}=&]+")
MARKUP = re.compile(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>")
UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


class ReportedLead(NamedTuple):
    """A lead in a report: its failed attempt, and the state of its delivery now."""

    public_id: str
    at: datetime
    code: int
    response: str
    state: DeliveryState


@dataclass(frozen=True)
class Failures:
    """The content of a report of failures: numbers for all its leads, and the newest leads one by one."""

    count: int
    first_at: datetime
    last_at: datetime
    newest: Sequence[ReportedLead]
    states: Mapping[DeliveryState, int]
    next_at: datetime | None  # of the next automatic retry
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
    """As in "between 13:44 and 13:58 UTC on 23 November 2026"."""
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


def webhook_name(url: str | None) -> str:
    """What a report calls a webhook: scheme and host of its URL, if it has one.

    A report is also sent to people without an account, so it never has the rest, which may be a secret.
    """
    return CUT.address(url)[:200] if url else "its Lead Webhook URL"


def preview(failures: Failures, url: str) -> str:
    """The line that a mail program shows under the subject."""
    codes = dict.fromkeys(lead.code for lead in failures.newest)
    answered = [str(code) for code in codes if code != NO_ANSWER][:3]
    words = f"has answered {' or '.join(answered)}" if answered else "has not answered"
    silent = " or not at all" if answered and NO_ANSWER in codes else ""
    host = urlsplit(url).netloc or "The receiver"
    return f"{host} {words}{silent} since {clock(failures.first_at)}. The leads are kept."


def what_next(failures: Failures, schedule: Sequence[float]) -> str:
    """First what happens automatically, then what a person can do. `schedule` is empty if retries are off."""
    delivered, retrying, failed, held = (
        failures.number(state)
        for state in (DeliveryState.DELIVERED, DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.ON_HOLD)
    )
    if delivered == failures.count:
        return f"{_these(delivered, failures.count, 'has', 'have')} been delivered since. There is nothing left to do."
    sentences = []
    if delivered:
        sentences.append(f"{_these(delivered, failures.count, 'has', 'have')} been delivered since.")
    if retrying:
        sentences.append(_retries(failures, retrying, schedule))
    if failed and not schedule:
        sentences.append("Automatic retries are off for this webhook, so Leadhook does not retry.")
    elif failed:
        sentences.append(_not_retried(failed, failures.count))
    if held:
        sentences.append(f"{_these(held, failures.count, 'is', 'are')} held until the webhook is repaired or resumed.")
    if retrying:
        sentences.append("Once the receiver works again, you do not have to wait: press Retry Webhook.")
    elif failed:
        sentences.append("Once the receiver works again, press Retry Webhook: it sends the original payload again.")
    return " ".join(sentences)


def _these(number: int, of: int, singular: str, plural: str) -> str:
    if number == of:
        return f"The lead {singular}" if of == 1 else f"All of them {plural}"
    return f"{leads(number)} {singular if number == 1 else plural}"


def _not_retried(failed: int, of: int) -> str:
    if failed == of > 1:
        return "None of them is retried automatically."
    return f"{_these(failed, of, 'is', 'are')} not retried automatically."


def _retries(failures: Failures, retrying: int, schedule: Sequence[float]) -> str:
    if retrying == failures.count:
        who = "The lead is retried automatically" if retrying == 1 else "Each lead is retried automatically"
    else:
        who = f"{_these(retrying, failures.count, 'is', 'are')} retried automatically"
    if failures.next_at is None or failures.next_at <= failures.written_at + timedelta(minutes=1):
        when = "next within a minute"
    else:
        when = f"next at {clock(failures.next_at)}"
        when += "" if failures.next_at.date() == failures.written_at.date() else f" on {day(failures.next_at)}"
    return f"{who}, {when}, with at most {len(schedule) + 1} attempts in about {duration(sum(schedule))}."


def excerpt(response: str, fields: Iterable[Any], urls: Iterable[str | None] = ()) -> str:
    """The beginning of an answer on one line, without markup, visitor's data and secrets of the webhook's address.

    `fields` are the lead's values, `urls` the addresses that the answer may repeat.
    """
    text = EMAIL_ADDRESS.sub(MASK, CUT.answer(response, urls))
    for value in _as_echoed(fields):
        text = _mask(text, value)
    if text.lstrip().startswith("<"):
        text = html.unescape(MARKUP.sub(" ", text))
    text = UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1].rstrip() + "…"


def _as_echoed(fields: Iterable[Any]) -> list[str]:
    """The values in all spellings that answers use, the longest first. For short values each of their words, too."""
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


def _mask(text: str, value: str) -> str:
    at = 0
    while (at := text.find(value[:STEM], at)) >= 0:
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text[at:], value, strict=False)))
        text = text[:at] + MASK + text[at + same :]
        at += len(MASK)
    return text
