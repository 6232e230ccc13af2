"""Answers that repeat what they were sent: echo services and pages for errors show whole requests, with their secrets.

An answer is stored and shown, so what proves who sends is masked in it first.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import unquote

from webapp.webhooks.authentications.message import Message
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.shown_addresses import LEAST, without_pieces

LEAST_OF_HEADER = 12  # characters: custom headers also have ordinary words, such as the name of a team


def added(before: Message, after: Message) -> tuple[str, ...]:
    """What a scheme added to a message, as it may be repeated: the values of headers and of the URL's query."""
    values = {*_of_headers(before, after), *_of_query(before, after)}
    return _longest_first(value for value in values if len(value) >= LEAST)


def of_custom_headers(values: Iterable[str]) -> tuple[str, ...]:
    """Those that are long enough to be a secret."""
    return _longest_first(value for value in values if len(value) >= LEAST_OF_HEADER)


def without_echo(outcome: Outcome, secrets: tuple[str, ...]) -> Outcome:
    """The outcome with a mask for each of these texts in its body and headers, in every usual spelling."""
    if not secrets:
        return outcome
    headers = tuple((name, without_pieces(value, secrets)) for name, value in outcome.headers)
    return replace(outcome, body=without_pieces(outcome.body, secrets), headers=headers)


def _of_headers(before: Message, after: Message) -> Iterator[str]:
    for name, value in after.headers.items():
        if before.headers.get(name) != value:
            word, _, token = value.partition(" ")
            yield from (value, token)
            if word == "Basic":
                yield base64.b64decode(token).decode("utf-8").partition(":")[2]


def _of_query(before: Message, after: Message) -> Iterator[str]:
    old = before.url.partition("?")[2].split("&")
    for pair in after.url.partition("?")[2].split("&"):
        if pair not in old:
            yield unquote(pair.partition("=")[2])


def _longest_first(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(values, key=lambda value: (-len(value), value)))
