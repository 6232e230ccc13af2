"""What pauses a webhook by itself: failures that span five days, with nothing good between them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.support.factories import delivery_of, point_at, sign, submit
from tests.support.receiver import Receiver, answering, resetting
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Lane, Lead, User, Webhook, WebhookState
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import webhooks

DAY = 86400.0
WEEK = 7 * DAY
TIMES = (Lane.failing_since, Lane.failed_at, Lane.succeeded_at)


@pytest.fixture
def pointed(interface: Interface, receiver: Receiver) -> Interface:
    """Its receiver fails until a test says otherwise."""
    point_at(interface, receiver.url)
    receiver.answer(502)
    return interface


def drain(interface: Interface) -> None:
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)


def fail(interface: Interface, tries: int, every: float = 0.0) -> Lead:
    """A lead whose next tries fail, `every` seconds apart."""
    lead = submit(interface)
    for number in range(tries):
        if number:
            pass_by(every)
            with transaction():
                db.session.execute(update(Delivery).where(Delivery.lead_id == lead.id).values(due_at=now_sql() - 1))
        drain(interface)
    return lead


def pass_by(seconds: float) -> None:
    """Time passes, in which nothing is sent."""
    with transaction():
        db.session.execute(update(Lane).values({column: column - seconds for column in TIMES}))


def give_up(interface: Interface) -> None:
    """A lead that failed eight times in a day, as the schedule has it, and was given up."""
    lead = fail(interface, 8, every=DAY / 8)
    assert delivery_of(lead).state == DeliveryState.FAILED


def send_test(interface: Interface, user: User) -> None:
    with transaction():
        leads.send_test(db.session.get_one(Interface, interface.id), user.id)
    drain(interface)


def state() -> WebhookState:
    return db.session.scalars(select(Webhook.state).execution_options(populate_existing=True)).one()


def counted() -> tuple[int, bool]:
    """The failures that are counted, and whether the lane is failing."""
    lane = db.session.scalars(select(Lane).execution_options(populate_existing=True)).one()
    found = lane.failures, lane.failing_since is not None
    db.session.rollback()
    return found


def test_a_lead_given_up_a_week_ago_and_a_good_test_since_do_not_pause_a_webhook(
    pointed: Interface, receiver: Receiver, owner: User
) -> None:
    give_up(pointed)
    pass_by(3 * DAY)
    receiver.queue(answering(200))
    send_test(pointed, owner)
    assert counted() == (0, False)
    pass_by(3 * DAY)
    submit(pointed), submit(pointed)
    drain(pointed)
    assert len(receiver.requests) == 8 + 1 + 2
    assert state() == WebhookState.ACTIVE
    later = submit(pointed)
    assert delivery_of(later).state == DeliveryState.PENDING


def test_failures_a_week_apart_with_silence_between_do_not_pause_a_webhook(pointed: Interface) -> None:
    give_up(pointed)
    pass_by(WEEK)
    fail(pointed, 2)
    assert (state(), counted()) == (WebhookState.ACTIVE, (2, True))


def test_a_lead_a_week_of_which_each_fails_does_not_pause_a_webhook(pointed: Interface) -> None:
    for _ in range(3):
        give_up(pointed)
        pass_by(WEEK - DAY)
    assert (state(), counted()) == (WebhookState.ACTIVE, (8, True))


def test_failures_that_span_five_days_pause_it(pointed: Interface) -> None:
    fail(pointed, 8, every=0.6 * DAY)
    assert state() == WebhookState.ACTIVE
    pass_by(0.5 * DAY)
    fail(pointed, 2)
    pass_by(0.5 * DAY)
    fail(pointed, 1)
    assert state() == WebhookState.PAUSED


def test_failures_as_far_apart_as_the_schedule_has_them_pause_it(app: Flask, pointed: Interface) -> None:
    app.extensions["leadhook_config"] = replace(app.extensions["leadhook_config"], retry_schedule=(3 * DAY,) * 10)
    fail(pointed, 9, every=3.3 * DAY)
    assert (state(), counted()) == (WebhookState.ACTIVE, (9, True))
    fail(pointed, 1)
    assert state() == WebhookState.PAUSED


def test_many_failures_within_four_days_do_not_pause_it(pointed: Interface) -> None:
    for _ in range(4):
        fail(pointed, 5)
        pass_by(0.9 * DAY)
    fail(pointed, 5)
    assert (state(), counted()) == (WebhookState.ACTIVE, (25, True))


def test_a_good_retry_by_hand_starts_the_count_anew(pointed: Interface, receiver: Receiver, owner: User) -> None:
    lead = fail(pointed, 8, every=0.75 * DAY)
    receiver.queue(answering(200))
    with transaction():
        leads.retry(lead.account_id, [lead.public_id], owner.id)
    drain(pointed)
    assert counted() == (0, False)


def test_a_failed_test_neither_counts_nor_starts_anew(pointed: Interface, owner: User) -> None:
    fail(pointed, 3)
    send_test(pointed, owner)
    assert counted() == (3, True)


def test_a_failed_retry_by_hand_neither_counts_nor_starts_anew(pointed: Interface, owner: User) -> None:
    lead = fail(pointed, 3)
    with transaction():
        leads.retry(lead.account_id, [lead.public_id], owner.id)
    drain(pointed)
    assert counted() == (3, True)


def test_a_reset_connection_counts_like_an_answer(pointed: Interface, receiver: Receiver) -> None:
    receiver.queue(resetting(), resetting())
    fail(pointed, 2)
    assert counted() == (2, True)


@pytest.mark.parametrize(
    ("changed", "is_anew"),
    [
        ({}, False),
        ({"automatic_retries": False}, False),
        ({"url": "http://127.0.0.1:9/another"}, True),
        ({"authentication": Authentication.NONE, "shared_token": None}, True),
        ({"shared_token": "another"}, True),
    ],
)
def test_a_new_url_or_token_starts_the_count_anew_and_other_settings_do_not(
    pointed: Interface, receiver: Receiver, changed: dict[str, object], is_anew: bool
) -> None:
    token, _ = sign(pointed)
    fail(pointed, 3)
    with transaction():
        if changed.get("shared_token") == "another":
            another, _ = api_keys.create_shared_token(pointed.account_id, None, "CRM staging")
            changed = {"shared_token": another.public_id}
        settings = {"url": receiver.url, "authentication": Authentication.SHARED_TOKEN, "shared_token": token.public_id}
        interfaces.update_lead_generation(pointed, **{**settings, **changed})  # type: ignore[arg-type]
    assert counted() == ((0, False) if is_anew else (3, True))


def test_a_rotated_token_starts_the_count_anew_where_it_signs(pointed: Interface, owner: User) -> None:
    token, _ = sign(pointed)
    fail(pointed, 3)
    with transaction():
        another, _ = api_keys.create_shared_token(owner.account_id, None, "of no webhook")
        api_keys.rotate(another, timedelta(hours=1))
    assert counted() == (3, True)
    with transaction():
        api_keys.rotate(token, timedelta(hours=1))
    assert counted() == (0, False)


def test_a_resume_starts_the_count_anew(pointed: Interface) -> None:
    fail(pointed, 3)
    with transaction():
        webhooks.pause(pointed.webhook, "by hand")
    with transaction():
        webhooks.resume(pointed.webhook)
    assert counted()[0] == 0


@pytest.mark.parametrize("jump", [-2 * WEEK, -60.0])
def test_a_clock_that_is_set_back_pauses_nothing(pointed: Interface, jump: float) -> None:
    fail(pointed, 8, every=0.75 * DAY)
    pass_by(jump)
    fail(pointed, 3)
    assert state() == (WebhookState.ACTIVE if jump < -60 else WebhookState.PAUSED)


def test_failures_before_a_clock_was_set_back_by_a_year_do_not_hold_up_the_pause(pointed: Interface) -> None:
    fail(pointed, 3)
    pass_by(-365 * DAY)
    fail(pointed, 8, every=0.75 * DAY)
    fail(pointed, 1)
    assert (state(), counted()) == (WebhookState.ACTIVE, (9, True))
    fail(pointed, 1)
    assert state() == WebhookState.PAUSED


def test_a_clock_that_jumps_forward_by_a_week_pauses_nothing(pointed: Interface) -> None:
    fail(pointed, 9)
    pass_by(WEEK)
    fail(pointed, 2)
    assert (state(), counted()) == (WebhookState.ACTIVE, (2, True))


def test_failures_that_an_earlier_version_counted_are_counted_anew(pointed: Interface) -> None:
    """It did not store the time of the last one."""
    with transaction():
        db.session.execute(update(Lane).values(failures=9, failing_since=now_sql() - WEEK, failed_at=None))
    fail(pointed, 2)
    assert (state(), counted()) == (WebhookState.ACTIVE, (2, True))


def test_a_failed_test_or_retry_does_not_pause_what_is_about_to_be(
    pointed: Interface, receiver: Receiver, owner: User
) -> None:
    lead = fail(pointed, 8)
    fail(pointed, 4)
    for _ in range(4):
        pass_by(1.4 * DAY)
        with transaction():  # as if each day had one more
            db.session.execute(update(Lane).values(failed_at=now_sql() - 60))
    send_test(pointed, owner)
    with transaction():
        leads.retry(lead.account_id, [lead.public_id], owner.id)
    drain(pointed)
    assert state() == WebhookState.ACTIVE
    fail(pointed, 1)
    assert state() == WebhookState.PAUSED
