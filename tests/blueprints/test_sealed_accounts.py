"""Accounts are separate: the owner of one account requests every route with the ids of another account."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.conftest import PASSWORD, AppMaker
from tests.support.accounts import ids_of_everything, make_everything
from tests.support.people import as_user
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, Interface, Invitation, Role, User
from webapp.services.interfaces import interfaces
from webapp.services.people import invitations, users

# The variable parts of addresses, by blueprint. If you add a route with another part, add here the id to try, and to
# tests/support/accounts.py a thing that has it.
PARAMETERS = {
    "interfaces": {"public_id": "interface", "message_id": "test"},
    "webhooks": {"public_id": "interface", "webhook_id": "webhook"},
    "webhook_desk": {"webhook_id": "webhook"},
    "public_keys": {"webhook_id": "webhook"},
    "lead_form": {"public_id": "interface"},
    "fields": {"public_id": "interface", "field_id": "field"},
    "embedding": {"public_id": "interface"},
    "interface_mails": {"public_id": "interface", "kind": "kind of mail"},
    "privacy": {"public_id": "interface"},
    "leads": {"public_id": "lead"},
    "api_keys": {"public_id": "key"},
    "users": {"user_id": "user"},
    "invitations": {"invitation_id": "invitation"},
    "mailbox": {"mail_id": "mail"},
    "files": {"lead_id": "lead", "file_id": "file"},
    "api": {
        "lead_id": "lead",
        "interface_id": "interface",
        "field_key": "field key",
        "webhook_id": "webhook",
        "hook_id": "hook",
        "token_id": "key",
        "delivery_id": "test",
    },
}
# The parts of addresses that belong to no account: what is public, links with a secret, the dashboard of jobs.
OF_NO_ACCOUNT = {
    "static": {"filename": "app.css"},
    "docs": {"name": "failed"},
    "loader": {"version": "1"},
    "lead_form": {"name": "2f54d0-soft-0"},
    "passwords": {"token": "guessed"},
    "invitations": {"token": "guessed"},
    "files": {"token": "guessed"},
    "public_keys": {"webhook_id": "wh_guessed"},
    "rq_dashboard": {
        "instance_number": "0",
        "queue_name": "fast",
        "registry_name": "queued",
        "job_id": "a-job",
        "order": "asc",
        "page": "1",
        "per_page": "8",
        "filename": "main.css",
    },
}
# Forms and queries send ids under these names.
SENT = {
    "lead": "lead",
    "interface": "interface",
    "shared_token": "key",
    "user_id": "user",
    "person": "user",
    "before": "lead",
    "after": "lead",
}
OPERATORS = ("queue.", "rq_dashboard.")  # 404 for everyone but the operator: tests/blueprints/test_roles.py
# Valid queries and forms: without them, a route would refuse the request before it reads any id.
QUERIES = {"fields.new": {"type": "text"}, "fields.preview": {"type": "text"}}
WEBHOOK = {"webhook_url": "https://example.com/", "method": "POST", "authentication": "shared"}
WEBHOOK |= {"format": "json", "parallel_requests": "1"}
FORMS = {
    "leads.retry_ticked": {"confirmed": "1"},
    "interfaces.lead_generation": {
        "webhook_url": "https://example.com/",
        "authentication": "shared",
        "parallel_requests": "1",
    },
    "webhooks.show": WEBHOOK,
    "webhooks.try_on_leads": WEBHOOK,
    "webhooks.new": {"name": "CRM", "webhook_url": "https://example.com/"},
    "users.change_role": {"role": "admin"},
    "api_keys.rotate": {"overlap": "0", "force": "y"},
}
HTMX = {"HX-Request": "true", "HX-Target": "tr#row"}
WAYS: tuple[dict[str, str], ...] = ({}, HTMX)  # with htmx, some routes read other ids


@pytest.fixture
def app(make_app: AppMaker) -> Iterator[Flask]:
    """An app with CSRF tokens, as in a browser: a refusal because of a missing token would prove nothing."""
    app = make_app(csrf=True)
    with app.app_context():
        yield app


MAKES = {"alice": make_everything}


@pytest.fixture
def alice(app: Flask, owner: User) -> dict[str, str]:
    """The ids of everything in an account."""
    return ids_of_everything()


@pytest.fixture
def charlie(app: Flask, owner: User) -> User:
    """The owner of another account, who is not the operator."""
    with transaction():
        charlie = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
        interfaces.create(charlie.account_id, "Charlie's form")
    return charlie


def guarded(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        public = rule.endpoint == "static" or getattr(view, "is_public", False)
        # An API Key opens the routes of the API: tests/blueprints/api/test_keys.py
        if not (public or getattr(view, "takes_key", False)) and not rule.endpoint.startswith(OPERATORS):
            yield from ((rule, method) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))


def address(rule: Rule, ids: dict[str, str]) -> str:
    """The rule's address with these ids; fails for a variable part that PARAMETERS does not have."""
    blueprint = rule.endpoint.partition(".")[0]
    plain, known = OF_NO_ACCOUNT.get(blueprint, {}), PARAMETERS.get(blueprint, {})
    unknown = rule.arguments - set(known) - set(plain)
    assert not unknown, f"{rule.endpoint} has {unknown}: say in PARAMETERS what these are, and give everything_of one"
    return re.sub(r"<(?:[^:<>]*:)?(\w+)>", lambda found: plain.get(found[1]) or ids[known[found[1]]], str(rule))


def csrf_token(client: FlaskClient) -> str:
    [token] = re.findall(r'"X-CSRFToken": "([^"]+)"', client.get("/profile").text)
    return str(token)


def rows_of_others(account_id: int) -> dict[str, list[Any]]:
    """Every row of the database by table, except rows of this account and its users."""
    db.session.rollback()
    mine = {"account_id": account_id}
    kept: dict[str, list[Any]] = {}
    for table in db.metadata.sorted_tables:
        rows = [row._asdict() for row in db.session.execute(select(table).order_by(*table.primary_key))]
        kept[table.name] = [row for row in rows if row.get("account_id") != mine["account_id"]]
    db.session.rollback()
    return kept


@pytest.mark.parametrize("headers", WAYS, ids=["a page", "htmx"])
def test_no_route_lets_a_user_reach_another_account(
    app: Flask, alice: dict[str, str], charlie: User, headers: dict[str, str]
) -> None:
    charlie_id = charlie.account_id
    before, walked = rows_of_others(charlie_id), 0
    for rule, method in guarded(app):
        client = as_user(app, db.session.get_one(User, charlie.id))  # some of the routes sign out
        for answer in answers(client, rule, method, address(rule, alice), alice, headers):
            what = f"{method} {rule}: {answer.status_code}"
            assert answer.status_code != 400, f"{what} {answer.text}"
            if rule.arguments and not leads_to_the_lead(rule, headers):
                assert answer.status_code == 404, what
            elif rule.arguments:
                assert answer.location == f"/leads/{alice['lead']}", what
            assert "rightwater" not in answer.text, what
        walked += 1
    assert walked > 40
    after = rows_of_others(charlie_id)
    # Charlie creates some lanes, fields and other rows of his own; the earlier rows must be unchanged.
    for table, rows in before.items():
        assert [row for row in rows if row not in after[table]] == [], table


def answers(
    client: FlaskClient, rule: Rule, method: str, path: str, ids: dict[str, str], headers: dict[str, str]
) -> list[TestResponse]:
    """The answers with the ids only in the address, and with the ids also in the query, or, for a POST, in the form."""
    sent, query = {name: ids[what] for name, what in SENT.items()}, QUERIES.get(rule.endpoint, {})
    if method == "POST":
        form = {**sent, **FORMS.get(rule.endpoint, {}), "csrf_token": csrf_token(client)}
        return [client.post(path, query_string=query, data=form, headers=headers)]
    queries = (query, {**sent, **query})
    return [client.get(path, query_string=each, headers=headers, buffered=True) for each in queries]


def leads_to_the_lead(rule: Rule, headers: dict[str, str]) -> bool:
    """Only htmx gets a row. Other requests are redirected to the lead's page, which checks the account."""
    return rule.endpoint == "leads.row" and headers != HTMX


@pytest.mark.parametrize("headers", WAYS, ids=["a page", "htmx"])
def test_no_route_reaches_another_account_by_an_id_below_an_own_interface(
    app: Flask, alice: dict[str, str], charlie: User, headers: dict[str, str]
) -> None:
    own = db.session.scalars(select(Interface).where(Interface.account_id == charlie.account_id)).one().public_id
    before, walked, client = rows_of_others(charlie.account_id), 0, as_user(app, charlie)
    mixed = {**alice, "interface": own}
    for rule, method in guarded(app):
        if rule.arguments > {"public_id"} and "kind" not in rule.arguments:
            path = address(rule, mixed)
            for answer in answers(client, rule, method, path, mixed, headers):
                assert answer.status_code == 404, f"{method} {rule}: {answer.status_code}"
            walked += 1
    assert walked >= 5
    assert rows_of_others(charlie.account_id) == before


@pytest.mark.parametrize("headers", WAYS, ids=["a page", "htmx"])
def test_no_route_reaches_another_account_by_an_id_in_the_body(
    app: Flask, alice: dict[str, str], charlie: User, headers: dict[str, str]
) -> None:
    [own] = db.session.scalars(select(Interface).where(Interface.account_id == charlie.account_id))
    own_id, client = own.public_id, as_user(app, charlie)
    form = {**FORMS["interfaces.lead_generation"], "shared_token": alice["key"], "csrf_token": csrf_token(client)}
    path = f"/interfaces/{own_id}/edit/lead-generation"
    assert client.post(path, data=form, headers=headers).status_code == 422
    assert db.session.scalars(select(Interface).where(Interface.public_id == own_id)).one().webhook.shared_token is None
    ticked = {"lead": alice["lead"], "csrf_token": csrf_token(client)}
    for more in ({}, {"confirmed": "1"}):
        assert client.post("/leads/retry", data={**ticked, **more}, headers=headers).status_code == 404
    clicked = select(Delivery).where(Delivery.retry_at.is_not(None), ~Delivery.test)
    assert db.session.scalars(clicked).all() == []


@pytest.mark.once
def test_the_walk_would_find_a_hole(app: Flask, alice: dict[str, str], charlie: User) -> None:
    """The owner opens the same addresses, so a 404 above is because of the account and not a mistake in the test."""
    owner = db.session.scalars(select(User).where(User.role == Role.OWNER).order_by(User.id)).first()
    assert owner
    client = as_user(app, owner)
    for headers in WAYS:
        for rule, method in guarded(app):
            if method == "GET" and rule.arguments:
                answer = client.get(address(rule, alice), query_string=QUERIES.get(rule.endpoint), headers=headers)
                expected = 303 if leads_to_the_lead(rule, headers) else 200
                assert answer.status_code == expected, f"{rule} with {headers}: {answer.status_code}"


@pytest.mark.once
def test_an_undescribed_parameter_fails_the_walk(app: Flask) -> None:
    """Also in tests/blueprints/test_every_route.py, which makes its addresses here."""
    rule = Rule("/leads/<public_id>/<secret>", endpoint="leads.secret")
    app.url_map.add(rule)
    with pytest.raises(AssertionError, match="say in PARAMETERS"):
        address(rule, {})


def test_an_invitation_belongs_to_its_account(app: Flask, alice: dict[str, str], charlie: User) -> None:
    assert db.session.query(Invitation).count() == 1
    assert invitations.pending(charlie.account_id) == []
