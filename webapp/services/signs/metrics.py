"""The metrics for Prometheus, read from the database and Redis, because the processes share no memory.

Ages are differences of two times of the database's clock. Without the database, the metrics that need none are still
there, and `leadhook_database_up 0`.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from flask import current_app
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy import func, literal_column, select
from sqlalchemy.exc import SQLAlchemyError

from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db import database_clock
from webapp.delivery import ledger, rests, rings, states, sweep, worker_figures
from webapp.delivery.rings import NAMES, queues
from webapp.delivery.sending import BUCKETS, MILLISECONDS, UP_TO
from webapp.extensions import db
from webapp.models import (
    Account,
    Delivery,
    DeliveryState,
    Lane,
    Mail,
    MailState,
    Sweeper,
    Webhook,
    WebhookState,
)
from webapp.services.signs.counters import post_counters
from webapp.services.signs.readiness import Readiness, probe

COUNTED = 100_000  # a count stops at this number of rows: then there are that many or more


def exposition() -> bytes:
    """The current metrics in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return generate_latest(registry)


class _Figures(Collector):
    def collect(self) -> Iterable[Metric]:
        ready = probe.readiness()
        yield from _of_this_host(ready)
        yield from _queue_lengths()
        if ready.database == "away":  # else a server that hangs would keep the scraper waiting
            return
        try:
            found = [*_backlog(), *_troubles(), *_mails(), *_last_sweep()]
        except SQLAlchemyError:  # it went away just now; its own metrics say so on the next scrape
            db.session.rollback()
            return
        yield from found


def _of_this_host(found: Readiness) -> Iterator[Metric]:
    yield _gauge("leadhook_database_up", "Whether the database answers.", found.database != "away")
    yield _gauge("leadhook_database_writable", "Whether a lead can be written.", found.writable)
    yield _gauge("leadhook_redis_up", "Whether Redis answers and takes writes.", found.redis == "ok")
    if found.clock_offset is not None:
        words = "Seconds by which this host's clock is ahead of the database's."
        yield _gauge("leadhook_clock_offset_seconds", words, found.clock_offset)
    words = "Free space in LEADHOOK_HOME, or in the folder of the SQLite file if that is less."
    yield _gauge("leadhook_disk_free_bytes", words, least_free()[0])
    build = GaugeMetricFamily("leadhook_build_info", "The version of Leadhook, always 1.", labels=["version"])
    build.add_metric([current_app.config["LEADHOOK_VERSION"]], 1)
    yield build
    words = "Posts to forms, also by the REST API, that this host answered since the web server started, by result."
    posts = CounterMetricFamily("leadhook_form_posts", words, labels=["result"])
    for name, count in post_counters.totals().items():
        posts.add_metric([name], count)
    yield posts


def least_free() -> tuple[int, Path]:
    """Free bytes, and where: in LEADHOOK_HOME, or in the folder of the SQLite file where there is less."""
    folders = [current_config.home]
    if db.engine.dialect.name == "sqlite":
        folders.append(Path(db.engine.url.database or "").absolute().parent)
    return min((shutil.disk_usage(folder).free, folder) for folder in folders)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _count(model: Any, *conditions: Any) -> int:
    return _count_of(select(literal_column("1")).select_from(model).where(*conditions))


def _count_of(rows: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(rows.limit(COUNTED).subquery())) or 0


def due_now() -> tuple[int, float]:
    """How many deliveries could be sent now, and for how many seconds the oldest has waited.

    Not those whose receiver asked for a rest; after it they wait since its end. Both times of the age are the
    database's: this host's clock may be wrong.
    """
    due, age = 0, 0.0
    parts = ((ledger.CLICKED, Delivery.retry_at), (ledger.FRESH, Delivery.due_at), (ledger.AGAIN, Delivery.due_at))
    for condition, at in parts:
        waits = select(at.label("at"))
        if condition is not ledger.CLICKED:  # which goes through a rest
            waits = (
                select(rests.since(at).label("at"))
                .select_from(Delivery)
                .join(Lane, Lane.webhook_id == Delivery.webhook_id)
            )
            waits = waits.where(~ledger.RESTING)
        some = waits.where(condition, at <= now_sql()).limit(COUNTED).subquery()
        count, waited = db.session.execute(select(func.count(), now_sql() - func.min(some.c.at))).one()
        due, age = due + count, max(age, waited or 0.0)
    return due, age


def mails_due() -> tuple[int, float]:
    """How many mails wait for the mail server, and how many seconds ago the oldest was written, by its host's clock."""
    is_due = Mail.state == MailState.DUE
    created_at = db.session.scalar(select(Mail.created_at).where(is_due).order_by(Mail.id).limit(1))
    age = 0.0 if created_at is None else (database_clock.now() - created_at).total_seconds()
    return _count(Mail, is_due), max(0.0, age)


def _backlog() -> Iterator[Metric]:
    due, age = due_now()
    later = _count(Delivery, ledger.AGAIN) if due < COUNTED else 0
    yield _gauge("leadhook_deliveries_due", "Deliveries that could be sent now.", due)
    yield _gauge("leadhook_deliveries_oldest_due_seconds", "How long the oldest of them has waited.", age)
    yield _gauge("leadhook_deliveries_retrying", "Deliveries that wait for their next automatic attempt.", later)


def _troubles() -> Iterator[Metric]:
    """What waits for a person."""
    of_account = (Delivery.account_id == Account.id) & (Delivery.state == DeliveryState.FAILED)  # by its index
    failed = select(Delivery.id).select_from(Account).join(Delivery, of_account)
    yield _gauge("leadhook_deliveries_held", "Deliveries on hold.", _count(Delivery, states.ON_HOLD))
    yield _gauge("leadhook_deliveries_failed", "Deliveries that failed for good.", _count_of(failed))
    paused = _count(Webhook, Webhook.state == WebhookState.PAUSED)
    yield _gauge("leadhook_webhooks_paused", "Webhooks that are paused.", paused)
    words = "Webhooks that rest, because the receiver asked for it or has a rate limit."
    resting = _count_of(select(Lane.webhook_id).join(Webhook).where(ledger.RESTING, ledger.ACTIVE))
    yield _gauge("leadhook_webhooks_resting", words, resting)


def _mails() -> Iterator[Metric]:
    due, age = mails_due()
    yield _gauge("leadhook_mails_due", "E-mails that wait for the mail server.", due)
    yield _gauge("leadhook_mails_oldest_due_seconds", "How long ago the oldest of them was written.", age)


def _last_sweep() -> Iterator[Metric]:
    """Nothing before the first sweep, and after one that ended its lease because its process ended."""
    age = db.session.scalar(select(now_sql() - Sweeper.lease_until + sweep.LEASE).where(Sweeper.lease_until > 0))
    if age is not None:
        yield _gauge("leadhook_last_sweep_seconds", "How long ago the last sweep began.", max(0.0, age))


def _queue_lengths() -> Iterator[Metric]:
    lengths = GaugeMetricFamily("leadhook_queue_jobs", "Jobs that wait in an RQ queue.", labels=["queue"])
    workers = GaugeMetricFamily("leadhook_workers", "Worker processes that serve an RQ queue.", labels=["queue"])
    try:
        counts = worker_figures.attempts()
        for name in NAMES:
            lengths.add_metric([name], queues.get(name).count)
            workers.add_metric([name], worker_figures.workers_alive(name))
        rung = cast(int, queues.redis.zcard(rings.rung_key))
    except (RedisError, OSError):
        return
    yield lengths
    yield _gauge("leadhook_rung_lanes", "Webhooks with new leads that wait for the job that serves them.", rung)
    yield workers
    yield from _attempts(counts)


def _attempts(counts: Mapping[str, int]) -> Iterator[Metric]:
    words = "Attempts of all workers by result: 2xx (a Success rule may take other codes), or the kind of error."
    total = CounterMetricFamily("leadhook_attempts", words, labels=["result"])
    for name, count in counts.items():
        if not name.startswith(UP_TO) and name != MILLISECONDS:
            total.add_metric([name], count)
    yield total
    places = (*map(str, BUCKETS), "inf")
    sums = accumulate(counts.get(f"{UP_TO}{place}", 0) for place in places)
    buckets = [(place.replace("inf", "+Inf"), float(count)) for place, count in zip(places, sums, strict=True)]
    words = "How long attempts took, in seconds."
    seconds = counts.get(MILLISECONDS, 0) / 1000
    yield HistogramMetricFamily("leadhook_attempt_duration_seconds", words, buckets=buckets, sum_value=seconds)
