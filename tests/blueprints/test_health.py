"""/healthz, /readyz, /metrics: for load balancers and monitoring."""

import time

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.conftest import METRICS_TOKEN, AppMaker
from tests.support.factories import ADA, submit
from tests.support.valkey import Valkey
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services.interfaces import interfaces

UNAVAILABLE = {"status": "unavailable", "writable": False, "redis": "ok", "clock_offset_seconds": None}
NO_DATABASE = "postgresql+psycopg://leadhook@/leadhook?host=/nowhere"
AWAY = {"REMOTE_ADDR": "203.0.113.7"}


SCRAPES = {"Authorization": f"Bearer {METRICS_TOKEN}"}


def lines(client: FlaskClient) -> list[str]:
    answer = client.get("/metrics", headers=SCRAPES)
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
    assert answer.json == {
        "status": "ready",
        "database": "ok",
        "writable": True,
        "redis": "ok",
        "clock_offset_seconds": pytest.approx(0.0, abs=1.0),
    }


def test_it_stays_ready_without_redis_because_leads_are_still_captured(client: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json
    assert (answer.json["status"], answer.json["redis"], answer.json["writable"]) == ("degraded", "away", True)


def test_it_is_not_ready_before_the_database_is_migrated(client: FlaskClient) -> None:
    with transaction():
        current = db.session.scalar(text("SELECT version_num FROM alembic_version"))
        db.session.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    answer = client.get("/readyz")
    with transaction():  # on PostgreSQL the next test gets this database
        db.session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": current})
    assert answer.status_code == 503
    assert answer.json == {**UNAVAILABLE, "database": "not migrated"}


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
    assert client.get("/readyz").json == {**UNAVAILABLE, "database": "not migrated"}


def test_it_is_not_ready_with_an_empty_database(client: FlaskClient) -> None:
    with transaction():
        db.session.execute(text("DROP TABLE alembic_version"))
    assert client.get("/readyz").status_code == 503


def test_it_is_not_ready_without_a_database(make_app: AppMaker) -> None:
    answer = make_app(DATABASE_URL=NO_DATABASE).test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {**UNAVAILABLE, "database": "away"}


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
    # One job looks at the lane because its webhook was changed, and one serves all rung lanes.
    assert 'leadhook_queue_jobs{queue="fast"} 2.0' in found
    assert "leadhook_rung_lanes 1.0" in found
    assert "leadhook_redis_up 1.0" in found
    waited = next(line for line in found if line.startswith("leadhook_deliveries_oldest_due_seconds "))
    assert 0 <= float(waited.split()[1]) < 60


def test_metrics_are_there_without_redis(client: FlaskClient, valkey: Valkey) -> None:
    valkey.stop()
    assert "leadhook_redis_up 0.0" in lines(client)


# Who may read the metrics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "203.0.113.7", ""])
def test_metrics_are_for_who_has_the_token_from_anywhere(client: FlaskClient, address: str) -> None:
    answer = client.get("/metrics", headers=SCRAPES, environ_overrides={"REMOTE_ADDR": address})
    assert answer.status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_name_of_the_scheme_may_be_in_any_case(client: FlaskClient, scheme: str) -> None:
    assert client.get("/metrics", headers={"Authorization": f"{scheme} {METRICS_TOKEN}"}).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.7", "203.0.113.7", ""])
def test_without_the_token_they_are_not_there_from_anywhere(client: FlaskClient, address: str) -> None:
    """A proxy on this machine that sends no X-Forwarded-For looks like this machine; a unix socket has no address."""
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": address}).status_code == 404


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_headers_of_proxies_change_nothing(client: FlaskClient, name: str) -> None:
    assert client.get("/metrics", headers={name: "127.0.0.1"}).status_code == 404
    assert client.get("/metrics", headers={name: "203.0.113.7", **SCRAPES}).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {METRICS_TOKEN}x",
        f"Bearer {METRICS_TOKEN[:-1]}",
        f"Bearer {METRICS_TOKEN.upper()}",
        f"Basic {METRICS_TOKEN}",
        METRICS_TOKEN,
        "Bearer \xe9\xff",
    ],
)
def test_another_token_is_none(client: FlaskClient, given: str) -> None:
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


def test_a_token_in_the_address_is_none(client: FlaskClient) -> None:
    assert client.get(f"/metrics?token={METRICS_TOKEN}").status_code == 404


def test_where_no_token_is_set_none_is_right(make_app: AppMaker) -> None:
    client = make_app(METRICS_TOKEN="").test_client()
    for given in ("Bearer ", "Bearer None", "Bearer"):
        assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


def test_metrics_are_for_the_operator(signed_in: FlaskClient) -> None:
    assert signed_in.get("/metrics", environ_overrides=AWAY).status_code == 200


def test_metrics_are_not_there_for_another_accounts_owner(stranger: FlaskClient) -> None:
    assert stranger.get("/metrics", environ_overrides=AWAY).status_code == 404


# Without a database --------------------------------------------------------------------------------------------------


def test_metrics_are_there_without_a_database(make_app: AppMaker) -> None:
    client = make_app(DATABASE_URL=NO_DATABASE).test_client()
    found = lines(client)
    assert {"leadhook_database_up 0.0", "leadhook_database_writable 0.0", "leadhook_redis_up 1.0"} <= set(found)
    assert any(line.startswith("leadhook_disk_free_bytes ") for line in found)
    assert 'leadhook_queue_jobs{queue="fast"} 0.0' in found
    assert not any(line.startswith("leadhook_deliveries_due") for line in found)


def test_without_a_database_a_browser_that_is_signed_in_gets_no_page_of_an_error(
    make_app: AppMaker, signed_in: FlaskClient
) -> None:
    cookie = signed_in.get_cookie("leadhook")
    assert cookie
    client = make_app(DATABASE_URL=NO_DATABASE).test_client()
    client.set_cookie("leadhook", cookie.value)
    answer = client.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")
    assert "leadhook_database_up 0.0" in lines(client)


def test_a_database_that_goes_away_between_two_queries_costs_the_metrics_that_need_it(
    client: FlaskClient, owner: User
) -> None:
    with transaction():
        db.session.execute(text("ALTER TABLE mails RENAME TO mails_away"))
    found = lines(client)
    assert "leadhook_database_up 1.0" in found
    assert not any(line.startswith("leadhook_mails_due") for line in found)


def test_the_log_says_at_once_why_the_database_is_away_and_then_once_a_minute(
    make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.services.signs.readiness.EVERY", 0.0)
    client = make_app(DATABASE_URL=NO_DATABASE).test_client()
    with capture_logs() as logged:
        for _ in range(3):
            client.get("/readyz")
            lines(client)
        [entry] = [each for each in logged if each["event"] == "the database does not answer"]
        assert "/nowhere" in entry["reason"]
        assert "\n" not in entry["reason"]
        now = time.monotonic()
        monkeypatch.setattr("webapp.log.time.monotonic", lambda: now + 61)
        client.get("/readyz")
        client.get("/readyz")
    assert len([each for each in logged if each["event"] == "the database does not answer"]) == 2
