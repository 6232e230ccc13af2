"""What a process says when it starts: mistakes of the installation that stop nothing, and that no page shows."""

import structlog
from sqlalchemy.exc import SQLAlchemyError

from webapp.extensions import db
from webapp.services import health
from webapp.services.signs import checks, readiness

log = structlog.get_logger()


def warn() -> None:
    """Logs what is wrong with the clock and the keys, and why the database does not answer. Never raises."""
    try:
        found = [checks.clock(readiness.clock_offset()), checks.secrets()]
    except SQLAlchemyError as error:  # away, or without tables yet
        db.session.rollback()
        if health.database() == "not migrated":
            log.warning("The database is not migrated.", do="Run `flask --app webapp db upgrade`.")
        else:
            log.warning("The clock and the keys could not be checked.", why=health.reason(error))
        return
    for check in found:
        if check.ok is False:
            log.warning(check.found, why=check.why, do=check.do)
