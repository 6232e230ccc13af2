"""The ledger: what was accepted, what was received, and what the database says of it, side by side."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Engine, Select, false, func, select
from sqlalchemy.orm import Session

from tests.fault.chaos import Cut
from tests.fault.mailbox import Accepted
from tests.fault.receivers import Send
from tests.fault.visitors import Post
from webapp.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Lane,
    Lead,
    Mail,
    MailState,
    Reason,
    Report,
    ReportEntry,
    ReportKind,
)
from webapp.webhooks.outcome import ErrorKind


class Promise(NamedTuple):
    """A lead with its delivery, or with None where it has none."""

    lead: str
    lead_id: str
    received_at: datetime
    delivery_id: int | None
    message_id: str
    webhook_id: int
    payload: bytes
    state: str
    tries: int


class Try(NamedTuple):
    """An attempt row. A try that sent two requests has two; `again` is the first of them, which decides nothing."""

    id: str
    delivery_id: int
    message_id: str
    timestamp: int
    started_at: datetime
    duration_ms: int
    code: int
    automatic: bool
    again: bool = False

    @property
    def key(self) -> tuple[str, int]:
        return self.message_id, self.timestamp

    @property
    def delivered(self) -> bool:
        return 200 <= self.code < 300


class Letter(NamedTuple):
    """A mail row; `lead` is whom it notifies of."""

    message_id: str
    kind: str
    state: str
    tries: int
    lead: str | None


class Told(NamedTuple):
    """A report entry, and the Message-ID of the mail that tells of it, None where none does."""

    delivery_id: int
    kind: str
    mail: str | None


class Books(NamedTuple):
    """What the database says."""

    promises: Sequence[Promise]
    tries: Sequence[Try]
    letters: Sequence[Letter]
    told: Sequence[Told]
    held: Sequence[int]  # webhook ids of lanes that somebody holds, or that nobody let go

    @classmethod
    def read(cls, engine: Engine) -> "Books":
        lead, of_delivery = (Lead.name, Lead.public_id, Lead.received_at), ("id", "message_id", "webhook_id")
        promises = select(*lead, *_of(Delivery, *of_delivery, "payload", "state", "tries")).select_from(Lead)
        of_attempt = _of(Attempt, "timestamp", "started_at", "duration_ms", "code")
        kind = Attempt.reason == Reason.AUTOMATIC, func.coalesce(Attempt.error == ErrorKind.SENT_AGAIN, false())
        tries = select(Attempt.id, Delivery.id, Delivery.message_id, *of_attempt, *kind)
        letters: Select[Any] = select(*_of(Mail, "message_id", "kind", "state", "tries"), Lead.name).select_from(Mail)
        told = select(ReportEntry.delivery_id, ReportEntry.kind, Mail.message_id).select_from(ReportEntry)
        held = select(Lane.webhook_id).where(Lane.lease_until > 0)
        with Session(engine) as session:
            return cls(
                [Promise(*row) for row in session.execute(promises.outerjoin(Delivery))],
                [Try(*row) for row in session.execute(tries.select_from(Attempt).join(Delivery))],
                [Letter(*row) for row in session.execute(letters.outerjoin(Lead, Lead.id == Mail.lead_id))],
                [Told(*row) for row in session.execute(told.outerjoin(Report).outerjoin(Mail))],
                list(session.scalars(held)),
            )


def _of(model: Any, *names: str) -> list[Any]:
    return [getattr(model, name) for name in names]


def unsettled(engine: Engine) -> str:
    """What is not done yet, in words; empty where everything is."""
    waiting = select(func.count()).where(Delivery.state != DeliveryState.DELIVERED)
    untold = select(func.count()).where(ReportEntry.report_id.is_(None))
    unsent = select(func.count()).where(Mail.state != MailState.SENT)
    with Session(engine) as session:
        counts = [session.scalar(question) or 0 for question in (waiting, untold, unsent)]
    words = ("leads not delivered", "failures not reported", "mails not sent")
    return ", ".join(f"{number} {what}" for number, what in zip(counts, words, strict=True) if number)


class Exit(NamedTuple):
    """An end of worker.py by SIGTERM."""

    code: int
    seconds: float
    in_flight: int  # sends when it was told
    last: list[str]  # the roles of the processes that took longest


class Evidence(NamedTuple):
    """Everything that the checks look at. `webhooks` names the receiver of each; `log` is what the processes said."""

    database: str
    deadline: float
    retries: Sequence[float]
    webhooks: dict[int, str]
    posts: Sequence[Post]
    sends: Sequence[Send]
    mails: Sequence[Accepted]
    cuts: Sequence[Cut]
    exits: Sequence[Exit]
    books: Books
    log: str


class Ledger:
    """The evidence, looked up in the ways the checks need."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.books = evidence.books

    @cached_property
    def promises(self) -> dict[str, list[Promise]]:
        """By lead."""
        return _grouped((promise.lead, promise) for promise in self.books.promises)

    @cached_property
    def sends(self) -> dict[str, list[Send]]:
        """By webhook-id, in the order in which they came."""
        return _grouped((send.message_id, send) for send in sorted(self.evidence.sends, key=lambda send: send.at))

    @cached_property
    def tries(self) -> dict[str, list[Try]]:
        """By webhook-id, in the order in which they were made."""
        return _grouped((one.message_id, one) for one in sorted(self.books.tries, key=lambda one: one.started_at))

    @cached_property
    def cut_off(self) -> list[Send]:
        """The sends of which no attempt tells. A try that is on the wire twice needs two attempts."""
        recorded = Counter(one.key for one in self.books.tries)
        lost = []
        for send in sorted(self.evidence.sends, key=lambda send: send.at):
            if recorded[send.key]:
                recorded[send.key] -= 1
            else:
                lost.append(send)
        return lost

    @cached_property
    def told(self) -> dict[int, list[Told]]:
        """The failures told of, by delivery."""
        return _grouped((one.delivery_id, one) for one in self.books.told if one.kind == ReportKind.FAILED)


def _grouped(pairs: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
