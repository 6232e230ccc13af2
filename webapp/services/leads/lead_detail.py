"""What the page of one lead shows: its attempts, the request as it was sent, and a command to repeat it."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from webapp.extensions import db
from webapp.models import Attempt, Delivery, Field, FieldType, File, Lead, Reason
from webapp.services.files import stored
from webapp.services.intake import undeclared
from webapp.services.intake.rules import CUT, UNPARSED
from webapp.services.interfaces import answer_limits
from webapp.services.interfaces.field_types import shown
from webapp.services.leads import leads
from webapp.services.leads.tel_links import tel_uri
from webapp.services.webhooks import shown_requests
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind
from webapp.webhooks.sender import USER_AGENT
from webapp.webhooks.signing import message_headers

SHOWN = 25  # attempts, the newest; a body may have 16 KB
MASK = "v1,••••••••••••"
FAULTS = {
    "timeout": "Timed out",
    "tls": "Certificate not trusted",
    "dns": "Name not resolved",
    "refused": "Connection refused",
    "reset": "Connection closed",
    "unreachable": "Unreachable",
    "blocked_address": "Address not allowed",
    "blocked_name": "Address not allowed",
    "bad_response": "Answer not understood",
    "sent_again": "No answer, sent once more",
}
NOT_ACCEPTED = "refused by the Success rule"


class Timeline(NamedTuple):
    """A delivery, its newest attempts and the number of all. `refusal`: why it cannot be sent again now, or None."""

    delivery: Delivery
    attempts: Sequence[Attempt]
    total: int
    refusal: str | None

    @property
    def id(self) -> str:
        return self.delivery.webhook.public_id

    @property
    def signed(self) -> bool:
        """Whether the last attempt had the signature of a Shared Token."""
        return bool(self.attempts and self.attempts[0].signed_with_id)


def timelines(lead: Lead) -> list[Timeline]:
    """One for each webhook that took the lead, also for a shadow and one that was removed."""
    return [Timeline(each, *attempts(each), leads.refusal(each)) for each in lead.deliveries]


def attempts(delivery: Delivery) -> tuple[Sequence[Attempt], int]:
    """The newest attempts with the users who asked for them, and the number of all attempts."""
    of_delivery = Attempt.delivery_id == delivery.id
    newest = select(Attempt).where(of_delivery).options(joinedload(Attempt.user)).order_by(Attempt.id.desc())
    found = db.session.scalars(newest.limit(SHOWN)).all()
    if len(found) < SHOWN:
        return found, len(found)
    total = db.session.scalar(select(func.count()).select_from(Attempt).where(of_delivery))
    return found, total or 0


def code_words(attempt: Attempt) -> str:
    """What its code means: Service Unavailable for 503; for 999 what happened instead, such as Timed out. It says
    where the webhook's Success rule sees the answer otherwise."""
    if attempt.code == NO_ANSWER:
        return FAULTS.get(attempt.error or "", "No answer")
    if attempt.error == ErrorKind.NOT_ACCEPTED:
        return ", ".join(filter(None, (phrase(attempt.code), NOT_ACCEPTED)))
    is_accepted = attempt.error is None and not 200 <= attempt.code < 300
    return phrase(attempt.code) + (", accepted by the Success rule" if is_accepted else "")


def phrase(code: int) -> str:
    """Its name in HTTP; empty for a code without one."""
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def reason(attempt: Attempt) -> str:
    """Why the attempt was made, and for which user."""
    if attempt.reason == Reason.AUTOMATIC:
        return "Automatic"
    what = "Test" if attempt.reason == Reason.TEST else "Retry Webhook"
    return f"{what} by {attempt.user.label}" if attempt.user else what


def request_headers(delivery: Delivery, attempt: Attempt) -> str:
    """The headers that matter, one per line. What proves who sends is masked: it was not kept."""
    headers = _headers(delivery, attempt.timestamp, MASK if attempt.signed_with_id else None)
    proofs = shown_requests.masked_headers(delivery.webhook)
    return "\n".join(f"{name}: {value}" for name, value in {**headers, **proofs}.items())


def response(attempt: Attempt) -> str:
    """The response as it came: code, headers, body. Without a response, what happened."""
    if attempt.code == NO_ANSWER:
        return attempt.response
    headers = "".join(f"{name}: {value}\n" for name, value in attempt.response_headers)
    return f"{attempt.code} {phrase(attempt.code)}\n{headers}\n{attempt.response}".rstrip()


def curl(delivery: Delivery, attempt: Attempt | None) -> str | None:
    """A command for a POSIX shell that repeats the request, without what proves who sends; None if the webhook has no
    URL, or the payload could not be made.

    Every part is quoted by shlex: if a visitor writes `'; rm -rf ~; '` into a form, it stays a part of a JSON string.
    """
    url, method = delivery.webhook.url, shown_requests.method(delivery.webhook)
    if not (url and delivery.payload):
        return None
    verb = "" if method == "POST" else f" -X {method}"
    headers = _headers(delivery, attempt.timestamp if attempt else None).items()
    parts = [f"curl -i --globoff{verb} {shlex.quote(url)}"]
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers]
    body = delivery.payload.decode("utf-8", "replace")
    # After --data-binary curl takes what begins with @ for a file's name.
    data = "--data-binary" if body.startswith("{") else "--data-raw"
    return " \\\n  ".join([*parts, f"{data} {shlex.quote(body)}"])


class ShownAnswer(NamedTuple):
    """An answer as its lead's page shows it. `tel` is the link that dials it; `note` says what its mark means."""

    label: str
    type: str
    text: str
    tel: str | None = None
    typed: str | None = None  # where it says more than the text
    note: str | None = None


def fields(lead: Lead) -> list[ShownAnswer]:
    """Every answer in the order of the questions, without consents.

    A removed field keeps its label. An answer that never had a field has its key as the label.
    """
    known = {field.key: field for field in (*lead.interface.removed_fields, *lead.interface.fields)}
    agreed = {entry["key"] for entry in lead.consents}
    return [_answer(lead, key, known.get(key)) for key in lead.fields if key not in agreed]


def _answer(lead: Lead, key: str, field: Field | None) -> ShownAnswer:
    value, kind = shown(lead.fields[key]), field.type if field else FieldType.TEXT
    return ShownAnswer(
        label=field.label if field else key,
        type=kind,
        text=value,
        tel=tel_uri(value, lead.interface.country) if kind == FieldType.PHONE else None,
        typed=(lead.typed or {}).get(key),
        note=_note(kind, (lead.marks or {}).get(key)),
    )


def _note(kind: str, mark: str | None) -> str | None:
    """What the mark of an answer means, for people."""
    if mark == UNPARSED:
        what = " as a phone number" if kind == FieldType.PHONE else ""
        return f"Not read{what}: delivered as typed"
    return "Longer than the limit: cut" if mark == CUT else None


def files(lead: Lead) -> Sequence[File]:
    """What the visitor added; asks the database only where an answer of the lead can hold files."""
    may_have = any(isinstance(value, list) and value and isinstance(value[0], dict) for value in lead.fields.values())
    return stored.of_lead(lead.id) if may_have else ()


def consents(lead: Lead) -> list[dict[str, Any]]:
    """What the visitor agreed to, or not: text, version, given, page, and `at` as a datetime."""
    return [{**entry, "at": datetime.fromisoformat(entry["at"])} for entry in lead.consents]


def undeclared_answers(lead: Lead) -> list[tuple[str, str, bool]]:
    """Every undeclared answer as (name, text, whether it was cut), in the order they came."""
    cut = (lead.undeclared or {}).get(undeclared.CUT, ())
    return [(name, shown(value), name in cut) for name, value in undeclared.answers(lead.undeclared).items()]


def undeclared_left_out(lead: Lead) -> int:
    """How many undeclared answers were left out, because there were too many or they were too long."""
    return int((lead.undeclared or {}).get(undeclared.LEFT_OUT, 0))


def unanswered(lead: Lead) -> str | None:
    """Why the visitor got no automatic answer although the form sends them, as a sentence; None if it is not so."""
    if lead.unanswered is None:
        return None
    return f"The visitor got no automatic answer. {answer_limits.REASONS.get(lead.unanswered, lead.unanswered)}"


def _headers(delivery: Delivery, timestamp: int | None, signature: str | None = None) -> dict[str, str]:
    message = message_headers(delivery.message_id, timestamp, signature, delivery.hops, delivery.content_type)
    return {"user-agent": USER_AGENT, **message}
