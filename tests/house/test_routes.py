"""Every route is owned by a test, and is behind sign-in or an API Key unless it is listed here."""

import re

import pytest
from flask import Flask
from werkzeug.routing import Rule

from tests.support.tree import python_files
from webapp.web.security import SAFE_METHODS

PUBLIC = {
    "api.openapi",  # programs that make clients
    "auth.sign_in",
    "docs.api",
    "docs.error_report",
    "docs.error_reports",
    "docs.webhooks",
    "files.download",  # the holder of a link
    "health.alive",
    "health.metrics",  # the operator's, or this machine's: it looks for itself
    "health.ready",
    "invitations.accept",  # the holder of a link
    "lead_form.logo",
    "lead_form.show",
    "lead_form.stylesheet",
    "lead_form.submit",
    "lead_form.thank_you",
    "loader.embed",
    "loader.embed_version",
    "loader.frame",
    "mcp.discovery",  # clients of MCP that look for OAuth
    "mcp.registration",
    "passwords.forgot",
    "passwords.reset",  # the holder of a link
    "public_keys.show",  # receivers
}
# What iframes hold, and the scripts around them: no cookie, no token.
CROSS_SITE = {name for name in PUBLIC if name.startswith(("lead_form.", "loader.", "api."))} | {"mcp.registration"}
FOREIGN = ("static", "rq_dashboard.")  # Flask's, and rq-dashboard's behind our own guard


def own_rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(FOREIGN)]


def marked(app: Flask, mark: str) -> set[str]:
    return {name for name, view in app.view_functions.items() if getattr(view, mark, False)}


def test_the_public_routes_are_those_listed(app: Flask) -> None:
    assert marked(app, "is_public") == PUBLIC
    assert marked(app, "is_cross_site") == CROSS_SITE


def test_everything_else_asks_a_stranger_to_sign_in(app: Flask) -> None:
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in PUBLIC or rule.endpoint == "static":
            continue
        path = filled(rule)
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            answer = client.open(path, method=method)
            if rule.endpoint in marked(app, "takes_key"):
                assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"
                continue
            assert answer.status_code == 303, f"{method} {path}: {answer.status_code}"
            assert answer.location.startswith("/login"), f"{method} {path}: {answer.location}"


def filled(rule: Rule) -> str:
    """An address of the rule: 1 for what must be a number, x for the rest."""
    path = re.sub(r"<int[^>]*>", "1", str(rule))
    return re.sub(r"<[^>]*>", "x", path)


def test_a_get_never_shares_its_endpoint_with_what_changes_something_else(app: Flask) -> None:
    """Forms post to the address they stand at; everything else that changes something has an address of its own."""
    for rule in own_rules(app):
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint in marked(app, "takes_key"):
            assert len(methods) == 1, rule
            continue
        assert methods <= {"GET", "POST"}, rule
        assert methods & SAFE_METHODS or methods == {"POST"}, rule


@pytest.fixture(scope="module")
def test_texts() -> str:
    return "\n".join(path.read_text() for path in python_files("tests") if path.parent.name != "house")


def test_every_route_is_owned_by_a_test(app: Flask, test_texts: str) -> None:
    """By its endpoint, by its address with anything for the variable parts, or by what comes after the last of them."""
    unowned = []
    for rule in own_rules(app):
        parts = re.split(r"<[^>]*>", str(rule).removeprefix("/api/v1"))  # tests of the API leave this out
        address = r"[^/\"'\s]+".join(re.escape(part) for part in parts)
        ways = [re.escape(f'"{rule.endpoint}"'), address + r"(?=[\"'?#\s])"]
        if len(parts) > 1 and parts[-1]:
            ways.append(r"[\"}]/?" + re.escape(parts[-1].strip("/")) + r"[\"?#]")
        if not re.search("|".join(ways), test_texts):
            unowned.append(f"{rule.endpoint} {rule}")
    assert unowned == []
