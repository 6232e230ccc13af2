"""Whether the parts of the installation answer. Each check is cheap."""

import re
from functools import cache

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from webapp.delivery.rings import queues
from webapp.extensions import db, migrate
from webapp.log import Trouble
from webapp.per_app import per_app

trouble: Trouble = per_app("database_trouble")


def database() -> str:
    """`ok`, `not migrated` (or migrated by another version) or `away` (does not answer: the log says why)."""
    try:
        revision = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError:
        db.session.rollback()
        return "not migrated" if _connects() else "away"
    trouble.over()
    # A newer revision is fine: this version serves while the next one migrates. Revisions are numbers of four digits.
    is_number = bool(re.fullmatch("[0-9]{4}", revision or ""))
    return "ok" if is_number and revision >= _head() else "not migrated"


def redis() -> str:
    """`ok`, `away` or `unusable`: it takes no writes of ours. Then leads are captured, and delivered later."""
    return queues.state()


def reason(error: BaseException) -> str:
    """What the database or the system says about an error: one line, without the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:500] or type(error).__name__


def _connects() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        db.session.rollback()
        trouble.report(reason(error))
        return False
    return True


@cache
def _head() -> str:
    """The newest revision. The files' names begin with their revisions (a house test checks it): Alembic, which would
    run them all, is large."""
    return max(path.name[:4] for path in migrate.directory.glob("versions/[0-9]*.py"))
