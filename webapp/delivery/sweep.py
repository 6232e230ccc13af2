"""The sweep: rings what nobody rang. One sweeper at a time among all hosts, by a lease row in the database.

It does not trust markers: it reads which jobs wait, and rings every free lane with due deliveries that is not among
them. So a lost ring, `FLUSHALL`, a Redis outage or a killed worker costs seconds, never a lead.
"""

import secrets
import time
from collections.abc import Sequence

from redis.exceptions import RedisError
from sqlalchemy import Connection, and_, delete, exists, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from webapp.clock import now_sql
from webapp.db.transactions import read_only
from webapp.delivery import lanes, ledger, states
from webapp.delivery.queues import FAST, MAIL, NAMES, SLOW, queues
from webapp.extensions import db
from webapp.models import (
    AutoresponseCount,
    Delivery,
    Interface,
    Lead,
    Mail,
    PreviousSecret,
    Sweeper,
    Webhook,
    WebhookState,
)

EVERY = 2.0  # seconds
LEASE = 10.0
FORGET_EVERY = 60.0  # seconds between looks at what is to be deleted or anonymised

_OVER = PreviousSecret.until <= now_sql()  # the overlap of a rotation


class Sweep:
    """The sweeper of one supervisor; `once()` does nothing while another one holds the lease."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.forgets_at = 0.0  # by time.monotonic()

    def once(self) -> None:
        """One sweep: settles what slipped past a pause or a deletion, drops secrets that sign no more, then rings lanes
        and mail."""
        if not self._lead():
            return
        with read_only(), db.engine.connect() as connection:
            stray = _stray(connection)
            overlap_ended = connection.execute(select(exists().where(_OVER))).scalar_one()
        if overlap_ended:
            with db.engine.begin() as connection:
                connection.execute(delete(PreviousSecret).where(_OVER))
        for webhook_id in stray:
            with db.engine.begin() as connection:
                _settle(connection, webhook_id)
        with read_only(), db.engine.connect() as connection:
            due = ledger.due_lanes(connection, lanes.lease())
            mail, forget = _mail_is_due(connection), self._forgets(connection)
        self._ring(due, mail, forget)

    def _forgets(self, connection: Connection) -> bool:
        """Whether it is time for the job that forgets, and there may be something for it to do."""
        if time.monotonic() < self.forgets_at:
            return False
        self.forgets_at = time.monotonic() + FORGET_EVERY
        return _may_forget(connection)

    def _ring(self, due: Sequence[tuple[int, bool]], mail: bool, forget: bool) -> None:
        try:
            waiting = {job_id.rpartition("-")[0] for name in NAMES for job_id in queues.get(name).get_job_ids()}
            for webhook_id, slow in due:
                if str(webhook_id) not in waiting:
                    lanes.mark(str(webhook_id))
                    lanes.enqueue(str(webhook_id), SLOW if slow else FAST, "webapp.jobs.drain", webhook_id)
            if mail and "mail" not in waiting:
                lanes.mark("mail")
                lanes.enqueue("mail", MAIL, "webapp.jobs.send_mail")
            if forget and "forget" not in waiting:
                lanes.mark("forget")
                lanes.enqueue("forget", MAIL, "webapp.jobs.forget")
        except RedisError:
            queues.failed()

    def _lead(self) -> bool:
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
        """Lets another sweeper begin at once."""
        with db.engine.begin() as connection:
            connection.execute(update(Sweeper).where(Sweeper.token == self.token).values(lease_until=0.0))


def _stray(connection: Connection) -> Sequence[int]:
    """Webhooks with deliveries in a state that theirs does not allow: a capture, or a result, slipped past its change.

    What waits though the webhook is paused or deleted, what is held though it is deleted, or for a pause that is over.
    """
    of_webhook = Delivery.webhook_id == Webhook.id
    # An EXISTS for each part: SQLite finds none of their indexes through an OR within one, and reads every delivery.
    waits = or_(*(exists().where(of_webhook, part) for part in (ledger.FRESH, ledger.AGAIN, ledger.CLICKED)))
    held = exists().where(of_webhook, states.HELD)
    paused = exists().where(of_webhook, states.HELD, Delivery.state_reason == states.PAUSED_REASON)
    state = Webhook.state
    wrong = or_(
        and_(state != WebhookState.ACTIVE, waits),
        and_(state == WebhookState.ARCHIVED, held),
        and_(state == WebhookState.ACTIVE, paused),
    )
    return connection.scalars(select(Webhook.id).where(wrong)).all()


def _settle(connection: Connection, webhook_id: int) -> None:
    """Puts them right, by the state the webhook has under the lock: it may have been resumed since it was looked at."""
    states.lock_lane(connection, webhook_id)
    state = connection.scalars(select(Webhook.state).where(Webhook.id == webhook_id)).one()
    settle = {
        WebhookState.ACTIVE: states.release,
        WebhookState.PAUSED: states.hold,
        WebhookState.ARCHIVED: states.cancel,
    }
    settle[state](connection, webhook_id)


def _mail_is_due(connection: Connection) -> bool:
    due = text("mails.state = 'due'")  # in the words of the partial index
    mail = exists().where(due, Mail.due_at <= now_sql()).select_from(Mail)
    report = exists().where(Webhook.report_due_at <= now_sql())
    return bool(connection.execute(select(or_(mail, report))).scalar_one())


def _may_forget(connection: Connection) -> bool:
    keeps = exists().where(Interface.retention_days.is_not(None))
    blanks = exists().where(text("leads.blank_due")).select_from(Lead)  # in the words of the partial index
    counts = select(AutoresponseCount.interface_id).exists()
    return bool(connection.execute(select(or_(keeps, blanks, counts))).scalar_one())
