"""The health of the installation: whether its parts answer, and how much work is waiting. Each check is cheap."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from time import time
from typing import Any

from alembic.script import ScriptDirectory
from flask import current_app
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy import String, case, cast, func, literal_column, select, text
from sqlalchemy.exc import SQLAlchemyError

from webapp.clock import now_sql
from webapp.delivery import ledger
from webapp.delivery.rings import NAMES, queues
from webapp.extensions import db
from webapp.ids import CROCKFORD
from webapp.models import Attempt, Delivery, Mail, MailState

COUNTED = 100_000  # a count stops at this number of rows: then there are that many or more
LATELY = 300  # seconds


def database() -> str:
    """`ok`, `not migrated` (or migrated by another version) or `away` (does not answer)."""
    try:
        revision = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError:
        db.session.rollback()
        return "not migrated" if _connects() else "away"
    # A newer revision is fine: this version serves while the next one migrates. Revisions are numbers of four digits.
    head = _head(current_app.extensions["migrate"].directory) or ""
    is_number = bool(re.fullmatch("[0-9]{4}", revision or ""))
    return "ok" if is_number and revision >= head else "not migrated"


def redis() -> str:
    """`ok` or `away`. Without Redis, leads are still captured and are delivered later."""
    try:
        queues.redis.ping()
    except (RedisError, OSError):
        return "away"
    return "ok"


def exposition() -> bytes:
    """The current metrics in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Waiting())
    return generate_latest(registry)


def _connects() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        db.session.rollback()
        return False
    return True


@cache
def _head(directory: str) -> str | None:
    return ScriptDirectory(str(Path(directory))).get_current_head()


class _Waiting(Collector):
    """Only gauges, read from the database and Redis, because the processes share no memory."""

    def collect(self) -> Iterable[Metric]:
        yield from _backlog()
        yield _gauge(
            "leadhook_mails_due", "E-mails that wait for the mail server.", _count(Mail, Mail.state == MailState.DUE)
        )
        yield from _queue_lengths()
        yield _recent_attempts()


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _count(model: Any, condition: Any) -> int:
    some = select(literal_column("1")).select_from(model).where(condition).limit(COUNTED).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def _backlog() -> Iterator[Metric]:
    due, oldest = 0, None
    parts = ((ledger.CLICKED, Delivery.retry_at), (ledger.FRESH, Delivery.due_at), (ledger.AGAIN, Delivery.due_at))
    for condition, at in parts:
        some = select(at.label("at")).where(condition, at <= now_sql()).limit(COUNTED).subquery()
        count, first = db.session.execute(select(func.count(), func.min(some.c.at))).one()
        due += count
        oldest = min(part for part in (oldest, first, time()) if part is not None)
    age = max(0.0, time() - oldest) if due and oldest else 0.0
    later = _count(Delivery, ledger.AGAIN) if due < COUNTED else 0
    yield _gauge("leadhook_deliveries_due", "Deliveries that could be sent now.", due)
    yield _gauge("leadhook_deliveries_oldest_due_seconds", "How long the oldest of them has waited.", age)
    yield _gauge("leadhook_deliveries_retrying", "Deliveries that wait for their next automatic attempt.", later)


def _queue_lengths() -> Iterator[Metric]:
    lengths = GaugeMetricFamily("leadhook_queue_jobs", "Jobs that wait in an RQ queue.", labels=["queue"])
    up = True
    try:
        for name in NAMES:
            lengths.add_metric([name], queues.get(name).count)
    except (RedisError, OSError):
        up = False
    yield _gauge("leadhook_redis_up", "Whether Redis answers.", up)
    yield lengths


def _recent_attempts() -> Metric:
    """The latest attempts by result. An attempt's id begins with its time, so the primary key finds them."""
    result = case(
        (Attempt.error.is_not(None), Attempt.error),
        else_=func.substr(cast(Attempt.code, String), 1, 1).concat("xx"),
    )
    latest = select(result, func.count()).where(Attempt.id >= attempts_since(LATELY)).group_by(result)
    words = "Attempts of the last five minutes by result: 2xx, or the kind of error."
    gauge = GaugeMetricFamily("leadhook_attempts_lately", words, labels=["result"])
    for name, count in db.session.execute(latest):
        gauge.add_metric([name], count)
    return gauge


def attempts_since(seconds: int) -> str:
    """The smallest id that an attempt of so many seconds ago can have (ids.ulid: ten digits of milliseconds)."""
    milliseconds = int((time() - seconds) * 1000)
    return "att_" + "".join(CROCKFORD[milliseconds >> shift & 31] for shift in range(45, -1, -5))
