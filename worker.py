"""python worker.py [--processes N] [--slots M] [--queues a,b]: runs the RQ workers and the sweep.

It forks one process per queue (N for `fast`) and one for the sweep, and starts them again when they die. It opens no
connection and starts no thread itself, so that it can fork at any time and all processes share the memory of what it
imported. They end when it ends. On SIGTERM or Ctrl-C, running sends finish and are recorded, within the webhook
deadline plus five seconds.
"""

import argparse
import contextlib
import gc
import os
import signal
import sys
import threading
import time

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from webapp import create_app, private_home
from webapp.config import Config, ConfigError
from webapp.delivery import threaded_worker
from webapp.delivery.rehearsal import rehearse
from webapp.delivery.rings import FAST, MAIL, NAMES, SLOW
from webapp.delivery.sweep import EVERY, Sweep
from webapp.log import Trouble
from webapp.servers import open_files
from webapp.services.reports import reports
from webapp.services.signs import health, start

log = structlog.get_logger()

# Database connections per process: for transactions, and for single statements that commit themselves. Slots are
# threads; each needs a connection only while it takes a lane, reads or records.
CONNECTIONS, CONNECTIONS_OF_SWEEP = (10, 10), (1, 1)
OPEN_FILES = 4096  # a process may look up 256 names at once, with up to six sockets each
RESTART_PAUSE = 1.0  # seconds before a process that died is started again
SWEEP = "sweep"


def main() -> int:
    arguments = _arguments()
    try:
        config = Config.load()
        private_home.close(config)
        open_files.allow(OPEN_FILES)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1
    slots = arguments.slots or config.worker_slots
    return WorkerProcesses(config, arguments.processes or config.worker_processes, slots, arguments.queues).run()


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


class WorkerProcesses:
    """Keeps the child processes running. `running`: the role of each by pid, a queue's name or SWEEP."""

    def __init__(self, config: Config, processes: int, slots: int, queues: tuple[str, ...]) -> None:
        self.config = config
        self.slots = slots
        self.wanted = [queue for queue in queues for _ in range(processes if queue == FAST else 1)] + [SWEEP]
        self.running: dict[int, str] = {}
        self.stopping = False
        self.lifeline = os.pipe()  # its write end closes when this process ends in any way: the children notice

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        create_app(self.config, worker=True)  # imports what the app of each child needs, once for all of them
        for role in self.wanted:
            self._start(role)
        log.info("workers started", queues=",".join(self.wanted), slots=self.slots)
        while not self.stopping:
            for role, code in self._ended():
                log.warning("a worker process died and is started again", role=role, code=code)
                time.sleep(RESTART_PAUSE)
                if not self.stopping:
                    self._start(role)
            time.sleep(0.1)
        return self._stop()

    def _request_stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self, role: str) -> None:
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self.running[pid] = role
            return
        code = 1
        try:
            os.close(self.lifeline[1])
            code = self._work(role)
        except Exception as error:  # logged here, because _exit below prints nothing
            log.error("a worker process failed", role=role, exc_info=error)
        finally:
            sys.stderr.flush()
            # Does not wait for threads: a send past its deadline must not delay the exit. Once the lease of its lane is
            # over, the lead is sent again.
            os._exit(code)

    def _work(self, role: str) -> int:
        """The work of a child, until SIGTERM or until the parent process is gone; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, threaded_worker.stop)
        if self.stopping:  # the signal came between the fork and the lines above
            return 0
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        connections = CONNECTIONS if role != SWEEP else CONNECTIONS_OF_SWEEP
        app = create_app(self.config, worker=True, plans_once=role != MAIL, connections=connections)
        with app.app_context():
            if role in (FAST, SLOW):
                rehearse()
            elif role == MAIL:
                reports.rehearse()
            # The objects made so far live as long as the process. When the garbage collector looked through them, all
            # threads waited twice as long for it.
            gc.freeze()
            if role != SWEEP:
                return 0 if threaded_worker.serve(app, role, self.slots) else 1
            _sweep(app)
        return 0

    def _end_with_parent(self) -> None:
        os.read(self.lifeline[0], 1)  # returns when the parent is gone: no process writes
        os.kill(os.getpid(), signal.SIGTERM)

    def _ended(self) -> list[tuple[str, int]]:
        """The children that ended since the last call: role and exit code."""
        ended = []
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((self.running.pop(pid), os.waitstatus_to_exitcode(status)))
        return ended

    def _stop(self) -> int:
        """Ends the children; returns 0 if all of them ended in time and without an error, else 1."""
        for pid in self.running:
            os.kill(pid, signal.SIGTERM)
        ends_at = time.monotonic() + self.config.deadline + 5
        codes = [0]
        while self.running and time.monotonic() < ends_at:
            codes += [code for _, code in self._ended()]
            time.sleep(0.02)
        for pid, role in self.running.items():
            log.warning("a worker process did not end in time and is killed", role=role)
            os.kill(pid, signal.SIGKILL)
        return 1 if any(codes) or self.running else 0


def _warn(app: Flask) -> None:
    with app.app_context():
        start.warn()


def _sweep(app: Flask) -> None:
    threading.Thread(target=_warn, args=(app,), daemon=True).start()  # it looks at every file of visitors
    sweep, trouble = Sweep(), Trouble("a sweep failed", "sweeps work again")
    while not threaded_worker.stopped_within(EVERY):
        try:
            sweep.once()
            trouble.over()
        except SQLAlchemyError as error:
            trouble.report(health.reason(error))
    with contextlib.suppress(SQLAlchemyError):  # without a database the lease ends a few seconds later anyway
        sweep.resign()


if __name__ == "__main__":
    raise SystemExit(main())
