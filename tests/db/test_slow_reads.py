"""Searches and exports take turns, and no page reads for longer than it may; both with a real server and database."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tests.conftest import ON_POSTGRESQL, AppMaker
from tests.support.factories import ADA
from tests.support.no_threads import refused
from tests.support.site import ROOT, Site
from tests.support.waiting import wait_until
from webapp.db import slow_reads
from webapp.db.slow_reads import AT_ONCE, INSIDE, Busy, Room, Turns
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Interface, Lead

# Reads for hours, on each database by its own means.
ENDLESS = (
    "SELECT count(*) FROM generate_series(1, 1000000) AS a, generate_series(1, 1000000) AS b"
    if ON_POSTGRESQL
    else "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
)
HOLDER = """
import sys, time
from pathlib import Path
from webapp.db.slow_reads import Room, Turns
with Turns(Path(sys.argv[1]), "search", Room()).turn():
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_reads, "PATIENCE", 0.05)


@pytest.fixture
def turns(app: Flask, tmp_path: Path) -> Turns:
    return Turns(tmp_path, "search", Room())


@pytest.fixture
def other_processes(turns: Turns, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """As many processes as there are turns, each holding one."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    held = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ})
        for _ in range(AT_ONCE)
    ]
    for process in held:
        assert process.stdout
        assert process.stdout.readline() == b"holds\n"
    yield held
    for process in held:
        process.communicate()


def test_so_many_hold_a_turn_and_the_next_one_is_told_to_try_again(turns: Turns, impatient: None) -> None:
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(turns.turn())
        with pytest.raises(Busy, match="try again"), turns.turn():
            pass
    with turns.turn():  # all of them were given back
        pass


def test_a_page_that_needs_no_turn_never_waits(turns: Turns, impatient: None) -> None:
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(turns.turn())
        with turns.turn(is_needed=False):
            pass


def test_who_waits_gets_the_turn_that_is_given_back(turns: Turns) -> None:
    got = threading.Event()

    def wait(app: Flask) -> None:
        with app.app_context(), turns.turn():
            got.set()

    from flask import current_app

    held = [turns.turn() for _ in range(AT_ONCE)]
    for each in held:
        each.__enter__()
    waiting = threading.Thread(target=wait, args=(current_app._get_current_object(),))  # type: ignore[attr-defined]
    waiting.start()
    assert not got.wait(0.1)
    held[0].__exit__(None, None, None)
    assert got.wait(5)
    waiting.join()
    for each in held[1:]:
        each.__exit__(None, None, None)


def test_an_error_gives_the_turn_back(turns: Turns, impatient: None) -> None:
    for _ in range(AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError), turns.turn():
            raise ZeroDivisionError


def test_few_threads_of_a_process_wait_and_the_others_are_refused_at_once(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_reads, "INSIDE", AT_ONCE)
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(turns.turn())
        before = time.monotonic()
        with pytest.raises(Busy):
            turns.refuse_if_full()
        with pytest.raises(Busy), turns.turn():
            pass
        assert time.monotonic() - before < slow_reads.PATIENCE / 2
    turns.refuse_if_full()


def test_two_of_eight_threads_stay_free_for_visitors() -> None:
    """docs/operating.md says that eight are enough."""
    assert 2 * slow_reads.MOST_AT_ONCE < INSIDE <= 6


@pytest.mark.parametrize(("waiting", "refused"), [("searches", "exports"), ("exports", "searches")])
def test_searches_and_exports_share_the_places_of_a_process(
    app: Flask, monkeypatch: pytest.MonkeyPatch, waiting: str, refused: str
) -> None:
    monkeypatch.setattr(slow_reads, "INSIDE", AT_ONCE)
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(getattr(slow_reads, waiting).turn())
        with pytest.raises(Busy):
            getattr(slow_reads, refused).refuse_if_full()
        with pytest.raises(Busy), getattr(slow_reads, refused).turn():
            pass
    with getattr(slow_reads, refused).turn():  # all places were given back
        pass


def test_all_processes_of_a_host_share_the_turns_and_one_that_dies_gives_its_turn_back(
    turns: Turns, other_processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(slow_reads, "PATIENCE", 0.05)
        with pytest.raises(Busy), turns.turn():
            pass
    other_processes[0].kill()
    with turns.turn():
        pass


def test_where_its_files_cannot_be_used_a_process_counts_its_own(app: Flask, tmp_path: Path, impatient: None) -> None:
    alone = Turns(tmp_path / "missing", "search", Room())
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(alone.turn())
        with pytest.raises(Busy), alone.turn():
            pass


@pytest.mark.parametrize(
    "address",
    [
        "/leads?q=ada",
        "/leads?q=%20ada&status=failed",
        "/leads?status=delivered&interface=if_1",
        "/mailbox?q=ada",
        "/leads.csv",
    ],
)
def test_a_page_says_that_it_is_busy(
    app: Flask, signed_in: FlaskClient, interface: Interface, address: str, impatient: None
) -> None:
    kind = slow_reads.exports if ".csv" in address else slow_reads.searches
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(kind.turn())
        answer = signed_in.get(address)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "Others are searching or exporting just now" in answer.text
        told = signed_in.get(address, headers={"Accept": "application/json"})
        assert (told.status_code, told.json) == (503, {"error": slow_reads.BUSY})
    assert signed_in.get(address, buffered=True).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/leads",
        "/leads?q=",
        "/leads?status=failed",
        "/leads?status=&interface=if_1",
        "/mailbox",
        "/interfaces?q=a",
        "/",
    ],
)
def test_pages_that_do_not_search_and_forms_need_no_turn(
    app: Flask, signed_in: FlaskClient, client: FlaskClient, interface: Interface, address: str, impatient: None
) -> None:
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(slow_reads.searches.turn())
            held.enter_context(slow_reads.exports.turn())
        assert signed_in.get(address).status_code in (200, 302, 303)
        assert client.get(f"/f/{interface.public_id}?q=ada").status_code == 200
        assert client.post(f"/f/{interface.public_id}", data=ADA).status_code == 303
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}, {"HX-Request": "true"}])
def test_a_search_that_is_refused_early_gets_the_answer_that_the_first_one_got(
    app: Flask, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    """Flask is not asked for it."""
    with ExitStack() as held:
        for _ in range(AT_ONCE):
            held.enter_context(slow_reads.searches.turn())
        monkeypatch.setattr(slow_reads, "INSIDE", AT_ONCE)
        first = signed_in.get("/leads?q=ada", headers=headers)
        with monkeypatch.context() as patch:
            patch.setattr(app, "full_dispatch_request", None)
            again = signed_in.get("/leads?status=failed&q=bob&q=", headers=headers)
        assert (again.status_code, again.headers["Retry-After"]) == (503, "5")
        assert (list(again.headers), again.data) == (list(first.headers), first.data)
        for address in ("/leads", "/leads?q=", "/leads?q=+", "/leads?q=&q=ada", "/leads?status=failed"):
            assert signed_in.get(address, headers=headers).status_code == 200, address
        assert signed_in.post("/leads?q=ada", headers=headers).status_code in (400, 403, 405)
    assert signed_in.get("/leads?q=ada", headers=headers).status_code == 200


def test_a_page_of_somebody_is_not_kept_where_a_place_gets_free_meanwhile(
    app: Flask, signed_in: FlaskClient, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for looks in ([True, False], [False, True], [False, False, True]):
        found = iter(looks)
        with monkeypatch.context() as patch:
            patch.setattr(slow_reads.Room, "is_full", property(lambda room, found=found: next(found, False)))
            signed_in.get("/leads?q=ada")
            patch.setattr(slow_reads.Room, "is_full", property(lambda room: True))
            assert client.get("/leads?q=ada").status_code == 503, looks


def endless() -> None:
    db.session.execute(text(ENDLESS)).all()


def test_a_page_that_reads_too_long_is_stopped_with_a_sentence(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_reads, "LONGEST", 0.1)
    monkeypatch.setitem(app.view_functions, "health.alive", public(endless))
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert "longer than 20 seconds" in answer.text
    assert client.get("/readyz").status_code == 200  # on the next connection


def test_a_read_whose_connection_was_lost_can_be_looked_at(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_reads, "LONGEST", 0.0)
    with app.test_request_context():
        db.session.execute(text("SELECT 1"))
        db.session.connection().invalidate()
        db.session.info["read"].look()
        db.session.rollback()
        assert db.session.scalar(text("SELECT 1")) == 1


def test_a_read_that_cannot_be_watched_is_logged_and_the_others_are_still_stopped(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.view_functions, "health.alive", public(endless))
    with structlog.testing.capture_logs() as logs, ExitStack() as ends:
        with app.test_request_context(environ_overrides={"gunicorn.socket": "no socket"}):
            read = slow_reads.begin(db.session.connection())
            assert read
            ends.callback(read.end)
        monkeypatch.setattr(slow_reads, "LONGEST", 0.1)
        assert client.get("/healthz").status_code == 503
    assert "a page's read could not be watched" in [entry["event"] for entry in logs]


def test_a_watch_that_ended_is_started_again(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Thread(target=bool)
    ended.start()
    ended.join()
    monkeypatch.setattr(slow_reads, "_watch", ended)
    monkeypatch.setattr(slow_reads, "LONGEST", 0.1)
    monkeypatch.setitem(app.view_functions, "health.alive", public(endless))
    assert client.get("/healthz").status_code == 503


def test_a_read_that_cannot_be_watched_for_want_of_a_thread_stops_no_later_one(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request has failed, so its end is never noted."""
    monkeypatch.setattr(slow_reads, "_watch", None)
    with app.test_request_context(), monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", refused)
        with pytest.raises(RuntimeError, match="new thread"):
            db.session.execute(text("SELECT 1"))
        db.session.rollback()
    assert not slow_reads._reads


def test_exports_and_work_outside_of_requests_may_take_longer(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_reads, "LONGEST", 0.0)
    slow = ENDLESS.replace("1000000) AS b", "2) AS b").replace("FROM n)", "FROM n WHERE i < 100000)")
    with app.test_request_context(), slow_reads.unlimited():
        assert db.session.scalar(text(slow))
        db.session.rollback()
    with read_only():
        assert db.session.scalar(text(slow))
    db.session.rollback()


def test_a_transaction_that_writes_is_never_stopped(
    app: Flask, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_reads, "LONGEST", 0.0)
    slow = ENDLESS.replace("1000000) AS b", "2) AS b").replace("FROM n)", "FROM n WHERE i < 100000)")
    with app.test_request_context(), transaction():
        db.session.scalar(text(slow))
        db.session.add(Lead(account_id=interface.account_id, interface_id=interface.id, fields={}, source={}))
    assert db.session.query(Lead).count() == 1


def test_another_error_of_a_statement_stays_what_it_is(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(SQLAlchemyError):
        db.session.execute(text("SELECT nothing FROM nowhere"))
    db.session.rollback()


def public(view: object) -> object:
    view.is_public = True  # type: ignore[attr-defined]
    return view


SERVED = """
import sys
from sqlalchemy import text
from webapp import create_app
from webapp.extensions import db

def endless():
    db.session.execute(text(sys.modules[__name__].ENDLESS)).all()

ENDLESS = %r
app = create_app()
endless.is_public = True
app.view_functions["docs.webhooks"] = endless
"""


def _is_busy(port: int) -> bool:
    """Whether a request gets no answer within half a second."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)) as other:
        other.request("GET", "/healthz")
        try:
            other.getresponse()
        except TimeoutError:
            return True
    return False


@pytest.mark.skipif(sys.platform == "darwin", reason="reads a process's time from /proc")
def test_reading_stops_when_the_reader_leaves(make_app: AppMaker, tmp_path: Path) -> None:
    """In gunicorn: the thread is free again, and the database does no work for it."""
    (tmp_path / "served.py").write_text(SERVED % ENDLESS)
    site = Site({**make_app().config["ENVIRON"], "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{site.port}", "--workers", "1", "--threads", "1", "served:app"]
    site.web = site._start(*command)
    try:
        wait_until(site.answers, "the web process to answer", timeout=60)
        with closing(http.client.HTTPConnection("127.0.0.1", site.port)) as reader:
            reader.request("GET", "/docs/webhooks")
            wait_until(lambda: _is_busy(site.port), "the only thread to read")
        wait_until(site.answers, "the thread to be free again", timeout=10)
    finally:
        site.stop()
