"""The roles. The table of roles is repeated here, so that a mistake in either table is found."""

import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tests.conftest import AppMaker
from tests.support.people import as_user, join
from webapp.db.transactions import transaction
from webapp.models import Interface, Role, User
from webapp.web import roles
from webapp.web.security import public

OWN = "profile.show profile.rename profile.change_password profile.sign_out_everywhere auth.sign_out interfaces.start"
LEADS = "index csv show row retry retry_ticked not_spam"
INTERFACES = (
    "index new general preview texts close reopen lead_generation test test_outcome pause resume try_now "
    "confirm_delete delete"
)
WEBHOOKS = (
    "new show try_on_leads test pause resume try_now rotate end_previous confirm_remove remove "
    "plan_maintenance end_maintenance find_way"
)
WEBHOOK_DESK = "examination examine confirm_switch_over switch_over"
FIELDS = "index new edit move confirm_remove remove bring_back add_undeclared preview"
KEYS = "index new rotate revoke_previous confirm_revoke revoke"
ALLOWED: dict[str, set[str]] = {
    "leads-only": {*OWN.split(), *(f"leads.{name}" for name in LEADS.split()), "files.of_lead"},
    "editor": {
        *(f"interfaces.{name}" for name in INTERFACES.split()),
        *(f"webhooks.{name}" for name in WEBHOOKS.split()),
        *(f"webhook_desk.{name}" for name in WEBHOOK_DESK.split()),
        *(f"fields.{name}" for name in FIELDS.split()),
        *("interface_mails.edit", "interface_mails.preview", "interface_mails.send_test", "privacy.edit"),
        "embedding.settings",
    },
    "admin": {f"api_keys.{name}" for name in KEYS.split()}
    | {"users.index", "users.change_role", "users.confirm_remove", "users.remove", "audit_log.index"}
    | {"events.edit", "events.test", "events.resume", "events.remove"}
    | {"invitations.new", "invitations.send_again", "invitations.withdraw"}
    | {"mailbox.index", "mailbox.show", "mailbox.html"},
    "owner": {"users.transfer"},
}
ALLOWED["editor"] |= ALLOWED["leads-only"]
ALLOWED["admin"] |= ALLOWED["editor"]
ALLOWED["owner"] |= ALLOWED["admin"]
OPERATORS = ("queue.", "rq_dashboard.")


def guarded(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every route behind sign-in, with each of its methods."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        is_open = rule.endpoint == "static" or getattr(view, "is_public", False)
        if not (is_open or getattr(view, "takes_key", False)):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method


def address(rule: Rule) -> str:
    """The rule's address with unknown ids: an allowed role gets 404, another is refused before the lookup."""
    path = re.sub(r"<int[^>]*>", "999999999", str(rule))
    return re.sub(r"<[^>]*>", "nothing", path)


@pytest.mark.parametrize("role", ["owner", "admin", "editor", "leads-only"])
def test_every_route_allows_exactly_its_roles(app: Flask, owner: User, role: str) -> None:
    with transaction():
        owner.is_operator = False
    user = owner if role == "owner" else join(owner, Role(role))
    walked = 0
    for rule, method in guarded(app):
        client = as_user(app, user)  # sign in each time, because one of the routes signs out
        answer = client.open(address(rule), method=method, buffered=True)
        what = f"{role}: {method} {rule}: {answer.status_code}"
        assert "/login?next" not in answer.headers.get("Location", ""), what
        if rule.endpoint.startswith(OPERATORS):
            assert answer.status_code == 404, what
        else:
            assert (answer.status_code != 403) == (rule.endpoint in ALLOWED[role]), what
            assert answer.status_code < 500, what
        walked += 1
    assert walked > 40


def test_the_operator_sees_the_installations_pages_in_any_role(app: Flask, owner: User) -> None:
    heir = join(owner, Role.ADMIN)
    with transaction():
        owner.role = Role.EDITOR
    assert {as_user(app, owner).get(path).status_code for path in ("/mailbox", "/rq/")} == {200}
    assert as_user(app, owner).get("/profile/users").status_code == 403
    assert as_user(app, heir).get("/rq/").status_code == 404


@pytest.mark.parametrize(
    ("role", "there", "not_there"),
    [
        (Role.LEADS_ONLY, ["Leads"], ["/interfaces", "/profile/api-keys", "/profile/users", "/mailbox", "audit-log"]),
        (Role.EDITOR, ["Leads", "/interfaces"], ["/profile/api-keys", "/profile/users", "/mailbox", "audit-log"]),
        (Role.ADMIN, ["/interfaces", "/profile/api-keys", "/profile/users", "/mailbox", "/profile/audit-log"], ["/rq"]),
    ],
)
def test_pages_link_only_to_what_the_role_may_open(
    app: Flask, owner: User, interface: Interface, role: Role, there: list[str], not_there: list[str]
) -> None:
    client = as_user(app, join(owner, role))
    pages = [client.get(path).text for path in ("/profile", "/leads", "/no-such-page")]
    for words in there:
        assert words in pages[0]
    for page in pages:
        for words in not_there:
            assert f'href="{words}' not in page


def test_only_the_owner_is_offered_to_transfer_the_account(app: Flask, owner: User) -> None:
    admin, editor = join(owner, Role.ADMIN), join(owner, Role.EDITOR)
    assert f"/profile/users/{editor.id}/transfer" in as_user(app, owner).get("/profile/users").text
    page = as_user(app, admin).get("/profile/users").text
    assert "transfer" not in page
    assert f"/profile/users/{editor.id}/role" in page
    assert f"/profile/users/{owner.id}/" not in page
    assert f"/profile/users/{admin.id}/" not in page


def view() -> str:
    return ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda app: app.add_url_rule("/new", "new", view), "new is not public and not in the table of roles"),
        (lambda app: app.view_functions.pop("leads.csv"), "leads.csv is in the table of roles but is not a route"),
        (
            lambda app: app.view_functions.update({"leads.csv": public(lambda: "")}),
            "leads.csv is public and also in the table of roles",
        ),
    ],
)
def test_a_route_that_is_not_in_the_table_stops_the_start(
    make_app: AppMaker, change: Callable[[Flask], object], words: str
) -> None:
    app = make_app()
    roles.check(app)
    change(app)
    with pytest.raises(roles.IncompleteTable, match=words):
        roles.check(app)


def test_the_application_checks_its_table_when_it_starts(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(roles.TABLE, "leads.csv")
    with pytest.raises(roles.IncompleteTable, match=r"leads\.csv"):
        make_app()


def test_a_missing_role_is_explained_in_words(app: Flask, owner: User) -> None:
    client: FlaskClient = as_user(app, join(owner, Role.LEADS_ONLY))
    answer = client.get("/interfaces")
    assert answer.status_code == 403
    assert "Your role does not allow this. Ask the owner of your account." in answer.text
