"""Mails: written as rows in the transaction of the event they report, then sent by SMTP, each at least once.

A mail is sent again, with the same Message-ID, only if the process or the connection died between the server's
acceptance and our commit. Two jobs at once do not send it twice: a job claims a mail by a conditional UPDATE of its
`due_at`, for longer than the longest SMTP conversation about it.
"""

import re
import time
from collections.abc import Callable, Iterable
from email.utils import parseaddr
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from flask import current_app
from sqlalchemy import ColumnElement, and_, case, exists, insert, literal, select, text, update

from webapp.clock import now_sql, utcnow
from webapp.config import current_config
from webapp.db import database_clock
from webapp.db.transactions import after_commit, end_transaction, read_only, transaction
from webapp.delivery import rings
from webapp.encryption import CannotDecrypt
from webapp.extensions import db
from webapp.ids import ulid
from webapp.models import Delivery, LeadLogEntry, Mail, MailState, Report, ReportEntry
from webapp.services.mail import sealed, smtp
from webapp.services.mail.smtp import Claimed, Handover

log = structlog.get_logger()

SLICE = 10.0  # seconds that a job sends before it is the next job's turn
LEASE = smtp.DEADLINE + 60.0
WAITS = (30, 120, 600)  # seconds to wait after the first temporary errors; after the others, WAIT
WAIT = 3600
SUBJECT_LIMIT = 200
LOG_ACTIONS = {"lead_notification": "notified", "autoresponse": "autoresponded"}  # in the lead's log, by kind of mail
LINK_REMOVED = "The link in this mail was removed after sending, because it lets its recipient sign in."

ADDRESS = re.compile(r"[^\s<>()\[\]\\,;:\"@\x00-\x1f\x7f]+@[^\s<>()\[\]\\,;:\"@\x00-\x1f\x7f]+")
# All kinds of line breaks, and marks that reverse the direction of the text after them in a list of mails.
UNWANTED_IN_SUBJECT = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


class Rendered(NamedTuple):
    subject: str
    text: str
    html: str


def render(kind: str, base_url: str | None = None, **context: Any) -> Rendered:
    """Renders the three templates in templates/email/<kind>/. The subject is always one line.

    Templates can call `link(endpoint, **values)`, which returns a URL below `base_url` (by default PUBLIC_URL).
    """
    environment = current_app.jinja_env
    context["link"] = _links(base_url or current_config.public_url)
    # Not render_template(): its context processors read the session, and a visitor's request has no session.
    subject = environment.get_template(f"email/{kind}/subject.txt").render(context)
    subject = _storable(UNWANTED_IN_SUBJECT.sub(" ", subject)).strip()[:SUBJECT_LIMIT]
    body = environment.get_template(f"email/{kind}/body.txt").render(context)
    html = environment.get_template(f"email/{kind}/body.html").render(context, subject=subject)
    return Rendered(subject, _storable(body).strip() + "\n", _storable(html))


def write(
    kind: str,
    *,
    recipients: Iterable[str],
    account_id: int | None,
    reply_to: str | None = None,
    lead_id: int | None = None,
    signs_in: bool = False,
    rendered: Rendered | None = None,
    **context: Any,
) -> Mail:
    """Adds a mail to the current transaction. It is sent after the commit, or kept if no SMTP server is configured.

    Never refuses: a lead must not be lost because of its notification. Invalid addresses are left out; a mail without a
    valid address fails at once, with the reason. `context` has the variables of the templates of `kind`; `rendered` is
    their result, if they were rendered before. `lead_id` is for the lead's log. `signs_in`: it has a link that lets its
    recipient sign in, so its bodies are encrypted.
    """
    rendered, addresses = rendered or render(kind, **context), _addresses(recipients)
    bodies = sealed.Bodies(rendered.text, rendered.html)
    mail = Mail(
        kind=kind,
        account_id=account_id,
        message_id=f"<{ulid()}@{_domain()}>",
        recipients=addresses,
        reply_to=next(iter(_addresses([reply_to or ""])), None),
        subject=rendered.subject,
        **(sealed.sealed(bodies) if signs_in else bodies._asdict()),
        lead_id=lead_id,
        signs_in=signs_in,
        state=_first_state(addresses),
        last_error="" if addresses else "It has no valid recipient address.",
    )
    db.session.add(mail)
    if mail.state == MailState.DUE:
        after_commit(rings.ring_mail)
    elif mail.state == MailState.KEPT and lead_id is not None:
        db.session.flush()
        log_sent(mail.id, kind, lead_id, addresses)
    return mail


def _addresses(given: Iterable[str]) -> list[str]:
    """Those that are an address and nothing else, each once."""
    plain = [address for address in map(str.strip, given) if len(address) <= 320 and ADDRESS.fullmatch(address)]
    return list({address.lower(): address for address in plain}.values())


def _first_state(addresses: list[str]) -> MailState:
    if not addresses:
        return MailState.FAILED
    return MailState.DUE if current_config.mail_server else MailState.KEPT


def log_sent(mail_id: int, kind: str, lead_id: int | None, recipients: list[str]) -> None:
    """Writes to the logs of a mail's leads that it was sent (or kept): an action of LOG_ACTIONS, or `reportmailed`."""
    detail = ", ".join(recipients)[:500]
    if lead_id is not None:
        db.session.add(LeadLogEntry(lead_id=lead_id, action=LOG_ACTIONS[kind], detail=detail))
        return
    reported = select(ReportEntry.delivery_id).join(Report).where(Report.mail_id == mail_id)
    values = literal(utcnow(), LeadLogEntry.at.type), literal("reportmailed"), literal(detail)
    leads = select(Delivery.lead_id, *values).where(Delivery.id.in_(reported))
    db.session.execute(insert(LeadLogEntry).from_select(["lead_id", "at", "action", "detail"], leads))


def deliver_due(stopping: Callable[[], bool] = lambda: False) -> None:
    """Hands due mails to the SMTP server, oldest first, for ten seconds or until `stopping()`. Rings if more are due.

    A mail that the server refuses temporarily is retried after 30 s, 2 min and 10 min, then hourly for three days.
    """
    if not current_config.mail_server:
        with transaction():  # mails from a time when there was a server
            db.session.execute(update(Mail).where(_due()).values(state=MailState.KEPT))
        return
    ends_at = time.monotonic() + SLICE

    def time_is_left() -> bool:
        return not stopping() and time.monotonic() < ends_at

    while time_is_left() and _any_due():
        try:
            with smtp.SmtpConnection(current_app.extensions["mail"]) as connection:
                _send_all(connection, time_is_left)
        except smtp.CannotConnect as error:
            log.warning("the mail server cannot be reached", error=str(error))
            with transaction():
                _postpone_all(str(error))
            return
    if _any_due():
        rings.ring_mail()


def _send_all(connection: smtp.SmtpConnection, time_is_left: Callable[[], bool]) -> None:
    """Sends one mail after the other. No transaction is open during the conversation with the server."""
    with transaction():
        claimed = _claim()
    while claimed:
        answer = _hand_over(connection, claimed)
        with transaction():
            _record(claimed, answer)
            claimed = _claim() if not answer.broken and time_is_left() else None


def _hand_over(connection: smtp.SmtpConnection, claimed: Claimed) -> Handover:
    try:
        bodies = sealed.bodies(claimed)
    except CannotDecrypt:  # it is tried again: the key may be put back
        return Handover({}, sealed.UNREADABLE)
    return connection.hand_over(claimed._replace(**bodies._asdict()))


def _due() -> ColumnElement[bool]:
    # A literal: SQLite uses a partial index only if the query repeats its condition word for word.
    return and_(text("mails.state = 'due'"), Mail.due_at <= now_sql())


def _any_due() -> bool:
    with read_only():
        due = db.session.scalar(select(exists().where(_due())))
        end_transaction()
    return bool(due)


def _claim() -> Claimed | None:
    """Claims the next due mail until the lease ends. Skips a mail that another job is claiming at this moment."""
    first = select(Mail.id).where(_due()).order_by(Mail.due_at, Mail.id).limit(1)
    ours = update(Mail).where(Mail.id == first.with_for_update(skip_locked=True).scalar_subquery())
    claim = ours.values(due_at=now_sql() + LEASE, tries=Mail.tries + 1)
    columns = [getattr(Mail, name) for name in Claimed._fields]
    row = db.session.execute(claim.returning(*columns).execution_options(synchronize_session=False)).one_or_none()
    return Claimed(*row) if row else None


def _record(claimed: Claimed, answer: Handover) -> None:
    """Records the result: the mail was sent, failed permanently, or will be sent again at `due_at`."""
    mine = update(Mail).where(Mail.id == claimed.id, Mail.state == MailState.DUE)
    values: dict[str, Any] = {"answers": {**claimed.answers, **answer.answers}, "last_error": answer.error[:500]}
    accepted = [recipient for recipient, error in answer.answers.items() if not error]
    if accepted:
        values["sent_at"] = utcnow()
    if len(values["answers"]) == len(claimed.recipients):
        values["state"] = MailState.FAILED if any(values["answers"].values()) else MailState.SENT
    elif database_clock.now() - claimed.created_at > smtp.PATIENCE:
        values["state"] = MailState.FAILED
    else:
        mine = mine.where(Mail.tries == claimed.tries)  # else another job has claimed it since
        values["due_at"] = now_sql() + (WAITS[claimed.tries - 1] if claimed.tries <= len(WAITS) else WAIT)
    if "state" in values:
        values |= _without_link()
    recorded = mine.values(values).returning(Mail.id).execution_options(synchronize_session=False)
    is_recorded = db.session.execute(recorded).one_or_none() is not None
    if accepted and is_recorded and (claimed.lead_id or not claimed.sent_at):  # the leads of a report log it once
        log_sent(claimed.id, claimed.kind, claimed.lead_id, accepted)
    if answer.error:
        log.warning("a mail was not accepted", mail=claimed.id, try_number=claimed.tries)


def _without_link() -> dict[str, Any]:
    """The bodies of a mail that is sent or failed: a link that signs a person in is not kept in them."""
    columns = {"body_text": Mail.body_text, "body_html": Mail.body_html}
    without = {name: case((Mail.signs_in, LINK_REMOVED), else_=column) for name, column in columns.items()}
    return {**without, "body_encrypted": None}


def _postpone_all(error: str) -> None:
    """After a failed connection: every due mail waits, as long as its own number of tries says. Too old ones fail."""
    due = update(Mail).where(_due()).execution_options(synchronize_session=False)
    tried = {"tries": Mail.tries + 1, "last_error": error[:500]}
    failed = {"state": MailState.FAILED, **tried, **_without_link()}
    db.session.execute(due.where(Mail.created_at < database_clock.now() - smtp.PATIENCE).values(failed))
    wait = case(*((Mail.tries == tries, seconds) for tries, seconds in enumerate(WAITS)), else_=WAIT)
    db.session.execute(due.values(due_at=now_sql() + wait, **tried))


def _domain() -> str:
    """The sender's domain. With another domain, a Message-ID looks forged."""
    return parseaddr(current_config.mail_default_sender)[1].rpartition("@")[2] or "localhost"


def _links(base_url: str) -> Callable[..., str]:
    parts = urlsplit(base_url)
    urls = current_app.url_map.bind(parts.netloc, script_name=parts.path or "/", url_scheme=parts.scheme)

    def link(endpoint: str, **values: Any) -> str:
        return urls.build(endpoint, values, force_external=True)

    return link


def _storable(rendered: str) -> str:
    """Without NUL and lone surrogates, which databases refuse."""
    return rendered.replace("\0", "").encode("utf-8", "replace").decode()
