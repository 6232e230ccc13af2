"""What the metrics say about posts, deliveries, webhooks, mails and workers."""

import multiprocessing
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text, update

from tests.conftest import METRICS_TOKEN, AppMaker
from tests.support.factories import ADA, point_at, submit
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import worker_figures
from webapp.delivery.rings import queues
from webapp.delivery.sending import AttemptCounts
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, Webhook, WebhookState
from webapp.services.intake import visitor
from webapp.services.signs.counters import PostCounters
from webapp.webhooks.outcome import ErrorKind, Outcome


def values(client: FlaskClient) -> dict[str, float]:
    """Each sample by its name and labels."""
    db.session.rollback()
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert re.fullmatch(r"leadhook_[a-z_]+", family.name)
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_posts_are_counted_by_their_result(make_app: AppMaker, interface: Interface) -> None:
    client, form = make_app().test_client(), f"/f/{interface.public_id}"
    robot = {**ADA, visitor.TRAP: "https://pills.example"}
    db.session.rollback()
    for _ in range(2):
        client.post(form, json=ADA)
    client.post(form, json=robot)
    client.post(form, json={})
    client.post(form, data=b"x" * 300_000, content_type="application/x-www-form-urlencoded")
    client.post("/f/if_nothing", json=ADA)
    client.post(form, data="x", content_type="text/csv")
    client.get(form)
    found = values(client)
    counts = {name: found[f'leadhook_form_posts_total{{result="{name}"}}'] for name in ("accepted", "spam", "invalid")}
    assert counts == {"accepted": 2, "spam": 1, "invalid": 1}
    assert found['leadhook_form_posts_total{result="too_long"}'] == 1
    assert found['leadhook_form_posts_total{result="other"}'] == 2
    assert found['leadhook_form_posts_total{result="error"}'] == 0


def test_posts_that_fail_or_are_too_many_are_counted(make_app: AppMaker, interface: Interface) -> None:
    client, form = make_app(FORM_RATE_LIMIT="1 per minute").test_client(), f"/f/{interface.public_id}"
    with transaction():
        db.session.execute(text("ALTER TABLE leads RENAME TO leads_away"))
    client.post(form, json=ADA)
    client.post(form, json=ADA)
    with transaction():
        db.session.execute(text("ALTER TABLE leads_away RENAME TO leads"))
    found = values(client)
    assert found['leadhook_form_posts_total{result="error"}'] == 1
    assert found['leadhook_form_posts_total{result="limited"}'] == 1


def test_processes_that_were_forked_count_together() -> None:
    counters = PostCounters()

    def count() -> None:
        for _ in range(1000):
            counters.add("accepted")

    forks = [multiprocessing.get_context("fork").Process(target=count) for _ in range(3)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join()
    counters.add("spam")
    assert (counters.totals()["accepted"], counters.totals()["spam"]) == (3000, 1)


def test_what_waits_for_a_person_is_counted(client: FlaskClient, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    leads = [submit(interface) for _ in range(3)]
    states = (DeliveryState.ON_HOLD, DeliveryState.FAILED, DeliveryState.PENDING)
    with transaction():
        for lead, state in zip(leads, states, strict=True):
            db.session.execute(update(Delivery).where(Delivery.lead_id == lead.id).values(state=state))
        db.session.execute(update(Webhook).values(state=WebhookState.PAUSED))
    found = values(client)
    names = ("leadhook_deliveries_held", "leadhook_deliveries_failed", "leadhook_webhooks_paused")
    assert [found[name] for name in names] == [1, 1, 1]


def test_the_age_of_the_oldest_delivery_and_of_the_last_sweep(client: FlaskClient, interface: Interface) -> None:
    assert "leadhook_last_sweep_seconds" not in values(client)
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql() - 100))
    db.session.rollback()
    Sweep().once()
    found = values(client)
    assert found["leadhook_deliveries_oldest_due_seconds"] == pytest.approx(100, abs=20)
    assert 0 <= found["leadhook_last_sweep_seconds"] < 20


def test_webhooks_that_rest_are_counted_and_their_leads_are_not_late(client: FlaskClient, interface: Interface) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    submit(interface)
    with transaction():
        db.session.execute(update(Delivery).values(due_at=now_sql() - 1000))
        db.session.execute(update(Lane).values(rests_until=now_sql() + 1000, tries_first=True))
    names = "leadhook_webhooks_resting", "leadhook_deliveries_due", "leadhook_deliveries_oldest_due_seconds"
    found = values(client)
    assert [found[name] for name in names] == [1, 0, 0]


def test_attempts_are_counted_by_result_and_duration(app: Flask, client: FlaskClient) -> None:
    counts = AttemptCounts()
    for code, error, milliseconds in ((200, None, 20), (204, None, 300), (500, None, 700), (999, "timeout", 15_000)):
        kind = ErrorKind(error) if error else None
        counts.add(Outcome(code, "", False, (), kind, milliseconds, None))
    worker_figures.add_attempts(queues.redis, counts)
    assert not counts.take()
    found = values(client)
    results = {name: found.get(f'leadhook_attempts_total{{result="{name}"}}') for name in ("2xx", "5xx", "timeout")}
    assert results == {"2xx": 2, "5xx": 1, "timeout": 1}
    bucket = "leadhook_attempt_duration_seconds_bucket"
    assert [found[f'{bucket}{{le="{limit}"}}'] for limit in ("0.05", "0.25", "0.5", "1.0", "10.0", "15.0", "+Inf")] == [
        *(1, 1, 2, 3, 3, 4, 4)
    ]
    assert found["leadhook_attempt_duration_seconds_count"] == 4
    assert found["leadhook_attempt_duration_seconds_sum"] == pytest.approx(16.02)


def test_counts_that_do_not_reach_redis_are_kept(app: Flask) -> None:
    counts = AttemptCounts()
    counts.add(Outcome(200, "", False, (), None, 20, None))
    counts.put_back(counts.take())
    counts.add(Outcome(200, "", False, (), None, 20, None))
    assert counts.take()["2xx"] == 2


def test_workers_disk_and_version_are_there(app: Flask, client: FlaskClient) -> None:
    found = values(client)
    assert [found[f'leadhook_workers{{queue="{name}"}}'] for name in ("fast", "slow", "mail")] == [0, 0, 0]
    assert found["leadhook_disk_free_bytes"] > 0
    assert found[f'leadhook_build_info{{version="{app.config["LEADHOOK_VERSION"]}"}}'] == 1
    assert found["leadhook_mails_oldest_due_seconds"] == 0
