"""A receiver is replaced with care, with real workers: examined, tried as a shadow, worked on, switched over to; and a
queue that a rate makes is shown with its end."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.journeys.conftest import Workers
from tests.support.examined import Examined
from tests.support.factories import ADA, point_at, sign, submit
from tests.support.receiver import Received, Receiver
from tests.support.waiting import wait_until
from tests.support.webhook_pages import HTMX
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Mail, Webhook, WebhookState
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan

VERIFIES = "Your endpoint verifies signatures: it took what is right, and refused what is forged."


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    with ExitStack() as stack:
        yield stack.enter_context(Receiver()), stack.enter_context(Receiver())


def plain(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def names(requests: list[Received]) -> list[str]:
    return [json.loads(request.body)["data"]["lead"]["fields"]["name"] for request in requests]


def found(query: Any) -> list[Any]:
    """It leaves no transaction open, or workers would wait for it."""
    db.session.rollback()
    with read_only():
        rows = list(db.session.scalars(query))
    db.session.rollback()
    return rows


def undelivered(*webhook_ids: int) -> int:
    return len(found(select(Delivery.id).where(Delivery.webhook_id.in_(webhook_ids), Delivery.last_code.is_(None))))


def state(webhook_id: int) -> WebhookState:
    [state] = found(select(Webhook.state).where(Webhook.id == webhook_id))
    return WebhookState(state)


def test_receivers_are_examined_by_a_worker(signed_in: FlaskClient, interface: Interface, workers: Workers) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    _, secret = sign(interface)
    there = f"/webhooks/{interface.webhook.public_id}/examination"
    workers.start()
    with Examined(secret) as receivers:
        for name, words in (
            ("verifies_nothing", "it does not verify signatures."),
            ("right", VERIFIES),
        ):
            point_at(interface, receivers.url(name), examination=None)
            db.session.rollback()
            assert signed_in.post(there).status_code == 303
            wait_until(
                lambda: "hx-trigger" not in signed_in.get(there, headers=HTMX).text, f"a verdict on {name}", timeout=60
            )
            assert words in plain(signed_in.get(there).text)
    assert "Verified receiver" in plain(signed_in.get("/interfaces").text)
    assert "0 leads" in plain(signed_in.get(f"/interfaces/{interface.public_id}/edit").text)


def test_a_shadow_is_compared_worked_on_and_switched_over_to(
    signed_in: FlaskClient, interface: Interface, workers: Workers, receivers: tuple[Receiver, Receiver]
) -> None:
    old, new = receivers
    point_at(interface, old.url, automatic_parallel=False)
    with transaction():
        plan = Plan(new.url, "New CRM", automatic_retries=False, parallel_requests=1, is_shadow=True)
        shadow = editing.add(db.session.get_one(Interface, interface.id), plan)
        ids, page = (interface.webhook.id, shadow.id), f"/webhooks/{shadow.public_id}"
    new.answer(status=500)
    submit(interface)
    workers.start()
    wait_until(lambda: undelivered(*ids) == 0, "both answers", timeout=60)
    assert "Of the newest 1 lead: 0 the same, 1 different." in plain(signed_in.get(page).text)
    file = signed_in.get("/leads.csv", buffered=True).text
    [row] = csv.DictReader(io.StringIO(file[1:]))
    assert (row["Webhook Status"], row["Response code"], row["Webhooks"]) == ("Delivered", "200", "")

    now = datetime.now(UTC)
    window = {"maintenance_from": f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M}"}
    window |= {"maintenance_until": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    assert signed_in.post(f"{page}/maintenance", data=window).status_code == 303
    wait_until(lambda: state(ids[1]) == WebhookState.PAUSED, "the window to begin")
    assert signed_in.post(f"{page}/maintenance", data=window).status_code == 422, "one lasts"
    visitors = [f"Visitor {number}" for number in range(8)]
    for name in visitors:
        submit(interface, {**ADA, "name": name})
    wait_until(lambda: undelivered(ids[0]) == 0, "the old receiver, which goes on")
    assert len(new.requests) == 1
    new.answer(status=200)
    assert signed_in.post(f"{page}/maintenance/end").status_code == 303
    new.wait_for(9, timeout=30)
    assert names(new.requests[1:]) == visitors
    wait_until(lambda: undelivered(*ids) == 0, "all answers")

    answer = signed_in.post(f"{page}/switch-over", follow_redirects=True)
    assert "“New CRM” is the first webhook now." in plain(answer.text)
    old.answer(status=500)
    submit(interface, {**ADA, "name": "Grace"})
    new.wait_for(10, timeout=30)
    old.wait_for(10, timeout=30)
    wait_until(lambda: undelivered(*ids) == 0, "the last answers")
    assert "Healthy" in plain(signed_in.get("/interfaces").text)
    leads = signed_in.get("/leads?q=Grace").text
    assert "Delivered" in plain(leads[leads.index("<tbody>") :])
    assert found(select(Mail.kind)) == []


def test_a_rate_is_kept_and_its_queue_is_shown_with_its_end(
    signed_in: FlaskClient, interface: Interface, workers: Workers, receivers: tuple[Receiver, Receiver]
) -> None:
    receiver, _ = receivers
    point_at(interface, receiver.url, rate=20)
    webhook_id, page = interface.webhook.id, f"/webhooks/{interface.webhook.public_id}"
    for _ in range(40):
        submit(interface)
    db.session.rollback()
    assert "40 leads wait to be sent" in plain(signed_in.get(page).text)
    workers.start()
    [first, *_, last] = receiver.wait_for(40, timeout=60)
    assert last.at - first.at > 39 / 20 - 0.1
    wait_until(lambda: undelivered(webhook_id) == 0, "all to be recorded")
    assert "wait to be sent" not in signed_in.get(page).text
    assert set(found(select(Delivery.state))) == {DeliveryState.DELIVERED}
