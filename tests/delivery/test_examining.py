"""*Examine my receiver*: the job, what it stores, and that it leaves no trace anywhere else."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from tests.support.examined import Examined
from tests.support.factories import point_at, sign
from tests.support.receiver import Receiver
from webapp import jobs
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Delivery, Interface, Lane, Lead, Webhook, WebhookState
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.leads import examining
from webapp.services.webhooks import connections, editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan


@pytest.fixture
def signed(interface: Interface) -> tuple[int, ApiKey, str]:
    point_at(interface, "http://127.0.0.1:9/")
    token, secret = sign(interface)
    return interface.webhook.id, token, secret


@pytest.fixture
def receivers(signed: tuple[int, ApiKey, str]) -> Iterator[Examined]:
    with Examined(signed[2]) as receivers:
        yield receivers


def examined(interface: Interface, url: str) -> Webhook:
    point_at(interface, url)
    with transaction():
        webhook_id = db.session.get_one(Interface, interface.id).webhook.id
        examining.begin(db.session.get_one(Webhook, webhook_id))
    db.session.rollback()
    jobs.examine(webhook_id)
    return db.session.get_one(Webhook, webhook_id, populate_existing=True)


def test_a_receiver_that_verifies_is_a_verified_receiver(interface: Interface, receivers: Examined) -> None:
    found = examined(interface, receivers.url("right")).examination
    assert found is not None
    assert found["verified"], found
    assert len(found["findings"]) == 8
    assert "since" not in found


def test_a_receiver_that_takes_everything_is_told_so(interface: Interface, receivers: Examined) -> None:
    found = examined(interface, receivers.url("verifies_nothing")).examination
    assert found is not None
    assert not found["verified"]
    assert found["headline"] == "Your endpoint answered 200 to a forged lead: it does not verify signatures."


def test_it_leaves_no_lead_no_delivery_and_no_failure(interface: Interface, receivers: Examined) -> None:
    webhook = examined(interface, receivers.url("verifies_nothing"))
    for model in (Lead, Delivery):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0
    lane = db.session.get_one(Lane, webhook.id)
    assert (lane.failures, lane.succeeded_at, webhook.state) == (0, None, WebhookState.ACTIVE)


def test_a_rotation_and_another_url_end_what_was_verified(
    interface: Interface, receivers: Examined, signed: tuple[int, ApiKey, str]
) -> None:
    webhook = examined(interface, receivers.url("right"))
    with transaction():
        api_keys.rotate(db.session.get_one(ApiKey, signed[1].id), api_keys.LONGEST_OVERLAP)
    assert db.session.get_one(Webhook, webhook.id, populate_existing=True).examination is None
    with transaction():
        webhook = db.session.get_one(Webhook, webhook.id)
        webhook.examination = {"verified": True, "headline": "", "findings": [], "at": ""}
        wanted = connections.as_it_is(webhook)
        editing.save(webhook, Plan("https://example.com/", shared_token=signed[1].public_id, wanted=wanted))
    assert webhook.examination is None


@pytest.mark.parametrize("authentication", [Authentication.V1A, Authentication.METALOCATOR])
def test_other_signatures_are_examined_too(
    interface: Interface, receivers: Examined, authentication: Authentication
) -> None:
    with transaction():
        wanted, _ = connections.with_new_secret(Wanted(authentication), None)
        webhook_id = editing.add(
            db.session.get_one(Interface, interface.id), Plan(receivers.url("verifies_nothing"), wanted=wanted)
        ).id
    with transaction():
        examining.begin(db.session.get_one(Webhook, webhook_id))
    jobs.examine(webhook_id)
    found = db.session.get_one(Webhook, webhook_id, populate_existing=True).examination
    assert found is not None
    assert "does not verify" in found["headline"]


def test_the_rate_of_the_webhook_is_kept(interface: Interface, receiver: Receiver) -> None:
    with transaction():
        wanted, _ = connections.with_new_secret(Wanted(Authentication.METALOCATOR), None)
        live = db.session.get_one(Interface, interface.id)
        webhook_id = editing.add(live, Plan(receiver.url, rate=20, wanted=wanted)).id
    with transaction():
        examining.begin(db.session.get_one(Webhook, webhook_id))
    jobs.examine(webhook_id)
    times = [request.at for request in receiver.requests]
    assert len(times) >= 7
    assert times[-1] - times[0] >= (len(times) - 1) / 20 - 0.05


@pytest.mark.parametrize("state", ["unsigned", "paused", "running"])
def test_it_is_refused_where_it_makes_no_sense(
    interface: Interface, signed: tuple[int, ApiKey, str], state: str
) -> None:
    with transaction():
        webhook = db.session.get_one(Webhook, signed[0])
        if state == "unsigned":
            webhook.authentication = Authentication.NONE
        elif state == "paused":
            webhook.state = WebhookState.PAUSED
        else:
            examining.begin(webhook)
        with pytest.raises(Refused):
            examining.begin(webhook)


def test_a_webhook_that_was_removed_meanwhile_is_not_examined(interface: Interface, receivers: Examined) -> None:
    jobs.examine(12345)
