"""Alembic's environment. Each migration is a transaction of its own, and the previous version serves meanwhile.

So on PostgreSQL a migration waits half a second at most for a table that others use, then rolls back and tries again.
If it waited longer, every post would queue behind it; and if a post held what it waits for, PostgreSQL would end one of
the two after a second, perhaps the post. On SQLite it does not stand in the line of the writers (db/write_turns.py),
because it would hold up the line until its last statement.
"""

import time
from typing import Any

import structlog
from alembic import context
from flask import current_app
from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from webapp.config import current_config
from webapp.db.engines import SETTINGS

log = structlog.get_logger()
db = current_app.extensions["migrate"].db
TRIES, PAUSE = 120, 0.5  # seconds
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
LOCK_NOT_AVAILABLE = "55P03"


def run() -> None:
    engine = db.engine if db.engine.dialect.name == "postgresql" else sqlite_engine()
    for tries_left in range(TRIES - 1, -1, -1):
        try:
            with engine.connect() as connection:
                migrate(connection)
                if engine.dialect.name == "postgresql" and not current_config.prepared_statements:
                    set_for_role(connection)
            return
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE or not tries_left:
                raise
            time.sleep(PAUSE)


def migrate(connection: Connection) -> None:
    begin = LOCK_TIMEOUT if connection.dialect.name == "postgresql" else "BEGIN IMMEDIATE"

    @event.listens_for(connection, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(begin)

    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def set_for_role(connection: Connection) -> None:
    """What a pooler does not let us send while connecting (db/engines.py): from now on PostgreSQL itself gives it to
    each new session of this role in this database."""
    role, database = connection.exec_driver_sql("SELECT current_user, current_database()").one()
    quote = connection.dialect.identifier_preparer.quote
    for name, value in SETTINGS.items():
        connection.exec_driver_sql(f"ALTER ROLE {quote(role)} IN DATABASE {quote(database)} SET {name} = '{value}'")
    connection.commit()
    log.info("settings were given to the role", role=role, database=database, settings=SETTINGS)


def sqlite_engine() -> Engine:
    engine = create_engine(db.engine.url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.isolation_level = None  # else sqlite3 begins transactions itself
        for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "foreign_keys = ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}")

    return engine


run()
