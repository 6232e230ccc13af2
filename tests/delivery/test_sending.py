"""When a batch ends before its last row: deliveries that were not begun stay due, or on hold, without an attempt."""

import threading
from dataclasses import replace

from flask import Flask
from sqlalchemy import select

from tests.support.factories import delivery_of, point_at, submit
from tests.support.receiver import Line, Receiver, answering, hanging
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Webhook, WebhookState


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def untouched(delivery: Delivery, state: DeliveryState) -> bool:
    return (delivery.state, delivery.tries, delivery.attempts) == (state, 0, [])


def test_after_a_timeout_the_rest_of_the_batch_stays_due(app: Flask, interface: Interface, receiver: Receiver) -> None:
    app.extensions["leadhook_config"] = replace(app.extensions["leadhook_config"], deadline=1.0)
    point_at(interface, receiver.url)
    receiver.queue(answering(200), hanging())
    first, second, *rest = [submit(interface) for _ in range(5)]
    drain(interface)
    assert len(receiver.requests) == 2
    assert [delivery_of(lead).last_code for lead in (first, second)] == [200, 999]
    assert all(untouched(delivery_of(lead), DeliveryState.PENDING) for lead in rest)
    drain(interface)
    assert {delivery_of(lead).state for lead in rest} == {DeliveryState.DELIVERED}
    assert len(receiver.requests) == 5


def test_after_a_410_no_parallel_request_is_begun(interface: Interface, receiver: Receiver) -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(line: Line) -> bool:
        together.wait()
        return answering(410)(line)

    point_at(interface, receiver.url, parallel_requests=2)
    receiver.behave(meet)
    first, second, *rest = [submit(interface) for _ in range(6)]
    drain(interface)
    assert len(receiver.requests) == 2
    assert {delivery_of(lead).state for lead in (first, second)} == {DeliveryState.FAILED}
    assert all(untouched(delivery_of(lead), DeliveryState.ON_HOLD) for lead in rest)
    assert db.session.scalars(select(Webhook.state)).one() == WebhookState.PAUSED
