"""Interfaces: create, change, list, delete."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.exceptions import NotFound

from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Authentication, Delivery, DeliveryState, Interface, Lead, User, WebhookState
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.interfaces import interface_list, interfaces
from webapp.services.interfaces.interface_list import Health, InterfaceFilter
from webapp.services.leads import leads
from webapp.services.people import users
from webapp.services.webhooks import webhooks

URL = "https://crm.example.com/leads"


def point(interface: Interface, url: str | None = URL, **more: Any) -> int:
    with transaction():
        return interfaces.update_lead_generation(
            interface, url=url, **{"authentication": Authentication.NONE, "shared_token": None, **more}
        )


def lead_of(interface: Interface, days_ago: int = 0, test: bool = False) -> Lead:
    received_at = utcnow() - timedelta(days=days_ago)
    lead = Lead(
        account_id=interface.account_id, interface=interface, received_at=received_at, test=test, fields={}, source={}
    )
    db.session.add(lead)
    db.session.flush()
    return lead


def delivery_of(interface: Interface, state: DeliveryState, **more: Any) -> Delivery:
    lead = lead_of(interface, test=more.get("test", False))
    webhook = interface.webhook
    delivery = Delivery(
        account_id=lead.account_id, lead=lead, webhook_id=webhook.id, payload=b"{}", state=state, **more
    )
    db.session.add(delivery)
    db.session.flush()
    return delivery


def test_a_new_interface_has_four_fields_a_webhook_and_its_lane(interface: Interface) -> None:
    assert [(field.key, field.required) for field in interface.fields] == [
        ("name", True),
        ("email", True),
        ("phone", False),
        ("message", True),
    ]
    assert interface.webhook.url is None
    assert interface.webhook.lane.lease_until == 0
    assert interface.public_id.startswith("if_")


@pytest.mark.parametrize("name", ["", "x" * 201, "a\x00b", "Subject\r\nBcc: x@example.com"])
def test_an_invalid_name_creates_no_interface(owner: User, name: str) -> None:
    with pytest.raises(Refused), transaction():
        interfaces.create(owner.account_id, name)
    assert db.session.query(Interface).count() == 0


def test_an_empty_thank_you_message_becomes_the_default(interface: Interface) -> None:
    with transaction():
        interfaces.update_general(interface, name="Sales", introduction="Hello\r\nthere", thank_you="  ")
    assert (interface.name, interface.introduction) == ("Sales", "Hello\nthere")
    assert interface.thank_you == "Thank you. We will be in touch soon."


def test_a_signature_needs_a_live_token_of_the_account(owner: User, interface: Interface) -> None:
    with transaction():
        mine, _ = api_keys.create_shared_token(owner.account_id, owner.id, "Mine")
        api_key, _ = api_keys.create_api_key(owner.account_id, owner.id, "Export", api_keys.KeyAccess.PRIVATE)
        revoked, _ = api_keys.create_shared_token(owner.account_id, owner.id, "Old")
        api_keys.revoke(revoked)
    with transaction():
        other = users.create_owner("bob@example.com", "correct horse battery", "Bob's Boats")
        theirs, _ = api_keys.create_shared_token(other.account_id, other.id, "Theirs")
    for wrong in (None, "", "key_unknown", api_key.public_id, revoked.public_id, theirs.public_id):
        with pytest.raises(Refused) as refusal:
            point(interface, authentication=Authentication.SHARED_TOKEN, shared_token=wrong)
        assert refusal.value.field == "shared_token"
        assert interface.webhook.url is None, "nothing is half-saved"
    point(interface, authentication=Authentication.SHARED_TOKEN, shared_token=mine.public_id)
    assert interface.webhook.shared_token is mine
    point(interface)
    assert interface.webhook.shared_token is None


@pytest.mark.parametrize("url", ["ftp://example.com", "javascript:alert(1)", "https://a b", "https://u:p@example.com/"])
def test_an_unusable_webhook_url_is_refused(interface: Interface, url: str) -> None:
    with pytest.raises(Refused) as refusal:
        point(interface, url)
    assert refusal.value.field == "webhook_url"
    assert interface.webhook.url is None


@pytest.mark.parametrize("number", [0, 17, -1])
def test_parallel_requests_have_bounds(interface: Interface, number: int) -> None:
    with pytest.raises(Refused, match="from 1 to 16"):
        point(interface, parallel_requests=number)


def test_held_leads_are_released_once_the_settings_are_fixed(interface: Interface) -> None:
    point(interface)
    with transaction():
        held = delivery_of(interface, DeliveryState.ON_HOLD, state_reason="Its Shared Token was revoked.")
    assert point(interface, "https://other.example.com/") == 1
    db.session.refresh(held)
    assert held.state == DeliveryState.PENDING
    assert held.due_at


def test_saving_a_paused_webhook_sends_nothing(interface: Interface) -> None:
    point(interface)
    with transaction():
        webhooks.pause(interface.webhook, "Paused by Alice.")
        held = delivery_of(interface, DeliveryState.ON_HOLD)
    assert point(interface, "https://other.example.com/") == 0
    db.session.refresh(held)
    assert held.state == DeliveryState.ON_HOLD


def test_deleting_cancels_waiting_deliveries_and_keeps_finished_ones(interface: Interface) -> None:
    point(interface)
    with transaction():
        states = {state: delivery_of(interface, state) for state in DeliveryState}
        again = delivery_of(interface, DeliveryState.PENDING, tries=3, due_at=1.0)
        clicked = delivery_of(interface, DeliveryState.DELIVERED, retry_at=1.0)
    assert interfaces.waiting(interface) == 3
    with transaction():
        assert interfaces.archive(interface) == 3
    db.session.expire_all()
    after = {before: delivery.state for before, delivery in states.items()}
    assert after == {
        DeliveryState.PENDING: DeliveryState.CANCELLED,
        DeliveryState.ON_HOLD: DeliveryState.CANCELLED,
        DeliveryState.CANCELLED: DeliveryState.CANCELLED,
        DeliveryState.DELIVERED: DeliveryState.DELIVERED,
        DeliveryState.FAILED: DeliveryState.FAILED,
    }
    assert again.state == DeliveryState.CANCELLED
    assert (clicked.state, clicked.retry_at) == (DeliveryState.DELIVERED, None)
    assert interface.webhook.state == WebhookState.ARCHIVED
    assert db.session.query(Lead).count() == 7, "leads stay"
    with pytest.raises(NotFound):
        interfaces.get(interface.account_id, interface.public_id)
    with transaction():
        assert interfaces.archive(interface) == 0, "a second click does nothing"


def test_an_interface_of_another_account_is_not_found(interface: Interface) -> None:
    assert interfaces.get(interface.account_id, interface.public_id) is interface
    for account_id, public_id in ((interface.account_id + 1, interface.public_id), (interface.account_id, "if_none")):
        with pytest.raises(NotFound):
            interfaces.get(account_id, public_id)


def test_health_is_read_from_the_lane_and_the_webhook(interface: Interface) -> None:
    lane, seen = interface.webhook.lane, [interface_list.health(interface)]
    point(interface)
    seen.append(interface_list.health(interface))
    with transaction():
        lane.failures, lane.failing_since = 2, 1.0
    seen.append(interface_list.health(interface))
    with transaction():
        lane.failures, lane.failing_since, lane.succeeded_at = 0, None, 2.0
    seen.append(interface_list.health(interface))
    with transaction():
        webhooks.pause(interface.webhook, "Paused by Alice.")
    seen.append(interface_list.health(interface))
    assert seen == [Health.NO_WEBHOOK, Health.NOT_TESTED, Health.FAILING, Health.HEALTHY, Health.PAUSED]


def test_a_delivered_test_makes_a_webhook_healthy(interface: Interface) -> None:
    point(interface)
    with transaction():
        delivery = delivery_of(interface, DeliveryState.FAILED, test=True)
    assert interface_list.health(interface) == Health.NOT_TESTED
    with transaction():
        delivery.state = DeliveryState.DELIVERED
    assert interface_list.health(interface) == Health.HEALTHY


def test_the_list_counts_seven_days_without_tests(interface: Interface) -> None:
    with transaction():
        for days in (0, 0, 1, 6, 7, 30):
            lead_of(interface, days)
        lead_of(interface, test=True)
    (row,) = interface_list.page(interface.account_id).rows
    assert list(row.days) == [1, 0, 0, 0, 0, 1, 2]
    assert row.leads == 4
    assert row.last_lead_at is not None
    assert interfaces.lead_count(interface) == 6
    assert interfaces.lead_count(interface, limit=3) == 4, "counting ends one above the limit"


def test_a_page_takes_the_same_number_of_queries_for_any_number_of_rows(owner: User) -> None:
    def queries() -> int:
        statements: list[str] = []

        def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            statements.append(statement)

        db.session.rollback()
        event.listen(db.engine, "before_cursor_execute", count)
        page = interface_list.page(owner.account_id)
        assert [(row.interface.name, row.webhook.url, row.lane.failures, row.leads) for row in page.rows]
        event.remove(db.engine, "before_cursor_execute", count)
        return len([statement for statement in statements if statement.lstrip().upper().startswith("SELECT")])

    account_id = owner.account_id
    with transaction():
        interfaces.create(account_id, "First")
    few = queries()
    with transaction():
        for number in range(20):
            lead_of(interfaces.create(account_id, f"Interface {number}"))
    assert queries() == few


def test_pages_go_back_and_forth_by_keyset(owner: User) -> None:
    with transaction():
        for number in range(7):
            interfaces.create(owner.account_id, f"Interface {number}")

    def names(page: interface_list.Page) -> list[str]:
        return [row.interface.name[-1] for row in page.rows]

    first = interface_list.page(owner.account_id, size=3)
    second = interface_list.page(owner.account_id, InterfaceFilter(after=first.next or ""), size=3)
    third = interface_list.page(owner.account_id, InterfaceFilter(after=second.next or ""), size=3)
    back = interface_list.page(owner.account_id, InterfaceFilter(before=third.prev or ""), size=3)
    start = interface_list.page(owner.account_id, InterfaceFilter(before=second.prev or ""), size=3)
    assert [names(page) for page in (first, second, third, back, start)] == [
        ["6", "5", "4"],
        ["3", "2", "1"],
        ["0"],
        ["3", "2", "1"],
        ["6", "5", "4"],
    ]
    assert (first.prev, third.next, start.prev) == (None, None, None)
    assert first.total == 7


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (InterfaceFilter(q="SALES"), ["Contact sales"]),
        (InterfaceFilter(q="crm.example"), ["Contact sales"]),
        (InterfaceFilter(q="100%"), ["100% free"]),
        (InterfaceFilter(q="_"), []),
        (InterfaceFilter(q="\x00sales"), ["Contact sales"]),
        (InterfaceFilter(health="No webhook"), ["100% free"]),
        (InterfaceFilter(health="Not tested"), ["Contact sales"]),
        (InterfaceFilter(health="nonsense"), ["100% free", "Contact sales"]),
        (InterfaceFilter(after="if_unknown"), ["100% free", "Contact sales"]),
        (InterfaceFilter(before="\x00"), ["100% free", "Contact sales"]),
    ],
)
def test_the_list_is_searched_by_name_address_and_health(
    interface: Interface, asked: InterfaceFilter, found: list[str]
) -> None:
    point(interface)
    with transaction():
        interfaces.create(interface.account_id, "100% free")
    assert [row.interface.name for row in interface_list.page(interface.account_id, asked).rows] == found


def test_a_cursor_of_another_account_reveals_nothing(interface: Interface) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", "correct horse battery", "Bob's Boats")
        interfaces.create(other.account_id, "Boats")
    (row,) = interface_list.page(other.account_id, InterfaceFilter(after=interface.public_id)).rows
    assert row.interface.name == "Boats"


def test_only_a_test_of_this_interface_is_found_by_its_message_id(owner: User, interface: Interface) -> None:
    point(interface)
    with transaction():
        test = leads.send_test(interface, owner.id)
        real = delivery_of(interface, DeliveryState.PENDING)
        other = interfaces.create(owner.account_id, "Other")
    assert interfaces.test_delivery(interface, test.message_id) is test
    for place, message_id in ((other, test.message_id), (interface, real.message_id), (interface, "msg_none")):
        with pytest.raises(NotFound):
            interfaces.test_delivery(place, message_id)
