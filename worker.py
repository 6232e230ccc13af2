"""python worker.py [--processes N] [--slots M] [--queues a,b]: runs the RQ workers and the sweep.

It builds and rehearses once what its processes work with, then forks one process per queue (N for `fast`), and starts
them again when they die. The process for `mail` also sweeps. Another one says what is wrong with the installation, and
ends. worker.py keeps no connection and starts no thread itself, so that it can fork at any time and all processes share
the memory. They end when it ends. On SIGTERM or Ctrl-C, running sends finish and are recorded, within the webhook
deadline plus five seconds.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from webapp import create_app, private_home
from webapp.config import Config, ConfigError
from webapp.db.transactions import disconnect
from webapp.delivery import sweep, threaded_worker
from webapp.delivery.rehearsal import rehearse
from webapp.delivery.rings import FAST, MAIL, NAMES, SLOW, queues
from webapp.extensions import db
from webapp.log import Trouble
from webapp.run.forks import share_memory
from webapp.run.supervisor import Part, Stopped, Supervisor
from webapp.servers import open_files
from webapp.services.reports import reports
from webapp.services.signs import health, start

log = structlog.get_logger()

# Database connections per process: for transactions, and for single statements that commit themselves. Slots are
# threads; each needs a connection only while it takes a lane, reads or records.
CONNECTIONS, CONNECTIONS_OF_SWEEP = (10, 10), (1, 1)
OPEN_FILES = 4096  # a process may look up 256 names at once, with up to six sockets each
SWEEP, CHECKS = "sweep", "checks"
REHEARSES = 1.0  # seconds that a process waits for its rehearsal before it takes jobs
GIVE_UP = 1.0  # seconds that an ending process waits for its sweep


def main() -> int:
    arguments = _arguments()
    try:
        config = Config.load()
        private_home.close(config)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1
    wanted = roles(arguments.queues, arguments.processes or config.worker_processes)
    processes = WorkerProcesses(config, arguments.slots or config.worker_slots, wanted)
    share_memory()
    return processes.run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Leadhook's workers: they deliver webhooks and send mail.")
    parser.add_argument("--processes", type=_positive, help="processes for the queue `fast` (WORKER_PROCESSES)")
    parser.add_argument("--slots", type=_positive, help="jobs that a process runs at the same time (WORKER_SLOTS)")
    parser.add_argument("--queues", type=_queues, default=NAMES, help="the queues to serve, by default fast,slow,mail")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"there is no queue {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    return names


class WorkerProcesses(Supervisor):
    """Keeps a process running for each of `roles`: a queue's name, or SWEEP. `apps`: what each role works with."""

    def __init__(self, config: Config, slots: int, roles: Sequence[str]) -> None:
        super().__init__(os.environ, Path.cwd(), say=log.info)
        self.deadline = config.deadline
        self.slots = slots
        self.apps = _apps(config, roles)
        self.roles = roles

    def run(self) -> int:
        """Works until SIGTERM or Ctrl-C; returns 0 if all processes then ended in time and without an error, else 1."""
        open_files.allow(OPEN_FILES)
        try:
            self.listen()
            for role in self.roles:
                work = partial(_work, self.apps[role], role, self.slots)
                self.start(Part(role, [], work=work, title=f"worker.py {role}"))
            checks = partial(_check, self.apps[self.roles[-1]])
            self.start(Part(CHECKS, [], work=checks, title=f"worker.py {CHECKS}", once=True))
            log.info("workers started", queues=",".join(self.roles), slots=self.slots)
            while True:
                self.tend()
        except Stopped:
            return self._end()

    def tell(self, part: Part, code: int) -> None:
        log.warning("a worker process died and is started again", role=part.name, code=code)

    def _end(self) -> int:
        living = [part for part in self.parts if part.process and part.process.poll() is None]
        self.stop({part.name for part in self.parts}, self.deadline + 5)
        ended = [(part.name, part.process.returncode) for part in living if part.process]
        for role in (role for role, code in ended if code == -signal.SIGKILL):
            log.warning("a worker process did not end in time and is killed", role=role)
        fine = 0, -signal.SIGTERM  # the second: it was asked to end before it had begun
        return 1 if any(code not in fine for _, code in ended) else 0


def roles(queues: Sequence[str], processes: int) -> list[str]:
    """The role of each process that serves these queues. The one for `mail` also sweeps; without it, another does."""
    found = [queue for queue in queues for _ in range(processes if queue == FAST else 1)]
    return found if MAIL in queues else [*found, SWEEP]


def _apps(config: Config, roles: Iterable[str]) -> dict[str, Flask]:
    """An app for each role, made and rehearsed before the forks, without an open connection."""
    found: dict[str, Flask] = {}
    for role in dict.fromkeys(roles):
        kind = FAST if role == SLOW else role  # the two do the same
        found[role] = found[kind] if kind in found else _app(config, role)
    return found


def _app(config: Config, role: str) -> Flask:
    connections = CONNECTIONS if role != SWEEP else CONNECTIONS_OF_SWEEP
    app = create_app(config, worker=True, plans_once=role in (FAST, SLOW), connections=connections)
    with app.app_context():
        if role in (FAST, SLOW):
            rehearse()
        if role == MAIL:
            reports.rehearse()
        if role in (MAIL, SWEEP):
            sweep.rehearse()
        disconnect()
        queues.disconnect()
    return app


def _check(app: Flask) -> int:
    """Says what is wrong with the installation, in a process of its own, because it looks at every file of visitors and
    needs memory that nothing needs later."""
    with app.app_context():
        start.warn()
    return 0


def _work(app: Flask, role: str, slots: int) -> int:
    """The work of a child, until SIGTERM; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, threaded_worker.stop)
    try:
        with app.app_context():
            if role == SWEEP:
                _sweep(app)
                return 0
            if role == FAST and db.engine.dialect.name == "postgresql":
                _rehearse_in_sessions(app)
            sweeper = threading.Thread(target=_sweep_beside, args=(app,), name="sweep", daemon=True)
            if role == MAIL:
                sweeper.start()
            in_time = threaded_worker.serve(app, role, slots)
            if role == MAIL:
                sweeper.join(GIVE_UP)  # it gives up its lease
            return 0 if in_time else 1
    except Exception as error:
        log.error("a worker process failed", role=role, exc_info=error)
        return 1


def _rehearse_in_sessions(app: Flask) -> None:
    """So that the first lead does not wait for connections and plans. SQLite has no sessions: it would only take memory
    there. A database that does not answer does not hold up the start or the end."""

    def run() -> None:
        try:
            with app.app_context():
                rehearse()
        except Exception as error:
            log.error("a rehearsal failed", exc_info=error)

    thread = threading.Thread(target=run, name="rehearsal", daemon=True)
    thread.start()
    thread.join(REHEARSES)


def _sweep_beside(app: Flask) -> None:
    """Sweeps on a thread of the process for `mail`. If that fails, the process ends and is started again."""
    try:
        with app.app_context():
            _sweep(app)
    except Exception as error:
        log.error("the sweep failed, and its process ends", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def _sweep(app: Flask) -> None:
    sweeper, trouble = sweep.Sweep(), Trouble("a sweep failed", "sweeps work again")
    while not threaded_worker.stopped_within(sweep.EVERY):
        try:
            sweeper.once()
            trouble.over()
        except SQLAlchemyError as error:
            trouble.report(health.reason(error))
    with contextlib.suppress(SQLAlchemyError):  # without a database the lease ends a few seconds later anyway
        sweeper.resign()


if __name__ == "__main__":
    raise SystemExit(main())
