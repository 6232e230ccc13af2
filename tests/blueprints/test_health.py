"""/healthz, /readyz, /metrics: for load balancers and monitoring."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.conftest import AppMaker
from tests.support.factories import ADA, submit
from tests.support.valkey import Valkey
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.ids import attempt_id
from webapp.models import Interface
from webapp.services import health
from webapp.services.interfaces import interfaces

AWAY = {"REMOTE_ADDR": "203.0.113.7"}


def lines(client: FlaskClient) -> list[str]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    return answer.text.splitlines()


def test_healthz_answers_without_database_and_redis(client: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_it_is_ready_when_all_parts_answer(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ready", "database": "ok", "redis": "ok"}


def test_it_stays_ready_without_redis_because_leads_are_still_captured(client: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "degraded", "database": "ok", "redis": "away"}


def test_it_is_not_ready_before_the_database_is_migrated(client: FlaskClient) -> None:
    with transaction():
        db.session.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"status": "unavailable", "database": "not migrated", "redis": "ok"}


@pytest.mark.parametrize("revision", ["9998", "9999"])
def test_it_stays_ready_while_the_next_version_migrates(
    client: FlaskClient, interface: Interface, revision: str
) -> None:
    """Otherwise a load balancer would take out every old process at once, while each of them takes leads."""
    with transaction():
        db.session.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    assert client.get("/readyz").status_code == 200
    assert client.post(f"/f/{interface.public_id}", data=ADA).status_code == 303


@pytest.mark.parametrize("revision", ["0001", "0005", "", "1", "abcd", "-999", "99 99"])
def test_it_is_not_ready_with_an_older_or_an_unknown_revision(client: FlaskClient, revision: str) -> None:
    with transaction():
        db.session.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    assert client.get("/readyz").json == {"status": "unavailable", "database": "not migrated", "redis": "ok"}


def test_it_is_not_ready_with_an_empty_database(client: FlaskClient) -> None:
    with transaction():
        db.session.execute(text("DROP TABLE alembic_version"))
    assert client.get("/readyz").status_code == 503


def test_it_is_not_ready_without_a_database(make_app: AppMaker) -> None:
    away = "postgresql+psycopg://leadhook@/leadhook?host=/nowhere"
    answer = make_app(DATABASE_URL=away).test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"status": "unavailable", "database": "away", "redis": "ok"}


def test_metrics_count_what_waits(client: FlaskClient, interface: Interface) -> None:
    with transaction():
        interfaces.update_lead_generation(
            interface, url="http://127.0.0.1:9/", authentication=interface.webhook.authentication, shared_token=None
        )
    for name in ("Ada", "Grace"):
        submit(interface, {"name": name, "email": "", "phone": "", "message": ""})
    found = lines(client)
    assert "leadhook_deliveries_due 2.0" in found
    assert "leadhook_deliveries_retrying 0.0" in found
    assert 'leadhook_queue_jobs{queue="fast"} 1.0' in found
    assert "leadhook_redis_up 1.0" in found
    waited = next(line for line in found if line.startswith("leadhook_deliveries_oldest_due_seconds "))
    assert 0 <= float(waited.split()[1]) < 60


def test_metrics_are_there_without_redis(client: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    assert "leadhook_redis_up 0.0" in lines(client)


def test_metrics_are_for_the_operator_and_this_machine(signed_in: FlaskClient, client: FlaskClient) -> None:
    assert client.get("/metrics", environ_overrides=AWAY).status_code == 404
    assert signed_in.get("/metrics", environ_overrides=AWAY).status_code == 200


def test_metrics_are_not_there_for_another_accounts_owner(stranger: FlaskClient) -> None:
    assert stranger.get("/metrics", environ_overrides=AWAY).status_code == 404


def test_metrics_are_not_there_through_a_proxy_on_this_machine(client: FlaskClient) -> None:
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 404


def test_the_smallest_attempt_id_of_a_time_sorts_before_later_ones() -> None:
    assert health.attempts_since(1) < attempt_id() < health.attempts_since(-1)
