"""Every route of the URL map with every method, for people who may not use it. A new route is walked by itself.

test_sealed_accounts.py sends valid forms with the ids of another account; test_roles.py asks for things that do not
exist. Here the ids are real and belong to the account, so that a hole would open.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect, Rule
from werkzeug.test import TestResponse

from tests.blueprints.test_roles import ALLOWED, OPERATORS
from tests.blueprints.test_sealed_accounts import QUERIES, WAYS, address, rows_of_others
from tests.conftest import PASSWORD, AppMaker
from tests.support.accounts import everything_of, ids_of_everything, make_everything
from tests.support.people import as_user, join
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Lead, Role, User
from webapp.services.leads import leads
from webapp.services.people import users
from webapp.web import roles
from webapp.web.security import public

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Public routes that show or take something of an account by the id of its form: that is what a form is for. And pages
# with samples, whose made-up account has the same name.
OPEN = {"lead_form.show", "lead_form.submit", "lead_form.thank_you", "docs.error_reports", "docs.error_report"}
# Who opens one of these needs a link with a secret. The walk guesses.
LINKS = {"files.download", "invitations.accept", "passwords.reset", "lead_form.logo"}


MAKES = {"ids": make_everything}


@pytest.fixture
def ids(owner: User) -> dict[str, str]:
    """One of everything in the owner's account, who is not the operator here."""
    found = ids_of_everything()
    with transaction():
        owner.is_operator = False
    return found


def calls(app: Flask, ids: dict[str, str]) -> Iterable[tuple[Rule, str, str, str | None]]:
    """Every rule's address with every method, and the endpoint that takes the request; None if no route does.

    The newest rules come first. An address that two rules have, one for GET and one for POST, is asked once.
    """
    adapter = app.url_map.bind("localhost")
    found: dict[tuple[str, str], tuple[Rule, str, str, str | None]] = {}
    for rule in reversed([*app.url_map.iter_rules()]):
        path = address(rule, ids)
        for method in METHODS:
            try:
                endpoint = adapter.match(path, method)[0]
            except RequestRedirect:
                continue  # to the same address with a slash, which is a rule of its own
            except HTTPException:
                endpoint = None
            if (method, path) not in found or endpoint == rule.endpoint:
                found[method, path] = rule, method, path, endpoint
    return found.values()


def is_public(app: Flask, endpoint: str) -> bool:
    return endpoint == "static" or getattr(app.view_functions[endpoint], "is_public", False)


def takes_key(app: Flask, endpoint: str) -> bool:
    """Whether only an API Key opens it: tests/blueprints/api/test_keys.py walks these with keys of all kinds."""
    return getattr(app.view_functions[endpoint], "takes_key", False)


def rows() -> dict[str, list[Any]]:
    """The whole database, by table."""
    db.session.rollback()
    tables = db.metadata.sorted_tables
    found = {t.name: [tuple(row) for row in db.session.execute(select(t).order_by(*t.primary_key))] for t in tables}
    db.session.rollback()
    return found


def says_nothing(answer: TestResponse, what: str) -> None:
    """Neither the text nor a header has a name of the account's things."""
    for text in (answer.text, *answer.headers.values()):
        assert "rightwater" not in text, what


def ask(client: FlaskClient, method: str, path: str, headers: dict[str, str]) -> TestResponse:
    return client.open(path, method=method, headers=headers, buffered=True)


@pytest.mark.parametrize("headers", WAYS, ids=["a page", "htmx"])
def test_who_is_not_signed_in_reaches_nothing_of_an_account(
    app: Flask, ids: dict[str, str], headers: dict[str, str]
) -> None:
    before, walked = rows(), set()
    client = app.test_client()
    for rule, method, path, endpoint in calls(app, ids):
        answer = ask(client, method, path, headers)
        what = f"{method} {rule}: {answer.status_code}"
        walked.update((rule.endpoint, endpoint or rule.endpoint))
        if endpoint is None:
            assert answer.status_code in (404, 405), what
        elif is_public(app, endpoint):
            assert answer.status_code < 500, what
            assert method == "OPTIONS" or endpoint not in LINKS or answer.status_code == 404, what
        elif takes_key(app, endpoint):
            assert answer.status_code == (200 if method == "OPTIONS" else 401), what
        else:
            assert answer.status_code in (303, 401), what
            assert (answer.location or answer.headers["HX-Redirect"]).startswith("/login"), what
        if endpoint not in OPEN:
            says_nothing(answer, what)
    assert walked == set(app.view_functions)
    assert rows() == before


@pytest.mark.parametrize("headers", WAYS, ids=["a page", "htmx"])
def test_a_stranger_who_is_signed_in_reaches_nothing_of_an_account(
    app: Flask, ids: dict[str, str], headers: dict[str, str]
) -> None:
    with transaction():
        stranger = users.create_owner("charlie@example.org", PASSWORD, "Charlie's Cars")
        stranger.is_operator = False
    account_id = stranger.account_id
    before = rows_of_others(account_id)
    client = as_user(app, stranger)
    for rule, method, path, endpoint in calls(app, ids):
        answer = ask(client, method, path, headers)
        client = as_user(app, stranger) if method == "POST" else client  # some of the routes sign out
        what = f"{method} {rule}: {answer.status_code}"
        if endpoint is None:
            assert answer.status_code in (404, 405), what
        elif takes_key(app, endpoint):
            assert answer.status_code == (200 if method == "OPTIONS" else 401), what
        elif not is_public(app, endpoint) and (rule.arguments or endpoint.startswith(OPERATORS)):
            moves_on = endpoint == "leads.row" and not headers  # to the lead's own page, which is walked as well
            # Flask itself answers OPTIONS, with the methods of the route and nothing else.
            fine = {"OPTIONS": (200, 404)}.get(method, (303,) if moves_on else (403, 404))
            assert answer.status_code in fine, what
        if endpoint not in OPEN:
            says_nothing(answer, what)
    after = rows_of_others(account_id)
    for name, found in before.items():  # some rows of Charlie's own have no account's id
        assert [row for row in found if row not in after[name]] == [], name


@pytest.mark.parametrize("role", ["owner", "admin", "editor", "leads-only"])
def test_a_role_gets_its_own_routes_and_changes_nothing_by_others(
    app: Flask, owner: User, ids: dict[str, str], role: str
) -> None:
    user = owner if role == "owner" else join(owner, Role(role))
    before, client, opened = rows(), as_user(app, user), []
    for rule, method, path, endpoint in calls(app, ids):
        if endpoint is None or is_public(app, endpoint) or takes_key(app, endpoint):
            continue
        what = f"{role}: {method} {rule}"
        if endpoint in ALLOWED[role]:
            if method == "GET" and endpoint == rule.endpoint:
                opened.append((what, path, endpoint))
            continue
        for headers in WAYS:
            answer = ask(client, method, path, headers)
            assert answer.status_code == (404 if endpoint.startswith(OPERATORS) else 403), what
    assert rows() == before
    for what, path, endpoint in opened:
        answer = client.get(path, query_string=QUERIES.get(endpoint), buffered=True)
        assert answer.status_code in (200, 303), f"{what}: {answer.status_code}"
    assert {endpoint for _, _, endpoint in opened} <= ALLOWED[role]


@pytest.mark.once
@pytest.mark.parametrize(
    "change",
    [
        lambda app, view: app.add_url_rule("/open/<public_id>", "lead_form.show_lead", public(view)),
        lambda app, view: app.add_url_rule("/new/<int:report_id>", "leads.report", public(view)),
        lambda app, view: app.add_url_rule("/download/<token>", "docs.download", public(view)),
    ],
)
def test_a_new_route_that_shows_an_account_or_has_an_unknown_part_fails_the_walk(
    make_app: AppMaker, change: Any
) -> None:
    def view(**parts: object) -> str:
        return "Brightwater form"

    app = make_app()
    change(app, view)
    with app.app_context():
        with transaction():
            owner = users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        ids = everything_of(owner)
        with pytest.raises(AssertionError, match=r"say in PARAMETERS what these are|GET /open"):
            test_who_is_not_signed_in_reaches_nothing_of_an_account(app, ids, {})


@pytest.mark.once
def test_a_loader_that_forgets_the_account_fails_the_walk(
    app: Flask, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def any_lead(account_id: int, public_id: str) -> Lead:
        return db.session.scalars(select(Lead).where(Lead.public_id == public_id)).one()

    monkeypatch.setattr(leads, "get", any_lead)
    with pytest.raises(AssertionError, match="/leads/<public_id>"):
        test_a_stranger_who_is_signed_in_reaches_nothing_of_an_account(app, ids, {})


@pytest.mark.once
@pytest.mark.parametrize(
    ("row", "role"), [("users.index", "editor"), ("interfaces.pause", "leads-only"), ("rq_dashboard", "owner")]
)
def test_a_role_that_may_more_than_it_should_fails_the_walk(
    app: Flask, owner: User, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch, row: str, role: str
) -> None:
    monkeypatch.setitem(roles.TABLE, row, roles.EVERYONE)
    with pytest.raises(AssertionError, match=role):
        test_a_role_gets_its_own_routes_and_changes_nothing_by_others(app, owner, ids, role)
