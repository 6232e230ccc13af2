"""What a process says when it starts: mistakes of the installation that stop nothing, and that no page shows."""

from collections.abc import Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError

from webapp import private_home
from webapp.config import current_config
from webapp.extensions import db
from webapp.services.signs import checks, health, readiness
from webapp.services.signs.checks import Check

log = structlog.get_logger()


def warn() -> None:
    """Logs what is wrong with the installation, and why the database does not answer. Never raises.

    Makes private what visitors uploaded before the files of LEADHOOK_HOME were private.
    """
    try:
        private_home.mend_files(current_config)
        _log([checks.home(), checks.proxies()])
    except OSError as error:
        log.warning("LEADHOOK_HOME could not be checked.", why=health.reason(error))
    try:
        _log([checks.clock(readiness.clock_offset()), checks.secrets()])
    except SQLAlchemyError as error:  # away, or without tables yet
        db.session.rollback()
        if health.database() == "not migrated":
            log.warning("The database is not migrated.", do="Run `flask --app webapp db upgrade`.")
        else:
            log.warning("The clock and the keys could not be checked.", why=health.reason(error))


def _log(found: Sequence[Check]) -> None:
    for check in found:
        if check.ok is False:
            log.warning(check.found, why=check.why, do=check.do)
