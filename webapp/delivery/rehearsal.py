"""Runs through a drain once when a worker process starts, so that no lead waits for what is made only once.

Building a statement takes some milliseconds, reading the TLS authorities a tenth of a second. On SQLite all writers
would wait while the statements for the process's first time-out are built.
"""

import contextlib
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db import bulk
from webapp.db.bulk import Plain
from webapp.db.transactions import read_autocommit
from webapp.delivery import lanes, ledger, record, sending, several
from webapp.delivery.ledger import Due, Sent, WebhookSettings, move
from webapp.models import DeliveryState
from webapp.webhooks import tls
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome

NO_ROW = 0  # no webhook and no delivery has this id
_OUTCOMES = (
    Outcome(200, "", False, (), None, 0, None),
    Outcome(500, "", False, (), ErrorKind.HTTP_5XX, 0, None),
    Outcome(NO_ANSWER, "", False, (), ErrorKind.TIMEOUT, 0, None),
)


def rehearse() -> None:
    """Runs what draining one lead runs, for a webhook and a delivery that do not exist, so nothing changes.

    Does nothing without a database.
    """
    _ = sending.sender.send  # makes the sender
    tls.trust_of(current_config.webhook_ca_file).context()  # reads the TLS authorities
    due = Due(NO_ROW, "", b"", False, DeliveryState.PENDING, 0, None, None)
    settings = WebhookSettings(NO_ROW, "", False, None, None, None, None, False, 1, False)
    tries = [Sent(due, "", utcnow(), 0, outcome) for outcome in _OUTCOMES]
    with contextlib.suppress(SQLAlchemyError), read_autocommit() as connection:
        _rehearse_record(connection, settings, tries)
    with contextlib.suppress(SQLAlchemyError), bulk.driver() as plain:
        _rehearse_record(plain, settings, tries)
        lanes.take(plain, NO_ROW)
        ledger.last_look(plain, NO_ROW)
        _rehearse_round(plain)
    with contextlib.suppress(SQLAlchemyError):
        several.record_delivered("", [(settings, tries[:1])])


def _rehearse_record(connection: Connection | Plain, settings: WebhookSettings, tries: Sequence[Sent]) -> None:
    """A drain records by the driver, or (what else has to be written with it) by SQLAlchemy."""
    for sent in tries:
        record.write(connection, settings, "", None, [(sent, move(sent, ()))])
    record.report_soon(connection, NO_ROW)
    ledger.batch(connection, NO_ROW)


def _rehearse_round(connection: Plain) -> None:
    several.take(connection, [NO_ROW])
    several.read(connection, [NO_ROW])
    several.free(connection, [NO_ROW])
    several.let_go(connection, "", [NO_ROW])
    several.last_look(connection, [NO_ROW])
