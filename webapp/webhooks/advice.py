"""What can go wrong before a receiver's answer is there: the sentence, its usual cause, and what to do about it.

One table, continued in failure_rows.py, for the stored sentence (failures.py adds what to do), the page /docs/webhooks
and docs/receivers/failures.md. tests/webhooks/test_failure_words.py brings about every row with a real counterpart, and
compares the pages.
"""

import re
from functools import cache

from webapp.webhooks.failure_rows import TLS_ROWS, TOKEN_ROWS
from webapp.webhooks.failure_rows import Failure as Failure
from webapp.webhooks.outcome import ErrorKind

EXAMPLE = {"host": "crm.example.com", "port": "443", "limit": "5", "seconds": "15", "code": "600", "other": "…"}
_SECONDS, _NUMBER = r"[\d.e+-]+", r"\d+"
_PATTERNS = {"host": r"\S+?", "port": _NUMBER, "limit": _SECONDS, "seconds": _SECONDS, "code": _NUMBER, "other": r".+"}


ROWS = (
    Failure(
        ErrorKind.TIMEOUT,
        "Timed out: no address was found for {host} port {port} within {limit} s",
        "The name servers of the host, or of this installation, do not answer in time.",
        "If this goes on, check the DNS of this domain.",
    ),
    Failure(
        ErrorKind.TIMEOUT,
        "Timed out: no connection to {host} port {port} within {limit} s",
        "A firewall drops our packets, or the server is down.",
        "Let this installation through the firewall of the receiver.",
    ),
    Failure(
        ErrorKind.TIMEOUT,
        "Timed out: no encrypted connection to {host} port {port} within {limit} s",
        "The server is too busy to begin, or speaks no TLS at this port.",
        "Check the port, and the load of the receiver.",
    ),
    Failure(
        ErrorKind.TIMEOUT,
        "Timed out: no complete response within {seconds} s",
        "The receiver does its work before it answers.",
        "The receiver may have the lead: answer first, then do the work.",
    ),
    Failure(
        ErrorKind.TIMEOUT,
        "Timed out: {host} port {port} stopped responding",
        "The network lost the receiver: a firewall, a route, or the server went away.",
        "Check the network between this installation and the receiver.",
    ),
    Failure(
        ErrorKind.DNS,
        "The name {host} does not resolve: the DNS has no such name",
        "Often a typing error in the URL.",
        "Check the spelling of the name, or add it to the DNS.",
    ),
    Failure(
        ErrorKind.DNS,
        "The name {host} does not resolve: the DNS has no address for it",
        "The name has records of other kinds only, such as those for mail.",
        "Add an A or AAAA record, or enter another URL.",
    ),
    Failure(
        ErrorKind.DNS,
        "The name {host} cannot be looked up at the moment: its name servers answer with errors, or not at all",
        "The name servers of the domain have a fault, or the resolver of this installation has.",
        "If this goes on, check the DNS of this domain.",
    ),
    Failure(
        ErrorKind.REFUSED,
        "Connection refused by {host} port {port}",
        "Nothing listens at that port, or a firewall refuses us.",
        "Start the receiver, or open the port.",
    ),
    Failure(
        ErrorKind.RESET,
        "{host} port {port} closed the connection before its response was complete",
        "The receiver crashed or was restarted, or a proxy before it gave up.",
        "The receiver may have the lead: see its log.",
    ),
    Failure(
        ErrorKind.SENT_AGAIN,
        "{host} port {port} ended a kept connection without an answer",
        "The receiver, or a proxy before it, closed a connection while the lead was on its way.",
        "The request was sent once more, on a new connection.",
    ),
    Failure(
        ErrorKind.SENT_AGAIN,
        "{host} port {port} ended a kept connection with the code 408, as if no request had come",
        "The receiver waited for the next lead for too long, and closed when it came.",
        "The request was sent once more, on a new connection.",
    ),
    Failure(
        ErrorKind.SENT_AGAIN,
        "{host} port {port} sent bytes on a kept connection that are no answer, maybe of an old one",
        "The receiver sends more than its answer, such as a body after a 204.",
        "The request was sent once more, on a new connection.",
    ),
    Failure(
        ErrorKind.UNREACHABLE,
        "Could not reach {host} port {port}: {other}",
        "No route leads there, or a firewall refuses us.",
        "Check the network between this installation and the receiver.",
    ),
    Failure(
        ErrorKind.UNREACHABLE,
        "The URL {other}",
        "Leadhook cannot send to this address.",
        "Correct the Lead Webhook URL.",
    ),
    Failure(
        ErrorKind.BLOCKED_ADDRESS,
        "The address of {host} is not public, and this installation does not allow it",
        "The URL has an address of a private or reserved network.",
        "Use another URL, or have the operator set WEBHOOK_ALLOWED_NETWORKS.",
    ),
    Failure(
        ErrorKind.BLOCKED_NAME,
        "The address of {host} is not public, and this installation does not allow it",
        "The name leads to a private or reserved network. It is looked up again with each attempt.",
        "Correct the DNS, or have the operator set WEBHOOK_ALLOWED_NETWORKS.",
    ),
    Failure(
        ErrorKind.BLOCKED_ADDRESS,
        "Port {port} of {host} is not a port for webhooks",
        "Other services use this port, such as mail or databases.",
        "Enter a URL with another port, such as 443.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "{host} did not answer in HTTP",
        "Another service listens at that port, or the receiver sends no status line.",
        "Check the port of the Lead Webhook URL.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "{host} did not answer in HTTP/1.1",
        "The first line of the answer is not valid.",
        "Answer with a line such as HTTP/1.1 200 OK.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "{host} answered in TLS",
        "The port wants an encrypted connection.",
        "Begin the Lead Webhook URL with https://.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "{host} answered in HTTP/2",
        "The server takes HTTP/2 only, and Leadhook sends HTTP/1.1.",
        "Turn on HTTP/1.1 on the server.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "{host} sent more than 64 KB of headers",
        "The receiver sends too many headers, or too long ones.",
        "Send fewer headers.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "{host} answered with the code {code}, which is not valid here",
        "Only codes from 200 to 599 can end an exchange in HTTP/1.1.",
        "Answer with a code such as 200 or 500.",
    ),
    Failure(
        ErrorKind.BAD_RESPONSE,
        "The request to {host} failed: {other}",
        "A mistake in Leadhook, or a header that cannot be sent.",
        "Ask the operator to look at the server's log.",
    ),
    *TLS_ROWS,
    *TOKEN_ROWS,
)


def row_of(sentence: str, kind: ErrorKind | None = None) -> Failure | None:
    """The row that a sentence is of, with what to do behind it or not; None if the table lacks it.

    `kind`: where two rows have the same words.
    """
    return next((row for row in ROWS if kind in (None, row.kind) and _pattern(row).fullmatch(sentence)), None)


def with_step(sentence: str, kind: ErrorKind | None = None) -> str:
    """The sentence, and what to do about it, if it does not say so yet."""
    row = row_of(sentence, kind)
    return sentence if row is None or sentence.rstrip(".").endswith(row.step.rstrip(".")) else f"{sentence}. {row.step}"


def example(row: Failure) -> str:
    """The sentence as the pages show it."""
    return row.words.format_map(EXAMPLE)


@cache
def _pattern(row: Failure) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", row.words)
    words = "".join(_PATTERNS[part] if at % 2 else re.escape(part) for at, part in enumerate(parts))
    return re.compile(f"{words}(?:\\. {re.escape(row.step.rstrip('.'))}\\.?)?")
