"""A whole Leadhook as its users have it, on everything it stands on, each part of which can be made to fail."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cryptography.fernet import Fernet
from flask_migrate import upgrade
from redis import Redis
from redis.exceptions import RedisError
from rq.worker import Worker
from sqlalchemy import Engine, NullPool, create_engine, text

from tests.fault.mailbox import Mailbox
from tests.fault.ports import steady_port
from tests.fault.receivers import ChanceReceiver
from tests.support.postgres import Postgres, running_postgres
from tests.support.site import Site
from tests.support.valkey import Valkey, running_valkey
from tests.support.waiting import wait_until
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect, transaction
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Authentication
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.services.people import users

DEADLINE = 1.0
RETRIES = (1, 1, 2, 2, *[3] * 36)  # seconds; longer than any chaos, so that in the end all is delivered
START = 90.0  # seconds until a process that was started works, on a machine that is busy otherwise
# name: (Parallel requests, whether leads are also told by mail)
RECEIVERS = {"one": (1, True), "two": (1, False), "three": (3, True), "four": (8, False)}
SETTINGS = {
    "SECRET_KEY": "only for tests, at least 16",
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    "WEBHOOK_DEADLINE": f"{DEADLINE:g}",
    "RETRY_SCHEDULE": ",".join(map(str, RETRIES)),
    "REPORT_WINDOW": "2,4",
    "FORM_RATE_LIMIT": "",
}


class Processes(Site):
    """The site's processes, each with its children in a group of its own; what they say goes into `log`."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        super().__init__(environ)
        self.port = steady_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ |= {"PORT": str(self.port), "PUBLIC_URL": self.url}
        self.log = log
        self.groups: set[int] = set()

    def start_web(self) -> None:
        """Does not wait: visitors find out."""
        command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--threads", "8", "webapp:create_app()"]
        self.web = self._start(*command)

    def start_worker(self, *arguments: str) -> None:
        """Two processes for `fast`, so that one goes on where the other is killed."""
        super().start_worker("--processes", "2", *arguments)

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=Path(__file__).parents[2],
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.groups.add(process.pid)
        return process

    def members(self, *groups: int) -> list[int]:
        """The living processes of these groups, leaders included; a group that is empty is forgotten, for another
        program's may be given its number."""
        listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
        rows = [(int(pid), int(group), state) for pid, group, state in map(str.split, listed.splitlines())]
        self.groups &= {group for _, group, _ in rows}
        ours = self.groups.intersection(groups)
        return sorted(pid for pid, group, state in rows if group in ours and state[0] != "Z")

    def children(self, process: "subprocess.Popen[bytes] | None") -> list[int]:
        return [pid for pid in self.members(process.pid) if pid != process.pid] if process else []

    def end_worker(self) -> tuple[int, set[int]]:
        """Ends worker.py as a host does, by SIGTERM; its exit code, and the children that ended last."""
        assert self.worker
        living = set(self.children(self.worker))
        last = living
        self.worker.terminate()
        while self.worker.poll() is None:
            last, living = living or last, {pid for pid in living if _runs(pid)}
            time.sleep(0.05)
        return self.worker.returncode, living or last

    def end(self) -> None:
        """Ends all that was started here: politely, then not."""
        self.stop()
        with_patience = time.monotonic() + 15
        while self.members(*self.groups) and time.monotonic() < with_patience:
            time.sleep(0.1)
        for pid in self.members(*self.groups):
            kill(pid)


def kill(pid: int) -> None:
    """As the kernel does when memory is short. Who ended just now is no mistake."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class World:
    """The processes, what they stand on, and those they speak to."""

    def __init__(
        self,
        environ: dict[str, str],
        log: Path,
        valkey: Valkey,
        postgres: Postgres | None,
        wanted: Mapping[str, tuple[int, bool]] = RECEIVERS,
    ) -> None:
        """`wanted`: the receivers, as RECEIVERS has them."""
        self.postgres, self.valkey, self.mailbox, self._wanted = postgres, valkey, Mailbox(), wanted
        self.environ = environ | self.mailbox.environ
        self.processes = Processes(self.environ, log)
        self.receivers: list[ChanceReceiver] = []
        self.forms: dict[str, str] = {}  # public id of the interface by receiver
        self.webhooks: dict[int, str] = {}  # receiver by webhook id

    def furnish(self, seed: str) -> None:
        """Makes the database, the owner, and for each receiver its interface and Shared Token."""
        app = create_app(Config.load(self.environ | {"PUBLIC_URL": self.processes.url}))
        with app.app_context():
            upgrade()
            with transaction():
                account_id = users.create_owner("alice@example.com", "correct horse battery", "Brightwater").account_id
                for name in self._wanted:
                    self._interface(account_id, name, seed)
            disconnect()
            queues.redis.close()

    def _interface(self, account_id: int, name: str, seed: str) -> None:
        parallel_requests, notifies = self._wanted[name]
        interface = interfaces.create(account_id, f"Form {name}")
        token, secret = api_keys.create_shared_token(account_id, None, f"Receiver {name}")
        receiver = ChanceReceiver(name, secret, seed)
        webhook = interface.webhook
        webhook.url, webhook.parallel_requests = receiver.url, parallel_requests
        webhook.authentication, webhook.shared_token = Authentication.SHARED_TOKEN, token
        interface.notification_emails = ["sales@example.com"] if notifies else []
        db.session.flush()
        self.receivers.append(receiver)
        self.forms[name] = interface.public_id
        self.webhooks[webhook.id] = name

    def start(self, *options: str) -> None:
        """`options`: of worker.py."""
        self.mailbox.start()
        for receiver in self.receivers:
            receiver.listen()
        self.processes.start_web()
        self.processes.start_worker(*options)
        wait_until(self.processes.answers, "the web process to answer", START)
        self.wait_for_workers()

    def close(self) -> None:
        self.processes.end()
        for receiver in self.receivers:
            receiver.close()
        self.mailbox.stop()

    def serving(self) -> dict[int, str]:
        """The queue that each living worker serves, by pid; empty where Valkey is away."""
        living = set(self.processes.members(*self.processes.groups))
        try:
            with Redis.from_url(self.valkey.url, socket_timeout=2) as client:
                registered = Worker.all(connection=client)
                return {one.pid: one.queue_names()[0] for one in registered if one.pid and one.pid in living}
        except RedisError:
            return {}

    def wait_for_workers(self) -> None:
        """Until worker.py serves each queue with a process that can be told to stop."""

        def serve_all() -> bool:
            children = self.processes.children(self.processes.worker)
            return {queue for pid, queue in self.serving().items() if pid in children} == {"fast", "slow", "mail"}

        wait_until(serve_all, "worker.py to serve all queues", START, every=0.1)

    def in_flight(self) -> int:
        """Sends that a receiver has read and not answered."""
        return sum(receiver.in_flight for receiver in self.receivers)

    def engine(self) -> Engine:
        """The database, to be looked at from outside."""
        url = self.environ.get("DATABASE_URL") or f"sqlite:///{self.environ['LEADHOOK_HOME']}/leadhook.sqlite3"
        return create_engine(url, poolclass=NullPool)

    def let_mails_wait_no_more(self) -> None:
        """What is due in half a minute, or when the claim of a killed process ends, is due now. No worker may run."""
        with self.engine().begin() as connection:
            connection.execute(text("UPDATE mails SET due_at = 0 WHERE state = 'due'"))


@contextmanager
def running_world(
    database: str, seed: str, log: Path, wanted: Mapping[str, tuple[int, bool]] = RECEIVERS, *options: str
) -> Iterator[World]:
    """A world on `sqlite` or `postgresql`, in a directory of its own; ended and removed afterwards, but for `log`.

    `wanted`: its receivers; `options`: of worker.py.
    """
    # A unix socket's path is at most 107 bytes long: not below pytest's own directories.
    home = Path(tempfile.mkdtemp(prefix="leadhook-fault-"))
    environ = {**SETTINGS, "ENCRYPTION_KEYS": Fernet.generate_key().decode(), "LEADHOOK_HOME": str(home)}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        postgres = stack.enter_context(running_postgres()) if database == "postgresql" else None
        if postgres:
            postgres.execute("CREATE DATABASE leadhook")
            environ["DATABASE_URL"] = postgres.url("leadhook")
        valkey = stack.enter_context(running_valkey(home))
        environ["REDIS_URL"] = valkey.url
        world = World(environ, log, valkey, postgres, wanted)
        stack.callback(world.close)
        world.furnish(seed)
        world.start(*options)
        yield world
