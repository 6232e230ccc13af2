"""The rows of a backlog, as captures leave them."""

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from tests.bench.lead import ANSWERS, BROWSER, TRACKED
from webapp.clock import utcnow
from webapp.services.intake import visitor
from webapp.webhooks.payload import lead_payload

_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count) SELECT i FROM n",
    "postgresql": "SELECT generate_series(0, :count - 1) AS i",
}
_ID = {"sqlite": "printf('%s_%026d', '{0}', {1})", "postgresql": "'{0}_' || lpad(({1})::text, 26, '0')"}
_LEADS = """INSERT INTO leads
(id, public_id, account_id, interface_id, received_at, test, name, email, fields, source, consents)
SELECT :first + i, {lead}, :account, h.interface_id, :now, {false}, :name, :email, {fields}, {source}, {consents}
FROM ({numbers}) AS numbers JOIN bench_hooks h ON h.number = i % :hooks"""
_DELIVERIES = """INSERT INTO deliveries
(id, message_id, account_id, lead_id, webhook_id, payload, test, state, state_reason, tries, due_at)
SELECT :first + i, {message}, :account, :first + i, h.webhook_id, :payload, {false}, 'pending', '', 0, :due
FROM ({numbers}) AS numbers JOIN bench_hooks h ON h.number = i % :hooks"""


def payload() -> bytes:
    """The body that everything here sends: an ordinary lead's."""
    return lead_payload(
        event="lead.created",
        lead_id="lead_01k8yq4v6w3cz5h0r9t2m7xn4b",
        received_at=utcnow(),
        fields=ANSWERS,
        interface_id="if_0Aa1Bb2Cc3Dd",
        interface_name="Contact sales 17",
        source=visitor.source(TRACKED, "203.0.113.7", BROWSER),
        consents=[],
    )


def insert(connection: Connection, account_id: int, hooks: Sequence[tuple[int, int]], count: int) -> int:
    """The rows that as many captures leave, made by the database itself; the first id. Lead and delivery share it.

    `hooks` are pairs of an interface's and its webhook's id; the leads go round them.
    """
    dialect = connection.dialect.name
    connection.execute(
        text("CREATE TEMPORARY TABLE IF NOT EXISTS bench_hooks (number INT, interface_id INT, webhook_id INT)")
    )
    connection.execute(text("DELETE FROM bench_hooks"))
    rows = [
        {"n": number, "i": interface_id, "w": webhook_id} for number, (interface_id, webhook_id) in enumerate(hooks)
    ]
    connection.execute(text("INSERT INTO bench_hooks VALUES (:n, :i, :w)"), rows)
    last = max(
        connection.execute(text(f"SELECT coalesce(max(id), 0) FROM {table}")).scalar_one()
        for table in ("leads", "deliveries")
    )
    values: dict[str, Any] = {
        "first": last + 1,
        "count": count,
        "hooks": len(hooks),
        "account": account_id,
        "now": utcnow() if dialect == "postgresql" else utcnow().replace(tzinfo=None).isoformat(" "),
        "name": ANSWERS["name"],
        "email": ANSWERS["email"],
        "payload": payload(),
        "due": time.time(),
    }
    cast = "CAST({} AS json)" if dialect == "postgresql" else "{}"
    parts = {
        "numbers": _NUMBERS[dialect],
        "false": "false",
        "lead": _ID[dialect].format("lead", ":first + i"),
        "message": _ID[dialect].format("msg", ":first + i"),
        **{name: cast.format(f":{name}") for name in ("fields", "source", "consents")},
    }
    jsons = {
        "fields": json.dumps(ANSWERS),
        "source": json.dumps(visitor.source(TRACKED, "203.0.113.7", BROWSER)),
        "consents": "[]",
    }
    connection.execute(text(_LEADS.format(**parts)), {**values, **jsons})
    connection.execute(text(_DELIVERIES.format(**parts)), values)
    if dialect == "postgresql":
        for table in ("leads", "deliveries"):
            connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last + count})"))
    return int(values["first"])
