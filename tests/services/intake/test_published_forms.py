"""A form that is kept in the process says what the database says, without a session."""

import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import inspect, update
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import NotFound

from tests.support.factories import ADA, point_at
from webapp.db import bulk
from webapp.db.transactions import transaction
from webapp.db.write_turns import SideBySide
from webapp.extensions import db
from webapp.models import (
    Account,
    Authentication,
    Field,
    Interface,
    IpAddresses,
    Scheme,
    User,
    Webhook,
    WebhookState,
)
from webapp.services.intake import capture, published_forms
from webapp.services.intake.capture import Submission, new_lead
from webapp.services.interfaces import interfaces

AT = datetime(2026, 3, 31, 23, 59, 59, 999999, UTC)
# Values of every kind, none of which is a column's default.
UNUSUAL: dict[str, Any] = {
    "name": "Zoë’s “form” 🧑‍🚀",
    "redirect_url": "https://shop.example/thanks?a=1",
    "texts": {"send": "Senden"},
    "scheme": Scheme.DARK,
    "allowed_sites": ["https://shop.example"],
    "blocklist": None,
    "ip_addresses": IpAddresses.CUT,
    "retention_days": 30,
    "anonymises": True,
    "closed_at": AT,
    "webhooks_version": 7,
}
OF_WEBHOOK: dict[str, Any] = {
    "name": "CRM",
    "authentication": Authentication.BASIC,
    "connection": {"condition": {"all": []}, "user": "é"},
    "secrets_encrypted": b"\x00\xff secret",
    "certificate_until": AT,
    "maintenance_from": 0.1,
    "automatic_retries": False,
    "state": WebhookState.PAUSED,
    "examination": {"verified": True},
}
OF_FIELD: dict[str, Any] = {
    "position": 99,
    "options": ["a", "é"],
    "file_types": [".dwg"],
    "half": True,
    "sent_as": "Name",
}


def values_of(found: Any, model: type[Any]) -> dict[str, Any]:
    """The values of all columns and properties, with their types, of a model's object or a plain one."""
    properties = [name for name, each in vars(model).items() if isinstance(each, property)]
    names = [name for name in (*inspect(model).column_attrs.keys(), *properties) if name != "webhook"]
    return {name: (type(getattr(found, name)), getattr(found, name)) for name in names}


def everything(interface: Interface) -> list[Any]:
    webhooks = [values_of(each, Webhook) for each in interface.webhooks]
    fields = [[values_of(each, Field) for each in some] for some in (interface.fields, interface.removed_fields)]
    return [values_of(interface, Interface), values_of(interface.account, Account), webhooks, *fields]


@pytest.fixture
def full(interface: Interface) -> Interface:
    """The interface with values of every kind, two webhooks beside a removed one, and a removed field."""
    point_at(interface, "https://crm.example/hook", **OF_WEBHOOK)
    both = {"account_id": interface.account_id, "interface_id": interface.id, "is_first": False}
    with transaction():
        db.session.add(Webhook(**both, url="https://shadow.example/hook", is_shadow=True))
        db.session.add(Webhook(**both, url="https://removed.example/hook", removed_at=AT))
        db.session.execute(update(Interface).values(UNUSUAL))
        db.session.execute(update(Field).where(Field.key == "phone").values(removed_at=AT))
        db.session.execute(update(Field).where(Field.key == "name").values(OF_FIELD))
    return interface


def test_it_has_everything_that_a_session_reads(full: Interface) -> None:
    form = published_forms.get(full.public_id)
    with transaction():
        stored = everything(db.session.get_one(Interface, full.id))
    assert everything(form.interface) == stored
    assert [each.url for each in form.interface.webhooks] == ["https://crm.example/hook", "https://shadow.example/hook"]
    assert form.interface.webhook is form.interface.webhooks[0]
    assert [each.key for each in form.fields] == ["email", "message", "name"]
    assert [each.key for each in form.interface.removed_fields] == ["phone"]


def test_it_is_plain_so_that_threads_may_share_it(full: Interface) -> None:
    interface = published_forms.get(full.public_id).interface
    parts = [interface, interface.account, *interface.webhooks, *interface.fields, *interface.removed_fields]
    assert not [part for part in parts if inspect(part, raiseerr=False) is not None]
    assert len(set(parts)) == len(parts), "each is equal to itself only"


def test_it_is_read_outside_of_the_transaction_that_is_open(interface: Interface) -> None:
    public_id, before = interface.public_id, published_forms.get(interface.public_id)
    with transaction():
        db.session.execute(update(Interface).values(name="Not committed", updated_at=AT))
        assert published_forms.get(public_id) is before
        published_forms._cache.clear()
        assert published_forms.get(public_id).interface.name == "Contact sales"


def test_an_interface_that_is_deleted_while_it_is_read_is_not_found(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_id = interface.public_id
    before_reading(monkeypatch, "_READ_INTERFACE", update(Interface).values(archived_at=AT))
    with pytest.raises(NotFound):
        published_forms.get(public_id)


def test_a_part_that_changes_while_it_is_read_makes_a_form_that_no_lead_is_accepted_by(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_id = interface.public_id
    changes = [
        update(Field).where(Field.key == "name").values(label="Your name"),
        update(Interface).values(updated_at=AT),
    ]
    before_reading(monkeypatch, "_READ_FIELDS", *changes)
    mixed = published_forms.get(public_id)
    assert "Your name" in [field.label for field in mixed.fields]
    with transaction():
        assert capture.capture([Submission(mixed, new_lead(mixed.interface, ADA, {}))]) == [None]
    current = published_forms.get(public_id)
    assert current is not mixed
    with transaction():
        [lead_id] = capture.capture([Submission(current, new_lead(current.interface, ADA, {}))])
    assert lead_id


# Side by side --------------------------------------------------------------------------------------------------------


def asked_together(app: Flask, public_ids: Sequence[str]) -> list[Any]:
    """What each of these requests gets, all side by side: its form, or its error."""
    found: dict[int, Any] = {}

    def ask(number: int, public_id: str) -> None:
        with app.app_context():
            try:
                found[number] = published_forms.get(public_id)
            except Exception as error:
                found[number] = error

    SideBySide().run([partial(ask, number, public_id) for number, public_id in enumerate(public_ids)])
    return [found[number] for number in range(len(public_ids))]


def stack_of(error: Exception) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_requests_side_by_side_ask_once_for_each_form(
    app: Flask, interface: Interface, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        second = interfaces.create(owner.account_id, "Second").public_id
    first, asked = interface.public_id, list[str]()
    db.session.rollback()

    class Counted:
        def one_or_none(self, public_id: str) -> Any:
            asked.append(public_id)
            return version.one_or_none(public_id=public_id)

    version = published_forms._VERSION
    monkeypatch.setattr(published_forms, "_VERSION", Counted())
    forms = asked_together(app, [first, "if_none", second, first, "if_none", "é", first])
    names = [each.interface.name if not isinstance(each, Exception) else type(each) for each in forms]
    assert names == ["Contact sales", NotFound, "Second", "Contact sales", NotFound, NotFound, "Contact sales"]
    assert asked == [first, "if_none", second]


def test_once_the_database_fails_it_is_not_asked_again_for_those_side_by_side(
    app: Flask, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, asked = interface.public_id, list[str]()
    db.session.rollback()

    class FailsLater:
        def one_or_none(self, public_id: str) -> Any:
            asked.append(public_id)
            if public_id == first:
                return version.one_or_none(public_id=public_id)
            raise OperationalError("SELECT", {}, Exception("away"))

    version = published_forms._VERSION
    monkeypatch.setattr(published_forms, "_VERSION", FailsLater())
    forms = asked_together(app, [first, "if_2", "if_3", first, "if_2"])
    assert [isinstance(each, OperationalError) for each in forms] == [False, True, True, False, True]
    assert asked == [first, "if_2"]
    errors = [each for each in forms if isinstance(each, Exception)]
    assert len({id(error) for error in errors}) == len(errors), "each has a stack of its own"
    assert ["one_or_none" in stack_of(error) for error in errors] == [True, False, False], "the first says where"


def before_reading(monkeypatch: pytest.MonkeyPatch, name: str, *changes: Any) -> None:
    """Another process changes rows just before this statement is sent for the first time."""
    statement, left = getattr(published_forms, name), list(changes)

    class Late:
        def rows(self, connection: bulk.Plain, given: bulk.Values) -> Any:
            with transaction():
                while left:
                    db.session.execute(left.pop(0))
            return statement.rows(connection, given)

    db.session.rollback()
    monkeypatch.setattr(published_forms, name, Late())
