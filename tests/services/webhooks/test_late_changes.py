"""Changes of a webhook by a page that was loaded before somebody else changed it."""

import pytest
from sqlalchemy import update
from werkzeug.exceptions import NotFound

from tests.support.factories import submit
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Webhook, WebhookState
from webapp.services.errors import Refused
from webapp.services.webhooks import editing, webhooks
from webapp.services.webhooks.editing import Plan

URL = "http://127.0.0.1:9/"


@pytest.fixture
def removed(interface: Interface) -> Webhook:
    """A webhook that was removed with a lead on hold."""
    with transaction():
        added = editing.add(db.session.get_one(Interface, interface.id), Plan(URL))
    with transaction():
        webhooks.pause(added, "Paused by Alice.")
    submit(interface)
    with transaction():
        assert editing.remove(added) == 1
    return added


def test_a_resume_does_not_bring_a_removed_webhook_back(removed: Webhook) -> None:
    with transaction():
        assert webhooks.resume(removed) == 0
    assert removed.state == WebhookState.ARCHIVED
    [delivery] = db.session.query(Delivery).filter_by(webhook_id=removed.id)
    assert delivery.state == DeliveryState.CANCELLED


def test_a_pause_does_not_change_a_removed_webhook(removed: Webhook) -> None:
    with transaction():
        webhooks.pause(removed, "Paused by Bob.")
    assert (removed.state, removed.state_reason) == (WebhookState.ARCHIVED, "")


def test_a_removed_webhook_cannot_be_saved(removed: Webhook) -> None:
    with pytest.raises(NotFound), transaction():
        editing.save(removed, Plan(URL))


def test_a_webhook_that_became_the_first_one_meanwhile_is_not_removed(interface: Interface) -> None:
    with transaction():
        added = editing.add(db.session.get_one(Interface, interface.id), Plan(URL))
    with transaction():
        assert not added.is_first
        switched = update(Webhook).where(Webhook.id == added.id).values(is_first=True)
        db.session.execute(switched.execution_options(synchronize_session=False))
        with pytest.raises(Refused):
            editing.remove(added)
