"""Once through a drain when a worker process starts, so that no lead waits for what is made only once.

Making a statement takes some milliseconds, and reading the authorities of TLS a tenth of a second. On SQLite the first
time-out of a process would have every writer wait while its statements are made.
"""

import contextlib

from sqlalchemy.exc import SQLAlchemyError

from webapp.clock import utcnow
from webapp.db.transactions import read_autocommit
from webapp.delivery import lanes, ledger, record, sending
from webapp.delivery.ledger import Due, Target
from webapp.delivery.moves import Sent, move
from webapp.models import DeliveryState
from webapp.webhooks.outcome import NO_ANSWER, ErrorKind, Outcome

NOBODY = 0  # no webhook and no delivery has this id
_OUTCOMES = (
    Outcome(200, "", False, (), None, 0, None),
    Outcome(500, "", False, (), ErrorKind.HTTP_5XX, 0, None),
    Outcome(NO_ANSWER, "", False, (), ErrorKind.TIMEOUT, 0, None),
)


def rehearse() -> None:
    """Runs what the drain of a lone lead runs, for a webhook and a delivery that do not exist: nothing changes.

    Without a database there is no rehearsal.
    """
    _ = sending.sender.send  # makes the sender, which reads the TLS authorities
    due = Due(NOBODY, "", b"", False, DeliveryState.PENDING, 0, None, None)
    target = Target(NOBODY, "", False, None, None, None, None, None, False, 1, False)
    with contextlib.suppress(SQLAlchemyError), read_autocommit() as connection:
        lanes.take(connection, NOBODY)
        ledger.batch(connection, NOBODY)
        for outcome in _OUTCOMES:
            sent = Sent(due, "", utcnow(), 0, outcome)
            record.write(connection, target, "", None, [(sent, move(sent, ()))])
        record.report_soon(connection, NOBODY)
        ledger.last_look(connection, NOBODY)
