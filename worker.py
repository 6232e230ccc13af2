"""python worker.py [--processes N] [--slots M] [--queues a,b]: the threaded RQ workers, and the sweep.

The supervisor starts one process a queue (N of them for `fast`), starts again those that die, and sweeps. All end with
it: SIGTERM or Ctrl-C lets what is in flight finish and be recorded, within the webhook deadline and five seconds.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from webapp import create_app
from webapp.config import Config, ConfigError
from webapp.delivery import worker
from webapp.delivery.queues import FAST, NAMES
from webapp.delivery.sweep import EVERY, Sweep

log = structlog.get_logger()

POOL_SIZE = 10  # database connections of a process: slots are threads, and hold one only to take and to record
RESTART_PAUSE = 1.0  # seconds before a process that died is started again


def main() -> int:
    arguments = _arguments()
    try:
        config = Config.load()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for whoever started it
        return 1
    slots = arguments.slots or config.worker_slots
    if arguments.serve:
        return _serve(config, arguments.serve, slots)
    return Supervisor(config, arguments.processes or config.worker_processes, slots, arguments.queues).run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Leadhook's workers: they deliver webhooks and send mail.")
    parser.add_argument("--processes", type=_positive, help="processes for the queue `fast` (WORKER_PROCESSES)")
    parser.add_argument("--slots", type=_positive, help="jobs a process performs at once (WORKER_SLOTS)")
    parser.add_argument("--queues", type=_queues, default=NAMES, help="the queues to serve, by default fast,slow,mail")
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"there is no queue {', '.join(unknown)}: choose of {', '.join(NAMES)}")
    return names


def _serve(config: Config, queue: str, slots: int) -> int:
    """One child: performs one queue's jobs until told to stop, or until the supervisor is gone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app = create_app(config, synchronous="NORMAL", pool_size=POOL_SIZE)
    finished = worker.serve(app, queue, slots)
    sys.stderr.flush()
    # A send that outlived its deadline must not hold the exit; the lane's lease sees to the lead.
    os._exit(0 if finished else 1)


def _end_with_parent() -> None:
    """The supervisor holds the other end of stdin and never writes: its end is ours."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """Keeps the processes running, and sweeps in a thread of its own."""

    def __init__(self, config: Config, processes: int, slots: int, queues: tuple[str, ...]) -> None:
        self.config = config
        self.slots = slots
        self.wanted = [queue for queue in queues for _ in range(processes if queue == FAST else 1)]
        self.stopping = threading.Event()
        self.running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.running = [(queue, self._start(queue)) for queue in self.wanted]
        sweeping = threading.Thread(target=self._sweep, daemon=True)
        sweeping.start()
        log.info("workers started", queues=",".join(self.wanted), slots=self.slots)
        while not self.stopping.wait(0.5):
            self.running = [(queue, self._alive(queue, process)) for queue, process in self.running]
        code = self._stop()
        sweeping.join(timeout=2)
        return code

    def _start(self, queue: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, os.path.abspath(__file__), "--serve", queue, "--slots", str(self.slots)]
        # A group of its own would hide it from Ctrl-C; its stdin is how it learns that we are gone.
        return subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - our own program

    def _alive(self, queue: str, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        code = process.poll()
        if code is None:
            return process
        log.warning("a worker process died and is started again", queue=queue, code=code)
        self.stopping.wait(RESTART_PAUSE)
        return process if self.stopping.is_set() else self._start(queue)

    def _stop(self) -> int:
        for _, process in self.running:
            process.terminate()
        ends_at = time.monotonic() + self.config.deadline + 5
        code = 0
        for queue, process in self.running:
            try:
                code = max(code, abs(process.wait(timeout=max(0.1, ends_at - time.monotonic()))))
            except subprocess.TimeoutExpired:
                log.warning("a worker process did not end in time and is killed", queue=queue)
                process.kill()
                code = 1
        return code

    def _sweep(self) -> None:
        app = create_app(self.config, synchronous="NORMAL", pool_size=2)
        sweep = Sweep()
        with app.app_context():
            while not self.stopping.wait(EVERY):
                try:
                    sweep.once()
                except SQLAlchemyError as error:
                    log.warning("a sweep failed", error=type(error).__name__)
            sweep.resign()


if __name__ == "__main__":
    raise SystemExit(main())
