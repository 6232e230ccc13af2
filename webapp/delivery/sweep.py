"""The sweep: rings lanes whose ring was lost. Only one sweeper works at a time on all hosts: it has a lease in the
database.

It does not trust markers: it reads which jobs wait, and rings every free lane with due deliveries that has no job. So a
lost ring, `FLUSHALL`, a Redis outage or a killed worker delays leads by seconds, and none is lost.
"""

import contextlib
import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from webapp.clock import moment, now_sql
from webapp.db.plain_reads import PlainSelect
from webapp.db.transactions import read_only
from webapp.delivery import certificates, ledger, maintenance, rings, several, states, unmarked
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import (
    AutoresponseCount,
    Delivery,
    File,
    Interface,
    Lane,
    Lead,
    Mail,
    MailState,
    PreviousSecret,
    Sweeper,
    Webhook,
    WebhookState,
)
from webapp.models.mail import LINKS_LIVE

EVERY = 2.0  # seconds
LEASE = 10.0
RENEW_EVERY = 4.0  # seconds; while there is nothing to do, nothing else is written
FORGET_EVERY = 60.0  # seconds between two checks for leads to delete or anonymise

_OVERLAP_ENDED = PreviousSecret.until <= now_sql()  # a rotated secret that signs no longer
_MAIL_DUE = text("mails.state = 'due'")  # the exact text of the partial index
_MAIL_OR_REPORT = or_(
    exists().where(_MAIL_DUE, Mail.due_at <= now_sql()).select_from(Mail),
    exists().where(Webhook.report_due_at <= now_sql()),
)


def _has_one(*conditions: Any) -> Any:
    return several.has_one(Delivery.webhook_id == Webhook.id, *conditions)


# A webhook has deliveries in a state that its own state does not allow: they were captured or recorded while it
# changed. That is: due deliveries of a paused or deleted webhook, deliveries on hold of a deleted one, and deliveries
# on hold for a pause that is over. One subquery for each: with an OR inside, SQLite reads every delivery.
_WRONG = or_(
    and_(
        Webhook.state != WebhookState.ACTIVE,
        or_(*(_has_one(part) for part in (ledger.FRESH, ledger.AGAIN, ledger.CLICKED))),
    ),
    and_(Webhook.state == WebhookState.ARCHIVED, _has_one(states.ON_HOLD)),
    and_(
        Webhook.state == WebhookState.ACTIVE,
        _has_one(states.ON_HOLD, Delivery.state_reason == states.PAUSED_REASON),
    ),
)
_A_LANE = select(Lane.webhook_id).join(Webhook).where(ledger.ACTIVE, ~ledger.LANE_LOCKED, ledger.is_due())
_ANYTHING = PlainSelect(
    select(
        or_(
            _A_LANE.exists(),
            select(Webhook.id).where(_WRONG).exists(),
            select(Webhook.id).where(maintenance.IS_DUE).exists(),
            exists().where(_OVERLAP_ENDED),
            _MAIL_OR_REPORT,
        )
    )
)


class Sweep:
    """The sweeper of one `worker.py`. `once()` does nothing while another sweeper holds the lease."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.forgets_at = self.renews_at = 0.0  # by time.monotonic()

    def once(self) -> None:
        """One sweep: corrects deliveries that a pause, resume or deletion missed, deletes rotated secrets that sign no
        longer, then rings lanes and mail. While there is nothing to do it only asks, with one statement."""
        has_work = time.monotonic() >= self.forgets_at or _anything()
        if not has_work and time.monotonic() < self.renews_at:
            return
        if self._hold_lease():
            self.renews_at = time.monotonic() + RENEW_EVERY
            if has_work:
                self._work()

    def _work(self) -> None:
        with read_only(), db.engine.connect() as connection:
            to_correct, in_maintenance, overlap_ended = _to_mend(connection)
        if overlap_ended:
            with db.engine.begin() as connection:
                connection.execute(delete(PreviousSecret).where(_OVERLAP_ENDED))
        for webhook_id in in_maintenance:
            with db.engine.begin() as connection:
                maintenance.apply(connection, webhook_id)
        for webhook_id in to_correct:
            with db.engine.begin() as connection:
                _correct(connection, webhook_id)
        with read_only(), db.engine.connect() as connection:
            due, has_mail = _to_ring(connection)
            jobs = {
                "mail": has_mail,
                "forget": self._forget_is_due(connection),
            }
        self._ring(due, [name for name, is_due in jobs.items() if is_due])

    def _forget_is_due(self, connection: Connection) -> bool:
        """Whether it is time for the job that deletes and anonymises, and there may be something for it to do."""
        if time.monotonic() < self.forgets_at:
            return False
        self.forgets_at = time.monotonic() + FORGET_EVERY
        return _may_forget(connection)

    def _ring(self, due: Sequence[tuple[int, bool]], jobs: Sequence[str]) -> None:
        try:
            waiting = rings.names_with_a_job()
            for webhook_id, slow in due:
                if str(webhook_id) not in waiting:
                    rings.ring_again(webhook_id, slow)
            for name in jobs:
                if name not in waiting:
                    rings.ring_job_again(name)
        except RedisError as error:
            queues.failed(error)

    def _hold_lease(self) -> bool:
        """Takes or renews the lease; returns whether this sweeper has it."""
        until = Sweeper.lease_until
        free = or_(Sweeper.token == self.token, until <= now_sql(), until > now_sql() + LEASE)
        take = update(Sweeper).where(Sweeper.id == 1, free).values(token=self.token, lease_until=now_sql() + LEASE)
        with db.engine.begin() as connection:
            if connection.execute(take).rowcount:
                return True
            if connection.execute(select(Sweeper.id)).one_or_none():
                return False
        try:
            with db.engine.begin() as connection:
                connection.execute(insert(Sweeper).values(id=1, token=self.token, lease_until=now_sql() + LEASE))
        except IntegrityError:
            return False
        return True

    def resign(self) -> None:
        """Ends the lease, so that another sweeper can begin at once."""
        self.renews_at = 0.0
        with db.engine.begin() as connection:
            connection.execute(update(Sweeper).where(Sweeper.token == self.token).values(lease_until=0.0))


def rehearse() -> None:
    """Asks what a sweep asks, and changes nothing: a process that calls it before its forks builds the statements for
    all of them. Does nothing without a database."""
    with contextlib.suppress(SQLAlchemyError), read_only():
        _anything()
        with db.engine.connect() as connection:
            _to_mend(connection)
            _to_ring(connection)
            _may_forget(connection)


def _anything() -> bool:
    """Whether there is anything to correct or to ring."""
    found = _ANYTHING.one_or_none(lease=ledger.lease())
    return bool(found and found[0])


def _to_mend(connection: Connection) -> tuple[Sequence[int], Sequence[int], bool]:
    """The webhooks to correct, those whose maintenance window begins or ends, and whether an overlap has ended."""
    wrong = connection.scalars(select(Webhook.id).where(_WRONG)).all()
    ended = connection.execute(select(exists().where(_OVERLAP_ENDED))).scalar_one()
    return wrong, maintenance.due(connection), ended


def _to_ring(connection: Connection) -> tuple[Sequence[tuple[int, bool]], bool]:
    """The lanes with due deliveries, and whether mail or a report is due."""
    return ledger.due_lanes(connection, ledger.lease()), connection.execute(select(_MAIL_OR_REPORT)).scalar_one()


def _correct(connection: Connection, webhook_id: int) -> None:
    """Corrects them by the state that the webhook has once its lane is locked: it may have been resumed since."""
    states.lock_lane(connection, webhook_id)
    state = connection.scalars(select(Webhook.state).where(Webhook.id == webhook_id)).one()
    corrections = {
        WebhookState.ACTIVE: states.release,
        WebhookState.PAUSED: states.hold,
        WebhookState.ARCHIVED: states.cancel,
    }
    corrections[state](connection, webhook_id)


def _may_forget(connection: Connection) -> bool:
    keeps = exists().where(Interface.retention_days.is_not(None))
    blanks = exists().where(text("leads.blank_due")).select_from(Lead)  # the exact text of the partial index
    counts = select(AutoresponseCount.interface_id).exists()
    loose = exists().where(File.lead_id.is_(None)).select_from(File)  # they wait for a lead, or to be deleted
    now = _now(connection)
    certificate = exists().where(certificates.to_tell(now)).select_from(Webhook)
    found = connection.execute(select(or_(keeps, blanks, counts, loose, _has_links(now), certificate))).scalar_one()
    return bool(found) or unmarked.exist(connection)


def _now(connection: Connection) -> datetime:
    """By the database's clock: this host's own may be wrong."""
    return moment(connection.execute(select(now_sql())).scalar_one())


def _has_links(now: datetime) -> ColumnElement[bool]:
    """SQL: a mail has a link that is too old to work, or (from an earlier version) one that is not encrypted."""
    encrypted, oldest = Mail.body_encrypted.is_not(None), now - LINKS_LIVE
    old = exists().where(encrypted, Mail.created_at < oldest, Mail.state != MailState.DUE).select_from(Mail)
    for_operator = text("(mails.account_id IS NULL OR mails.signs_in)")  # the exact text of the partial index
    waits = Mail.signs_in, Mail.state.in_((MailState.DUE, MailState.KEPT)), Mail.created_at >= oldest
    return or_(old, exists().where(for_operator, *waits, ~encrypted).select_from(Mail))
