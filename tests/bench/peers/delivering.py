"""What a job for one lead does, for RQ and Celery alike: read, sign, post, record.

Nothing less than Leadhook does for a lead, and nothing that Leadhook does beside it (lanes, fences, retries, reports).

No transaction is open during the post; what was decided is two rows in one commit, the attempt and the delivery. The
session keeps its connection and the secret is decrypted once a process, where the process lives longer than a job.
"""

import time
from contextlib import suppress
from datetime import datetime
from functools import cache

import requests
from flask import Flask
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from webapp import create_app
from webapp.clock import utcnow
from webapp.config import Config
from webapp.db.transactions import disconnect, read_only
from webapp.encryption import decrypt
from webapp.extensions import db
from webapp.ids import attempt_id
from webapp.models import ApiKey, Attempt, Delivery, DeliveryState, Reason, Webhook
from webapp.webhooks.signing import Signer

_WANTED = (
    select(Delivery.message_id, Delivery.payload, Webhook.url, ApiKey.id.label("token"), ApiKey.secret_encrypted)
    .join(Webhook, Webhook.id == Delivery.webhook_id)
    .join(ApiKey, ApiKey.id == Webhook.shared_token_id)
    .where(Delivery.id == bindparam("delivery"), Delivery.state == DeliveryState.PENDING)
)
_MOVED = (
    update(Delivery)
    .where(Delivery.id == bindparam("delivery"))
    .values(
        state=bindparam("new_state"),
        tries=Delivery.tries + 1,
        due_at=None,
        last_code=bindparam("code"),
        last_response=bindparam("response"),
        last_duration_ms=bindparam("duration_ms"),
        last_at=bindparam("at"),
    )
)


@cache
def application() -> Flask:
    """For its engine: the same database, the same settings as Leadhook's workers have."""
    return create_app(Config.load(), worker=True, connections=(4, 1))


@cache
def session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxies, no .netrc: a good part of what a post costs
    return session


@cache
def signer(encrypted: bytes) -> Signer:
    return Signer([decrypt(encrypted)])


def deliver(delivery_id: int) -> None:
    """One lead, one try."""
    with application().app_context():
        with read_only(), db.engine.connect() as connection:
            row = connection.execute(_WANTED, {"delivery": delivery_id}).one_or_none()
        if row is None:
            return
        one, started_at, timestamp, began = attempt_id(), utcnow(), int(time.time()), time.monotonic()
        headers = {
            "content-type": "application/json",
            "webhook-id": row.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signer(row.secret_encrypted).sign(row.message_id, timestamp, row.payload),
        }
        answer = session().post(row.url, data=row.payload, headers=headers, timeout=(5, 15), allow_redirects=False)
        took = round((time.monotonic() - began) * 1000)
        with db.engine.begin() as connection:
            _record(connection, delivery_id, row.url, row.token, one, started_at, timestamp, took, answer)


def _record(
    connection: Connection,
    delivery_id: int,
    url: str,
    token_id: int | None,
    one: str,
    started_at: datetime,
    timestamp: int,
    took: int,
    answer: requests.Response,
) -> None:
    state = DeliveryState.DELIVERED if answer.status_code < 300 else DeliveryState.FAILED
    moved = {"delivery": delivery_id, "new_state": state, "code": answer.status_code, "at": started_at}
    connection.execute(_MOVED, {**moved, "response": answer.text[:500], "duration_ms": took})
    attempt = {
        "id": one,
        "delivery_id": delivery_id,
        "reason": Reason.AUTOMATIC,
        "started_at": started_at,
        "url": url,
        "timestamp": timestamp,
        "signed_with_id": token_id,
        "code": answer.status_code,
        "response": answer.text,
        "truncated": False,
        "response_headers": [list(pair) for pair in answer.headers.items()],
        "duration_ms": took,
    }
    connection.execute(insert(Attempt), attempt)


def prepare() -> None:
    """Does once what every process forked from this one would otherwise do again: RQ's Worker forks for each job.

    Imports, the engine, SQL that is compiled by being executed (on no row); and no connection that forks would share.
    """
    answer = requests.Response()
    answer.status_code, answer._content = 200, b""
    with application().app_context():
        with read_only(), db.engine.connect() as connection:
            connection.execute(_WANTED, {"delivery": -1})
        with suppress(IntegrityError), db.engine.begin() as connection:
            _record(connection, -1, "", None, attempt_id(), utcnow(), 0, 0, answer)  # there is no such delivery
        disconnect()
