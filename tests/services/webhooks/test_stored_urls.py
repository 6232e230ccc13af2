"""A webhook's URL is stored as it is sent; one from before, stored as it was typed, is not taken for another one."""

import pytest

from tests.support.factories import point_at
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Authentication, Interface, Webhook
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.webhooks import editing
from webapp.services.webhooks.editing import Plan

TYPED, SENT = "HTTPS://Bücher.example:443/%7Euser/%2f?#part", "https://xn--bcher-kva.example/~user/%2F"


def save(interface: Interface, url: str) -> None:
    with transaction():
        live = db.session.get_one(Interface, interface.id)
        interfaces.update_lead_generation(live, url=url, authentication=Authentication.NONE, shared_token=None)


def stored(interface: Interface) -> tuple[str | None, float | None, float | None]:
    """The URL, and what is known of the receiver behind it."""
    with read_only():
        webhook = db.session.get_one(Interface, interface.id).webhook
        return webhook.url, webhook.lane.unended_since, webhook.lane.failing_since


def test_the_url_is_stored_as_it_is_sent(interface: Interface) -> None:
    save(interface, TYPED)
    assert stored(interface)[0] == SENT
    with transaction():
        added = editing.add(db.session.get_one(Interface, interface.id), Plan(TYPED))
        assert added.url == SENT


@pytest.mark.parametrize("url", [TYPED, SENT])
def test_a_url_from_before_that_is_saved_unchanged_is_the_same_receiver(interface: Interface, url: str) -> None:
    point_at(interface, TYPED)
    with transaction():
        lane = db.session.get_one(Interface, interface.id).webhook.lane
        lane.unended_since, lane.failing_since = 1.0, 2.0
    save(interface, url)
    assert stored(interface) == (SENT, 1.0, 2.0)
    save(interface, f"{SENT}/other")
    assert stored(interface) == (f"{SENT}/other", None, None)


def test_a_url_from_before_that_cannot_be_used_any_more_can_be_replaced(interface: Interface) -> None:
    point_at(interface, "ftp://example.com/")
    save(interface, SENT)
    assert stored(interface)[0] == SENT


def test_a_url_that_is_too_long_as_it_is_sent_is_refused(interface: Interface) -> None:
    save(interface, SENT)
    with pytest.raises(Refused) as refused:
        save(interface, "https://example.com/" + "ü" * 400)
    assert "2048" in str(refused.value)
    assert refused.value.field == "webhook_url"
    with read_only():
        assert [webhook.url for webhook in db.session.query(Webhook).all()] == [SENT]
