"""`make run`: all parts start, a dead part is restarted, all parts end, and the next run finds all data again."""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.support.make_run import START, MakeRun
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

FIELDS = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "", "message": "Hello"}
PARTS = ("gunicorn", "worker.py", "valkey-server", "receive")


def submit(run: MakeRun) -> str:
    """Posts the demo form; returns the lead's id."""
    form = run.said(r"(http://127\.0\.0\.1:\d+/f/if_\w+)")
    answer = requests.post(form, data=FIELDS, headers={"Accept": "application/json"}, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def arrived(run: MakeRun, lead: str) -> str:
    """The line that the receiver printed for a lead."""
    wait_until(lambda: f"  {lead}  " in run.printed, f"{lead} to arrive", timeout=START)
    return next(line for line in run.printed.splitlines() if f"  {lead}  " in line)


def sign_in(run: MakeRun, password: str) -> requests.Session:
    session = requests.Session()
    page = session.get(f"{run.address}/login", timeout=30).text
    token = page.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
    form = {"email": "owner@example.com", "password": password, "csrf_token": token}
    answer = session.post(f"{run.address}/login", data=form, timeout=30, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return session


def all_gone(run: MakeRun) -> None:
    wait_until(lambda: not run.group(), "all parts to end", timeout=60)


def test_the_whole_life_of_an_installation(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with MakeRun(home, tmp_path / "first") as run:
        run.ready()
        assert f"Leadhook is running at {run.address}/" in run.printed
        assert "WEBHOOK_ALLOWED_NETWORKS is not set" in run.printed
        assert "owner@example.com" in run.printed
        password = run.said(r"Password +(\S+)  \(shown this once")
        for part in PARTS:
            wait_until(lambda part=part: run.pids(part), f"ps to show {part}", timeout=START)

        first = submit(run)
        assert arrived(run, first).endswith("/demo  lead.created  " + first + "  signature verified (Demo token)")

        before = {pid for part in PARTS for pid in run.pids(part)}
        for part in PARTS:
            os.kill(run.pids(part)[0], signal.SIGKILL)
        wait_until(lambda: before.isdisjoint(run.group()), "what the killed parts had started to end")
        for part in PARTS:
            wait_until(lambda part=part: run.pids(part), f"{part} to be started again", timeout=START)
        wait_until(lambda: answers(run), "the web to answer again", timeout=START)
        second = submit(run)
        arrived(run, second)

        os.killpg(run.make.pid, signal.SIGTERM)
        run.make.wait(timeout=60)
        all_gone(run)
        assert "Traceback" not in run.printed
        assert "make: ***" not in run.printed

    with MakeRun(
        home, tmp_path / "second", PORT=run.environ["PORT"], RECEIVER_PORT=run.environ["RECEIVER_PORT"]
    ) as run:
        run.ready()
        assert "Password" not in run.printed
        with sign_in(run, password) as browser:
            leads = browser.get(f"{run.address}/leads", timeout=30).text
        assert first in leads
        assert second in leads
        third = submit(run)
        arrived(run, third)

        [supervisor] = run.pids("-m webapp.run")
        os.kill(supervisor, signal.SIGTERM)
        assert run.make.wait(timeout=60) == 0
        all_gone(run)


def answers(run: MakeRun) -> bool:
    try:
        return requests.get(f"{run.address}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_all_parts_end_when_make_is_killed(tmp_path: Path) -> None:
    with MakeRun(tmp_path / "home", tmp_path / "run") as run:
        run.ready()
        wait_until(lambda: run.pids("worker.py"), "the workers to start")
        os.kill(run.make.pid, signal.SIGKILL)
        all_gone(run)


def test_a_second_run_leaves_the_first_alone_and_all_parts_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with MakeRun(tmp_path / "home", tmp_path / "run") as run:
        run.ready()
        with MakeRun(tmp_path / "home", tmp_path / "other") as other:
            assert other.make.wait(timeout=START) == 2
        assert "already running" in other.printed
        assert answers(run)
        os.kill(run.pids("-m webapp.run")[0], signal.SIGKILL)
        all_gone(run)


def test_ctrl_c_ends_it_and_a_home_can_have_any_path(tmp_path: Path) -> None:
    """The path is too long for a unix socket and has characters that are special in URLs. A given password is not
    printed."""
    home = tmp_path / ("long " * 20 + "50% of? ä#")
    with MakeRun(home, tmp_path / "run", OWNER_PASSWORD="correct horse battery") as run:
        run.ready()
        assert "correct horse battery" not in run.printed
        assert requests.get(f"{run.address}/readyz", timeout=30).json()["status"] == "ready"
        arrived(run, submit(run))
        with sign_in(run, "correct horse battery"):
            pass
        os.killpg(run.make.pid, signal.SIGINT)
        run.make.wait(timeout=60)
        all_gone(run)
        assert "Traceback" not in run.printed
        assert (home / "leadhook.sqlite3").exists()


def test_a_used_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """Both at the same time: each waits some seconds for its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as runs:
        port, started = taken.getsockname()[1], {}
        for name in ("PORT", "RECEIVER_PORT"):
            started[name] = runs.enter_context(MakeRun(tmp_path / f"{name} home", tmp_path / name, **{name: str(port)}))
        for name, run in started.items():
            assert run.make.wait(timeout=START) == 2
            all_gone(run)
            assert f"Port {port} is used by another program: stop it, or set {name} to another port.\n" in run.printed


def test_mistakes_in_the_environment_are_listed_and_nothing_starts(tmp_path: Path) -> None:
    code, printed = failing(tmp_path, PORT="no", WORKER_SLOTS="0")
    assert code == 2
    assert "- PORT: " in printed
    assert "- WORKER_SLOTS: " in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "home").exists()


def test_a_refused_password_is_reported_in_one_sentence(tmp_path: Path) -> None:
    code, printed = failing(tmp_path, OWNER_PASSWORD="short")
    assert code == 2
    assert "OWNER_PASSWORD" in printed
    assert "Traceback" not in printed


def failing(tmp_path: Path, **environ: str) -> tuple[int, str]:
    """The exit code and output of a `make run` that must not start, and must leave no process running."""
    with MakeRun(tmp_path / "home", tmp_path / "run", **environ) as run:
        code = run.make.wait(timeout=START)
        all_gone(run)
    return code, run.printed
