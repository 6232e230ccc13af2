"""A Leadhook as its users have it, on a fresh database: its processes, a backlog to deliver, leads to capture."""

import gc
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.fernet import Fernet
from flask import Flask
from flask_migrate import upgrade
from redis import Redis
from rq.worker import BaseWorker, Worker
from sqlalchemy import exists, func, select, text, update

from tests.bench.backlog import insert
from tests.bench.lead import ANSWERS, BROWSER, TRACKED
from tests.bench.machine import Child, running
from tests.support.postgres import Postgres
from tests.support.receiver import free_port
from tests.support.valkey import running_valkey
from tests.support.waiting import wait_until
from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import after_commit, disconnect, read_only, transaction
from webapp.delivery import ledger, rings, states
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import ApiKey, Attempt, Authentication, Delivery, DeliveryState, Lane, Lead, Webhook, WebhookState
from webapp.services import api_keys
from webapp.services.intake import capture, published_forms, visitor
from webapp.services.intake.capture import Submission
from webapp.services.interfaces import interfaces
from webapp.services.people import users

PROCESSES, SLOTS = 2, 128


class Hook(NamedTuple):
    """An interface with its webhook."""

    interface_id: int
    webhook_id: int
    form: str  # the interface's public id


class Captured(NamedTuple):
    """A lead that was captured in this process, and when its transaction was committed (CLOCK_MONOTONIC)."""

    lead_id: str  # public
    at: float
    delivery_id: int | None  # where it was looked up


@dataclass
class Installation:
    """The prepared database, its Valkey, and the app in this process; `with` its app context where it is used."""

    database: str
    directory: Path
    redis: Redis
    environ: dict[str, str]
    app: Flask
    account_id: int
    token_id: int
    secret: str
    _forms: dict[str, published_forms.PublishedForm] = field(default_factory=dict)

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Of several, the one that this process works with while the block runs."""
        with self.app.app_context():
            try:
                yield
            finally:
                db.session.remove()
                queues.redis.close()

    # Interfaces and leads --------------------------------------------------------------------------------------------

    def hooks(self, count: int, url: str | Callable[[int], str]) -> list[Hook]:
        """New interfaces whose webhooks sign with the Shared Token; each form is read, as by a visitor who views it."""
        made = []
        with transaction():
            for number in range(count):
                interface = interfaces.create(self.account_id, f"Contact sales {number}")
                webhook = interface.webhook
                webhook.url = url if isinstance(url, str) else url(number)
                webhook.authentication = Authentication.SHARED_TOKEN
                webhook.shared_token_id = self.token_id
                made.append((interface, webhook))
        found = [Hook(interface.id, webhook.id, interface.public_id) for interface, webhook in made]
        db.session.remove()
        self.read_forms(found)
        return found

    def read_forms(self, hooks: Sequence[Hook]) -> None:
        self._forms |= {hook.form: published_forms.get(hook.form) for hook in hooks}

    def capture(self, hook: Hook, look_up: bool = False) -> Captured:
        """Captures a lead as a submitted form does; `look_up`: asks for its delivery, too, before the commit."""
        committed: list[float] = []
        delivery_id = None
        with transaction():
            after_commit(lambda: committed.append(time.monotonic()))  # before the ring, which comes second
            source = visitor.source(TRACKED, "203.0.113.7", BROWSER)
            form = self._forms[hook.form]
            [lead_id] = capture.capture([Submission(form, capture.new_lead(form.interface, ANSWERS, source))])
            assert lead_id
            if look_up:
                query = select(Delivery.id).join(Lead).where(Lead.public_id == lead_id)
                delivery_id = db.session.connection().execute(query).scalar_one()
        db.session.remove()
        return Captured(lead_id, committed[0], delivery_id)

    def by_message(self, committed: dict[str, float]) -> dict[str, float]:
        """When leads were committed by their deliveries' message ids instead of their own, in the same order."""
        query = select(Lead.public_id, Delivery.message_id).join(Delivery).where(Lead.public_id.in_(committed))
        with read_only(), db.engine.connect() as connection:
            found = dict(connection.execute(query).tuples().all())
        return {found[lead_id]: at for lead_id, at in committed.items()}

    # A backlog -------------------------------------------------------------------------------------------------------

    def backlog(self, hooks: Sequence[Hook], count: int) -> tuple[range, float]:
        """Inserts leads and their due deliveries in one transaction: the deliveries' ids, and the time just before
        the commit. Nothing is rung."""
        with db.engine.begin() as connection:
            first = insert(connection, self.account_id, [(hook.interface_id, hook.webhook_id) for hook in hooks], count)
            if connection.dialect.name == "postgresql":
                connection.execute(text("ANALYZE leads, deliveries"))  # as autovacuum does within the minute
            at = time.monotonic()
        return range(first, first + count), at

    @staticmethod
    def ring(hooks: Sequence[Hook]) -> None:
        for hook in hooks:
            rings.ring(hook.webhook_id)

    def due(self) -> int:
        """How many deliveries have never been tried and wait to be."""
        with read_only(), db.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(Delivery).where(ledger.FRESH)).scalar_one())

    def archive(self, hooks: Sequence[Hook]) -> None:
        """Ends these webhooks and what waits for them, while workers run."""
        with db.engine.begin() as connection:
            for hook in hooks:
                states.lock_lane(connection, hook.webhook_id)
                ended = update(Webhook).where(Webhook.id == hook.webhook_id)
                connection.execute(ended.values(state=WebhookState.ARCHIVED))
                states.cancel(connection, hook.webhook_id)

    def wait_until_delivered(self, timeout: float, every: float = 0.02) -> float:
        """Waits until nothing is due any more; when that was (CLOCK_MONOTONIC). Costs an index look-up each time."""
        due = select(exists().where(ledger.FRESH).select_from(Delivery))

        def none_is_due() -> bool:
            with read_only(), db.engine.connect() as connection:
                return not connection.execute(due).scalar_one()

        wait_until(none_is_due, "the backlog to be delivered", timeout=timeout, every=every)
        return time.monotonic()

    def check(self, ids: range) -> None:
        """Fails unless each of these deliveries was delivered by exactly one recorded attempt that was signed."""
        mine = (Delivery.id >= ids.start, Delivery.id < ids.stop)
        delivered = select(func.count()).where(*mine, Delivery.state == DeliveryState.DELIVERED, Delivery.tries == 1)
        tries = select(func.count()).select_from(Attempt).join(Delivery).where(*mine, Attempt.code == 200)
        signed = tries.where(Attempt.signed_with_id == self.token_id)
        with read_only(), db.engine.connect() as connection:
            found = [connection.execute(query).scalar_one() for query in (delivered, tries, signed)]
        assert found == [len(ids)] * 3, f"of {len(ids)}: delivered, tried, signed = {found}"

    def settle(self) -> None:
        """Ends what is left over and forgets what was learned of endpoints: as if nothing had happened yet."""
        with db.engine.begin() as connection:
            connection.execute(select(Lane.webhook_id).with_for_update())  # first, as workers do: else a deadlock
            left = update(Delivery).where(Delivery.state == DeliveryState.PENDING)
            connection.execute(left.values(state=DeliveryState.CANCELLED))
            connection.execute(
                update(Lane).values(token=None, lease_until=0.0, abandoned=False, slow_since=None, failures=0)
            )
            connection.execute(update(Webhook).values(report_due_at=None))
        self.redis.flushall()

    # Processes -------------------------------------------------------------------------------------------------------

    @contextmanager
    def workers(
        self, processes: int = PROCESSES, slots: int = SLOTS, program: str = "worker.py", **environ: str
    ) -> Iterator[Child]:
        """worker.py (or one that prepares something first) while the block runs, ready to work."""
        command = [sys.executable, program, "--processes", str(processes), "--slots", str(slots)]
        with running(command, {**self.environ, **environ}, self.directory / "worker.log") as child:
            self.wait_for_workers(child, processes + 2)
            yield child

    def wait_for_workers(self, child: Child, count: int) -> None:
        def ready() -> bool:
            child.check()
            found: list[BaseWorker] = Worker.all(connection=self.redis)
            return sum(worker.get_state() == "idle" for worker in found) >= count

        wait_until(ready, "the workers to be ready", timeout=90, every=0.1)

    @contextmanager
    def web(self, application: str = "webapp:create_app()") -> Iterator[str]:
        """gunicorn as gunicorn.conf.py sets it, while the block runs; its URL."""
        port = str(free_port())
        url = f"http://127.0.0.1:{port}"
        environ = {**self.environ, "PORT": port, "PUBLIC_URL": url}
        command = [sys.executable, "-m", "gunicorn", application]
        with running(command, environ, self.directory / "web.log") as child:

            def answers() -> bool:
                child.check()
                return _answers(int(port))

            wait_until(answers, "the web process to answer", timeout=60)
            yield url


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def installed(
    database: str, postgres: Postgres | None, *, worker: bool = False, **environ: str
) -> Iterator[Installation]:
    """A fresh installation on `sqlite` or `postgresql`, its app context pushed, a worker's or the web's."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="leadhook-bench-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        valkey = stack.enter_context(running_valkey(directory))
        redis = stack.enter_context(Redis.from_url(valkey.url))
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        settings = {
            **inherited,
            "LEADHOOK_HOME": str(directory),
            "SECRET_KEY": "only for benchmarks, at least 16",
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "REDIS_URL": valkey.url,
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "TRUSTED_PROXIES": "1",  # so that posts may come from many visitors, and the rate limit stays on
            **environ,
        }
        if postgres:
            name = f"bench_{time.monotonic_ns()}"
            postgres.execute(f"CREATE DATABASE {name}")
            stack.callback(postgres.execute, f"DROP DATABASE {name} WITH (FORCE)")
            settings["DATABASE_URL"] = postgres.url(name)
        app = create_app(Config.load(settings), worker=worker)
        stack.enter_context(app.app_context())
        stack.callback(queues.redis.close)
        stack.callback(disconnect)
        upgrade()
        with transaction():
            owner = users.create_owner("ada@example.com", "correct horse battery", "Brightwater Solar")
            token, secret = api_keys.create_shared_token(owner.account_id, None, "CRM production")
        account_id, token_id = owner.account_id, db.session.get_one(ApiKey, token.id).id
        db.session.remove()
        gc.freeze()  # as gunicorn.conf.py does in the process that captures: looking through it takes 0.15 s
        stack.callback(gc.unfreeze)
        yield Installation(database, directory, redis, settings, app, account_id, token_id, secret)
