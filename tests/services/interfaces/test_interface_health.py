"""The Interfaces page with several webhooks: one row for each interface, with the worst health of its webhooks."""

from itertools import permutations
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from tests.support.factories import point_at, submit
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lane, User, Webhook, WebhookState
from webapp.services.interfaces import interface_list, interfaces
from webapp.services.interfaces.interface_list import WORST_FIRST, Health, InterfaceFilter
from webapp.services.leads import leads
from webapp.services.webhooks import editing, webhooks
from webapp.services.webhooks.editing import Plan

URL = "https://hooks.example.com/"


def add(interface: Interface, name: str, **more: Any) -> Webhook:
    with transaction():
        return editing.add(interface, Plan(url=URL + name, name=name, **more))


def become(webhook: Webhook, health: Health) -> None:
    with transaction():
        lane = update(Lane).where(Lane.webhook_id == webhook.id)
        paused = health == Health.PAUSED
        webhook.state = WebhookState.PAUSED if paused else WebhookState.ACTIVE
        webhook.url = None if health == Health.NO_WEBHOOK else webhook.url or URL
        db.session.execute(
            lane.values(
                failures=3 if health == Health.FAILING else 0,
                succeeded_at=None if health == Health.NOT_TESTED else now_sql(),
                tries_first=health == Health.RESTING,
                rests_until=now_sql() + 600 if health == Health.RESTING else None,
            )
        )
    db.session.expire_all()


@pytest.fixture
def several(interface: Interface) -> Interface:
    """An interface with a second webhook and a shadow."""
    point_at(interface, URL + "first")
    add(interface, "CRM")
    become(add(interface, "Shadow", is_shadow=True), Health.PAUSED)
    return interface


def row(interface: Interface, **asked: str) -> interface_list.Row:
    [found] = [each for each in rows(interface, **asked) if each.interface.id == interface.id]
    return found


def rows(interface: Interface, **asked: str) -> list[interface_list.Row]:
    page = interface_list.page(interface.account_id, InterfaceFilter(**asked))
    assert page.total == len(page.rows)
    return list(page.rows)


def test_an_interface_has_the_worst_health_of_its_webhooks(several: Interface, owner: User) -> None:
    with transaction():
        plain = interfaces.create(owner.account_id, "Plain")
    first, crm, _ = several.webhooks
    for one, other in permutations(Health, 2):
        become(first, one)
        if other != Health.NO_WEBHOOK:  # all but the first one have a URL
            become(crm, other)
            worst = min(one, other, key=WORST_FIRST.index)
            found = row(several)
            assert (found.health, found.more) == (worst, 1)
            assert found.webhook == (first if worst == one else crm)
            assert interface_list.health(several) == worst
            assert [each.interface.name for each in rows(several, health=worst.value)][-1] == "Contact sales"
            assert not [each for each in rows(several, health=one.value) if each.interface == several and one != worst]
    assert [each.interface for each in rows(several)] == [plain, several]


def test_each_webhook_has_a_health_of_its_own(several: Interface) -> None:
    first, crm, shadow = several.webhooks
    become(first, Health.FAILING)
    become(crm, Health.HEALTHY)
    found = interface_list.healths(several)
    assert found == {first.id: Health.FAILING, crm.id: Health.HEALTHY, shadow.id: Health.PAUSED}


def test_a_test_of_one_webhook_says_nothing_about_the_other(several: Interface, owner: User) -> None:
    first, crm, _ = several.webhooks
    with transaction():
        leads.send_test(several, owner.id, crm)
        db.session.execute(update(Delivery).values(state=DeliveryState.DELIVERED))
    found = interface_list.healths(several)
    assert (found[first.id], found[crm.id]) == (Health.NOT_TESTED, Health.HEALTHY)
    assert row(several).health == Health.NOT_TESTED


def test_held_leads_of_all_webhooks_are_summed_without_the_shadow(several: Interface) -> None:
    with transaction():
        for webhook in several.webhooks[:2]:
            webhooks.pause(webhook, "Paused by Alice.")
    submit(several)
    submit(several)
    assert db.session.query(Delivery).filter_by(state=DeliveryState.ON_HOLD).count() == 6
    assert row(several).held == 4


def test_a_webhook_that_was_removed_counts_no_more(several: Interface) -> None:
    crm = several.webhooks[1]
    become(several.webhooks[0], Health.HEALTHY)
    become(crm, Health.FAILING)
    with transaction():
        editing.remove(crm)
    db.session.expire_all()
    found = row(several)
    assert (found.health, found.more, found.held) == (Health.HEALTHY, 0, 0)
    assert interface_list.health(several) == Health.HEALTHY


@pytest.mark.parametrize("q", ["crm", "CRM", "hooks.example.com/CRM", "contact", "/first"])
def test_an_interface_is_found_once_by_any_of_its_webhooks(several: Interface, q: str) -> None:
    add(several, "CRM-2")
    assert [each.interface for each in rows(several, q=q)] == [several]


def test_the_row_says_how_many_more_there_are(signed_in: FlaskClient, several: Interface) -> None:
    add(several, "Slack")
    page = signed_in.get("/interfaces").text
    assert page.count('<th scope="row">') == 1
    assert "and 2 more webhooks" in page
