"""The settings of a session, and what DATABASE_URL may add to them."""

import json

import pytest
from flask import Flask
from flask_migrate import upgrade
from markupsafe import Markup
from sqlalchemy import JSON, Text, cast, literal, select, text

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import ADA
from tests.support.postgres import Postgres
from webapp.db import bulk, engines
from webapp.db.transactions import read_autocommit, transaction
from webapp.extensions import db
from webapp.models import Account, Lead
from webapp.services.interfaces import interfaces

URL = "postgresql+psycopg://leadhook@db/leadhook"


def sent(url: str = URL, prepares: bool = True, plans_once: bool = False) -> dict[str, object]:
    found = engines.options(url, prepares, plans_once, 5)["connect_args"]
    assert isinstance(found, dict)
    return found


def test_sessions_compile_nothing_take_one_processor_and_are_in_utc() -> None:
    given = str(sent()["options"])
    for setting in ("jit=off", "max_parallel_workers_per_gather=0", "timezone=utc"):
        assert f"-c {setting}" in given
    for setting in ("plan_cache_mode=force_generic_plan", "enable_seqscan=off"):
        assert setting not in given
        assert f"-c {setting}" in str(sent(plans_once=True)["options"])


@pytest.mark.parametrize(
    "theirs",
    [
        "-c statement_timeout=30s",
        "-c statement_timeout=30s -c search_path=foo",
        "-csearch_path=foo",
        "--work_mem=8MB",
        "-c timezone=America/New_York",
    ],
)
def test_options_of_the_address_are_sent_too_and_ours_come_last(theirs: str) -> None:
    given = str(sent(f"{URL}?options={theirs.replace(' ', '%20')}")["options"])
    assert given.startswith(f"{theirs} -c ")
    assert given.rindex("timezone=utc") == given.rindex("timezone=")


def test_behind_a_pooler_nothing_is_prepared_and_no_options_are_sent_but_those_of_the_address() -> None:
    assert sent(prepares=False, plans_once=True) == {**engines.WAITS, "prepare_threshold": None}
    asked = sent(f"{URL}?options=-c%20search_path=foo", prepares=False)
    assert asked["options"] == "-c search_path=foo"


def test_autocommit_connections_are_made_the_same_way() -> None:
    for prepares in (True, False):
        [bind] = engines.binds(URL, prepares, True, 5).values()
        assert bind["connect_args"] == sent(prepares=prepares, plans_once=True)
    assert engines.binds("sqlite:///file", True, True, 5) == {}


def test_a_server_that_is_gone_is_waited_for_ten_seconds_unless_the_address_says_otherwise() -> None:
    assert {name: sent()[name] for name in ("connect_timeout", "tcp_user_timeout")} == {
        "connect_timeout": 10,
        "tcp_user_timeout": 10_000,
    }
    for name in engines.WAITS:
        assert sent(f"{URL}?{name}=3").keys() == sent().keys() - {name}, "the address's own value is sent"


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no such options")
@pytest.mark.parametrize("name", list(engines.WAITS))
def test_the_value_of_the_address_reaches_postgresql(make_app: AppMaker, name: str) -> None:
    with make_app().app_context():
        url = db.engine.url.update_query_dict({name: "7"})
    with make_app(DATABASE_URL=url.render_as_string(hide_password=False)).app_context():
        for engine in db.engines.values():
            with engine.connect() as connection:
                told = connection.connection.dbapi_connection.info.get_parameters()
                assert told[name] == "7"


@pytest.mark.parametrize("document", ['{"a": [1, "é"]}', "[]", '"x"', "null", "1.5", ' {"a": 1} ', "\n[]"])
def test_json_is_read_as_the_library_reads_it(document: str) -> None:
    assert engines._from_json(document) == json.loads(document)


@pytest.mark.parametrize(
    "value",
    [
        {"ä": ["é", "🚀", "\ud83d", "\x00", "\x7f", "\u2028"]},
        Markup("<b>"),
        [],
        {},
        "",
        0,
        -0.0,
        1e300,
        10**40,
        True,
        None,
    ],
)
def test_json_is_stored_so_that_both_databases_give_it_back(app: Flask, value: object) -> None:
    assert json.loads(bulk.json_text(value)) == engines._from_json(bulk.json_text(value)) == value
    for engine in db.engines.values():
        with engine.connect() as connection:
            assert connection.scalar(select(literal(value, JSON))) == value


def test_json_is_stored_without_escapes_where_the_database_is_in_utf_8_for_sure(app: Flask) -> None:
    stored = '{"\\u00e4": [1]}' if ON_POSTGRESQL else '{"ä":[1]}'
    with read_autocommit() as connection:
        assert connection.scalar(select(cast(literal({"ä": [1]}, JSON), Text))) == stored


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite keeps all texts in UTF-8")
@pytest.mark.parametrize(("encoding", "more"), [("EUC_JP", ""), ("LATIN1", "&client_encoding=utf8")])
def test_a_database_of_another_encoding_takes_answers_in_any_script(
    make_app: AppMaker, postgres: Postgres, encoding: str, more: str
) -> None:
    name = f"in_{encoding.lower()}"
    postgres.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    app = make_app(DATABASE_URL=postgres.url(name) + more)
    with app.app_context():
        upgrade()
        with transaction():
            account = Account(name="Acme")
            db.session.add(account)
            db.session.flush()
            form = interfaces.create(account.id, "Contact").public_id
    answers = {**ADA, "message": "Grüße 🚀 山田 „Angebot“"}
    posted = app.test_client().post(f"/f/{form}", json=answers, headers={"Accept": "application/json"})
    assert posted.status_code == 201, posted.text
    with app.app_context(), transaction():
        assert db.session.scalars(select(Lead.fields)).one()["message"] == answers["message"]


@pytest.mark.parametrize("document", ["", "{", "nothing", "[1,]"])
def test_what_is_no_json_is_an_error(document: str) -> None:
    with pytest.raises(ValueError):
        engines._from_json(document)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no such settings")
def test_every_connection_has_them(make_app: AppMaker) -> None:
    for app in (make_app(), make_app(worker=True, plans_once=True)):
        with app.app_context():
            for name, value in {"jit": "off", "max_parallel_workers_per_gather": "0", "TimeZone": "UTC"}.items():
                assert str(db.session.scalar(text(f"SHOW {name}"))).upper() == value.upper()
                with read_autocommit() as connection:
                    assert str(connection.scalar(text(f"SHOW {name}"))).upper() == value.upper()
            db.session.rollback()
