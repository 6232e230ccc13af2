"""Answers that are no success: by their code, the usual cause and what to do about it.

For those who ask why a delivery failed, and for docs/receivers/failures.md, which a test compares. What goes wrong
before there is an answer is in advice.py.
"""

from typing import NamedTuple


class AnswerRow(NamedTuple):
    """`codes`: the first and the last one of each range. `cause` and `step` are sentences."""

    codes: tuple[tuple[int, int], ...]
    cause: str
    step: str


# The first row that has the code counts.
ROWS = (
    AnswerRow(
        ((300, 399),),
        "The address has changed, often from http to https or by a slash at its end. Leadhook follows no redirects.",
        "Enter the final address in Lead Webhook URL.",
    ),
    AnswerRow(
        ((400, 400),),
        "A field that the receiver does not expect, or a client certificate that its server wants or does not trust.",
        "Read the answer, and the receiver's log.",
    ),
    AnswerRow(
        ((401, 401), (403, 403)),
        "The signature or a key does not match, or a firewall takes us for a bot.",
        "Compare the Shared Token, and see Behind a web firewall.",
    ),
    AnswerRow(
        ((404, 405),),
        "The path is wrong, or takes no POST.",
        "Correct the Lead Webhook URL.",
    ),
    AnswerRow(
        ((410, 410),),
        "The receiver wants no more leads. The webhook is paused.",
        "Enter another address, and resume the webhook.",
    ),
    AnswerRow(((413, 413),), "The receiver allows only small bodies.", "Allow 256 KB."),
    AnswerRow(((429, 429), (503, 503)), "The receiver is too busy.", "Send Retry-After, and wait."),
    AnswerRow(((400, 499),), "The receiver refuses the lead.", "Read the answer."),
    AnswerRow(
        ((500, 599),),
        "The receiver or the server behind its proxy fails.",
        "See the receiver's log.",
    ),
)


def row_of_code(code: int) -> AnswerRow | None:
    """None for a code that is a success, and for 999: there was no answer."""
    return next((row for row in ROWS if any(first <= code <= last for first, last in row.codes)), None)
