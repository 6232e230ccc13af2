"""The parts of `make run` that share memory: this process builds what they work with, and each of them is a fork of it.

Where a fork cannot be shown as what it is (see supervisor.py), each part is a program that builds for itself.
"""

import logging.config  # noqa: F401 - gunicorn imports it when it runs: it is imported once for all
import sys
from functools import partial
from pathlib import Path

from flask import Flask
from gunicorn.app.wsgiapp import WSGIApplication

import worker
from webapp.config import Config
from webapp.db.transactions import disconnect
from webapp.delivery.rings import NAMES, queues
from webapp.run import receiver
from webapp.run.forks import share_memory
from webapp.run.supervisor import Part
from webapp.servers import patient_worker  # noqa: F401 - gunicorn's worker class: it is imported once for all
from webapp.services.signs.readiness import probe

WEB, WORKERS, RECEIVER = "gunicorn", "worker.py", "the test receiver"


class BuiltApplication(WSGIApplication):  # type: ignore[misc]  # gunicorn has no types
    """`gunicorn 'webapp:create_app()'` with gunicorn.conf.py, but with an app that exists."""

    is_checked = True  # worker.py says what is wrong with the installation

    def __init__(self, app: Flask) -> None:
        self._app = app
        super().__init__()

    def load(self) -> Flask:
        return self._app


def made(config: Config, app: Flask) -> list[Part]:
    """The web server, the test receiver and the workers, in this order, to be started soon: what they need is built,
    and no connection is open. `app`: for the first two."""
    web = [str(Path(sys.executable).with_name("gunicorn")), "webapp:create_app()"]
    receive = ["receive", "--port", str(config.receiver_port)]
    roles = worker.roles(NAMES, config.worker_processes)
    processes = worker.WorkerProcesses(config, config.worker_slots, roles)
    app.url_map.update()  # or each process would do it when its first request comes
    with app.app_context():
        probe.rehearse()
        disconnect()
        queues.disconnect()
    share_memory()
    return [
        Part(WEB, web, work=partial(_serve, app, web), title="gunicorn webapp:create_app()"),
        Part(
            RECEIVER,
            [sys.executable, "-m", "flask", "--app", "webapp", *receive],
            work=partial(_receive, app, config.receiver_port),
            title=f"flask {' '.join(receive)}",
        ),
        Part(WORKERS, [sys.executable, "worker.py"], work=processes.run, title="worker.py"),
    ]


def _serve(app: Flask, command: list[str]) -> int:
    sys.argv = command
    BuiltApplication(app).run()
    return 0


def _receive(app: Flask, port: int) -> int:
    with app.app_context():
        receiver.run(port, token_name=None, status=200, delay=0)
    return 0
