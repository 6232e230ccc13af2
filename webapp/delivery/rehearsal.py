"""Runs through a drain before a worker process has a lead, so that no lead waits for what is made only once.

Building a statement takes some milliseconds, reading the TLS authorities a tenth of a second. On SQLite all writers
would wait while the statements for the process's first time-out are built. The parent does this for all processes. On
PostgreSQL a process of `fast` does it again, in its own sessions: to connect and to plan would take 20 ms of its first
round.
"""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db import bulk
from webapp.db.bulk import Plain
from webapp.db.transactions import read_autocommit
from webapp.delivery import lanes, ledger, record, several
from webapp.delivery.ledger import Batch, Due, Sent, WebhookSettings, move
from webapp.delivery.sending import Sending
from webapp.encryption import encrypt
from webapp.extensions import db
from webapp.models import DeliveryState
from webapp.webhooks import tls
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome
from webapp.webhooks.signing import generate_secret

NO_ROW = 0  # no webhook and no delivery has this id
NOWHERE = "https://leadhook.invalid/"
_OUTCOMES = (
    Outcome(200, "", False, (), None, 0, None),
    Outcome(500, "", False, (), ErrorKind.HTTP_5XX, 0, None),
    Outcome(NO_ANSWER, "", False, (), ErrorKind.TIMEOUT, 0, None),
)


def rehearse() -> None:
    """Runs what draining one lead runs, for a webhook and a delivery that do not exist, so nothing changes.

    Nothing is sent. Ends where there is no database.
    """
    token = encrypt(generate_secret())
    due = Due(NO_ROW, "", b"{}", False, DeliveryState.PENDING, 0, None, None)
    settings = WebhookSettings(NO_ROW, NOWHERE, True, NO_ROW, token, None, None, False, 1, False)
    _rehearse_request(Batch(settings, [due]))
    tries = [Sent(due, "", utcnow(), 0, outcome) for outcome in _OUTCOMES]
    with contextlib.suppress(SQLAlchemyError):
        with _by_sqlalchemy() as connection:
            _rehearse_record(connection, settings, tries)
            record.token_used(connection, settings, utcnow())
        with bulk.driver() as plain:
            _rehearse_record(plain, settings, tries)
            lanes.take(plain, NO_ROW)
            ledger.last_look(plain, NO_ROW)
            _rehearse_round(plain)
        for number in (1, 2):
            several.record_delivered("", [(settings, tries[:1] * number)])


def _rehearse_request(batch: Batch) -> None:
    """Reads the TLS authorities, makes the sender, and signs; there is no kept connection on which it would send."""
    tls.trust_of(current_config.webhook_ca_file).context()
    sent = Sending(batch, lambda: False)
    if sent.prepare():
        sent.begin()


def _by_sqlalchemy() -> AbstractContextManager[Connection]:
    """As `lanes.py` records. SQLite is locked only while a statement runs. On PostgreSQL it commits: after a rollback,
    psycopg forgets what it has prepared."""
    return read_autocommit() if db.engine.dialect.name == "sqlite" else db.engine.begin()


def _rehearse_record(connection: Connection | Plain, settings: WebhookSettings, tries: Sequence[Sent]) -> None:
    """A drain records by the driver, or (what else has to be written with it) by SQLAlchemy: one try, or several."""
    for sent in tries:
        for number in (1, 2):
            record.write(connection, settings, "", None, [(sent, move(sent, ()))] * number)
    record.report_soon(connection, NO_ROW)
    ledger.batch(connection, NO_ROW)


def _rehearse_round(connection: Plain) -> None:
    several.take(connection, [NO_ROW])
    several.read(connection, [NO_ROW])
    several.free(connection, [NO_ROW])
    several.let_go(connection, "", [NO_ROW])
    several.last_look(connection, [NO_ROW])
    several.with_newer(connection, [NO_ROW], [NO_ROW])
