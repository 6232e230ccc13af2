"""Statements that go to the driver without SQLAlchemy's work around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import SQLAlchemyError

from tests.conftest import ON_POSTGRESQL
from tests.support.postgres import Postgres
from webapp.db.engines import AUTOCOMMIT
from webapp.db.plain_reads import PlainSelect
from webapp.db.transactions import disconnect, transaction
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Interface, Webhook, WebhookState

NAME = PlainSelect(select(Interface.name).where(Interface.public_id == bindparam("public_id")))


def pool_of(app: Flask) -> object:
    return (db.engines.get(AUTOCOMMIT) or db.engine).pool


def test_it_gives_the_row_that_is_committed_now(app: Flask, interface: Interface) -> None:
    public_id = interface.public_id
    assert NAME.one_or_none(public_id=public_id) == ("Contact sales",)
    with transaction():
        db.session.get_one(Interface, interface.id).name = "Ask us"
        db.session.flush()
        assert NAME.one_or_none(public_id=public_id) == ("Contact sales",), "the change is not committed"
    assert NAME.one_or_none(public_id=public_id) == ("Ask us",)


def test_values_in_the_statement_go_through_their_types(app: Flask, interface: Interface) -> None:
    active = PlainSelect(select(Webhook.id).where(Webhook.state == WebhookState.ACTIVE, Webhook.id == bindparam("id")))
    paused = PlainSelect(select(Webhook.id).where(Webhook.state == WebhookState.PAUSED, Webhook.id == bindparam("id")))
    webhook_id = interface.webhook.id
    assert active.one_or_none(id=webhook_id) == (webhook_id,)
    assert paused.one_or_none(id=webhook_id) is None


def test_it_gives_none_where_there_is_no_row(app: Flask) -> None:
    assert NAME.one_or_none(public_id="if_x") is None


def test_it_takes_one_connection_of_the_pool_and_gives_it_back(app: Flask, interface: Interface) -> None:
    public_id = interface.public_id
    db.session.rollback()
    for _ in range(50):
        NAME.one_or_none(public_id=public_id)
    assert pool_of(app).checkedout() == 0  # type: ignore[attr-defined]


def test_its_errors_are_sqlalchemys_and_cost_no_connection(app: Flask) -> None:
    wrong = PlainSelect(select(text("missing")).select_from(Interface).where(Interface.public_id == bindparam("id")))
    for _ in range(30):
        with pytest.raises(SQLAlchemyError):
            wrong.one_or_none(id="x")
    assert NAME.one_or_none(public_id="if_x") is None


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no server that could close a connection")
def test_a_connection_that_the_server_closed_is_replaced(app: Flask, interface: Interface, postgres: Postgres) -> None:
    public_id = interface.public_id
    db.session.rollback()
    assert NAME.one_or_none(public_id=public_id)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with db.engine.connect() as connection:
        connection.execute(text(f"{others} AND datname = current_database()"))
    assert NAME.one_or_none(public_id=public_id) == ("Contact sales",)


def test_a_database_that_cannot_be_reached_is_an_error_of_sqlalchemy_too(
    app: Flask, postgres: Postgres | None, tmp_path: Path
) -> None:
    """The sweep asks by such statements: it waits for the database only where it knows the error."""
    disconnect()
    with away(postgres, tmp_path / "leadhook.sqlite3"):
        for asks in (lambda: NAME.one_or_none(public_id="if_x"), Sweep().once):
            with pytest.raises(SQLAlchemyError):
                asks()
    assert NAME.one_or_none(public_id="if_x") is None


@contextmanager
def away(postgres: Postgres | None, file: Path) -> Iterator[None]:
    """In the block no connection to the database can be made."""
    if postgres:
        postgres.stop()
        try:
            yield
        finally:
            postgres.start()
        return
    kept = file.rename(file.with_name("kept"))
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        kept.rename(file)
