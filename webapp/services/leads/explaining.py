"""Why a delivery is where it is, what happens next, and what to do: in the words of pages, reports and documents."""

from typing import NamedTuple

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.models import Delivery, Lead, Status
from webapp.services.leads import lead_detail, leads
from webapp.services.reports import report_words
from webapp.services.reports.report_words import Failures
from webapp.webhooks import advice, answer_rows
from webapp.webhooks.advice import Failure
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind

REFUSED_BY_RULE = "The webhook’s Success rule sees this answer as a failure."
NO_ANSWER_WORDS = "No answer came that could be used (code 999)."
ENDS = "The operator of the receiver can say more. Then press Retry Webhook."


class Explanation(NamedTuple):
    """Sentences. `answer`: the receiver's own words, which may repeat a visitor's, or our sentence that quotes them:
    only this is not Leadhook's own. `cause` and `step` are None where nothing is wrong, or nothing is known.
    `refusal`: why it cannot be sent again now.
    """

    what: str
    answer: str
    cause: str | None
    step: str | None
    what_next: str
    refusal: str | None


def of_delivery(delivery: Delivery) -> Explanation:
    """By what is stored with the delivery: it asks the database for its lane at most."""
    what, answer = _what(delivery)
    cause, step = _advice(delivery)
    return Explanation(what, answer, cause, step, _what_next(delivery), leads.refusal(delivery))


def of_lead(lead: Lead) -> str | None:
    """Why the lead has no delivery at all; None if it has one."""
    if lead.deliveries:
        return None
    if lead.spam is not None:
        return f"It was taken for spam ({lead.spam}), so it was not sent. Not Spam sends it."
    refusal = leads.retryable(lead)
    return refusal or "No webhook took it when it came. Retry Webhook sends it now."


def _what(delivery: Delivery) -> tuple[str, str]:
    """What came of the last attempt, in our words, and in those of the receiver."""
    code, text = delivery.last_code, delivery.last_response or ""
    if code is None:
        return "There was no attempt yet.", ""
    if code == NO_ANSWER:
        row = _row(delivery)
        return (text, "") if row and "{other}" not in row.words else (NO_ANSWER_WORDS, text)
    return f"{f'The receiver answered {code} {lead_detail.phrase(code)}'.rstrip()}.", text


def _row(delivery: Delivery) -> Failure | None:
    """The row of what went wrong before there was an answer."""
    error = delivery.last_error
    kind = ErrorKind(error) if error in set(ErrorKind) else None
    return advice.row_of(delivery.last_response or "", kind)


def _advice(delivery: Delivery) -> tuple[str | None, str | None]:
    """The usual cause of the last failure, and what to do about it."""
    code, error = delivery.last_code, delivery.last_error
    if code is None or error is None or delivery.status == Status.DELIVERED:
        return None, None
    if error == ErrorKind.NOT_ACCEPTED:
        return REFUSED_BY_RULE, "Read the answer, or correct the Success rule."
    if code != NO_ANSWER:
        row = answer_rows.row_of_code(code)
        return (row.cause, row.step) if row else (None, ENDS)
    found = _row(delivery)
    return (found.cause, found.step) if found else (None, ENDS)


def _what_next(delivery: Delivery) -> str:
    status = delivery.status
    if status == Status.DELIVERED:
        return "It is delivered. There is nothing left to do."
    if status == Status.CANCELLED:
        return _sentences(delivery.state_reason, "It will not be sent.")
    if rest := delivery.rests_until:
        until = report_words.clock(rest)
        return f"The webhook rests until {until}, because the receiver asked. Then it is sent automatically."
    if status == Status.QUEUED:
        return "It is being sent now."
    schedule = current_config.retry_schedule if delivery.webhook.automatic_retries else ()
    reason = delivery.webhook.state_reason if status == Status.HELD else ""
    return _sentences(delivery.state_reason, reason, report_words.what_next(_as_report(delivery), schedule))


def _as_report(delivery: Delivery) -> Failures:
    """The delivery as a report of one failed lead."""
    at, states = delivery.last_at or utcnow(), {delivery.state: 1}
    return Failures(1, at, at, (), states, delivery.next_at, utcnow())


def _sentences(*parts: str) -> str:
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)
