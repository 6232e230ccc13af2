"""Other sites cannot make a user's browser change anything. The tests go through every address that takes a POST."""

import re
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PASSWORD, AppMaker
from tests.support.factories import submit
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.services import api_keys
from webapp.web.security import local_path

pytestmark = pytest.mark.once

# The addresses that take a POST without a token, and why forgery is not possible there.
WITHOUT_TOKEN = {
    "lead_form.submit": "it knows no cookie",
    "api.": "it knows no cookie",
    "mcp.": "it knows no cookie",
    "rq_dashboard.": "it asks for Sec-Fetch-Site: same-origin itself",
}
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def guarded(make_app: AppMaker, owner: User) -> tuple[Flask, FlaskClient, str]:
    """An app that requires tokens, a signed-in browser, and the token of its session."""
    app = make_app(csrf=True)
    client = app.test_client()
    token = token_in(client.get("/login").text)
    sent = {"email": owner.email, "password": PASSWORD, "csrf_token": token}
    assert client.post("/login", data=sent).status_code == 303
    return app, client, token_in(client.get("/profile").text)


def token_now(client: FlaskClient) -> str:
    """The session's token; signs in again if an earlier post has ended the session."""
    if client.get("/profile").status_code == 303:
        sent = {"email": "alice@example.com", "password": PASSWORD, "csrf_token": token_in(client.get("/login").text)}
        assert client.post("/login", data=sent).status_code == 303
    return token_in(client.get("/profile").text)


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


@pytest.fixture
def address_of(owner: User, interface: Interface) -> Callable[[str], str]:
    """Fills a rule with existing ids of the signed-in account."""
    lead = submit(interface).public_id
    with transaction():
        key = api_keys.create_shared_token(owner.account_id, owner.id, "CRM")[0].public_id

    def fill(rule: str) -> str:
        of_rule = lead if rule.startswith("/leads") else key if "api-keys" in rule else interface.public_id
        return re.sub(r"<[^>]*>", of_rule, re.sub(r"<int[^>]*>", "0", rule))

    return fill


def posts(app: Flask) -> list[tuple[str, str]]:
    rules = [rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert len(rules) >= 16
    return [(rule.endpoint, str(rule)) for rule in rules if not rule.endpoint.startswith(tuple(WITHOUT_TOKEN))]


def everything() -> dict[str, list[tuple[object, ...]]]:
    """All rows of the database, by table."""
    db.session.rollback()
    found = {
        table.name: [tuple(row) for row in db.session.execute(table.select())] for table in db.metadata.sorted_tables
    }
    db.session.rollback()
    return found


def test_no_post_is_accepted_without_its_token_or_from_another_site(
    guarded: tuple[Flask, FlaskClient, str], address_of: Callable[[str], str]
) -> None:
    app, client, token = guarded
    addresses = [address_of(rule) for _, rule in posts(app)]
    before = everything()
    for address in addresses:
        for htmx in ({}, {"HX-Request": "true"}):
            for headers in (SAME_ORIGIN, {}, {**SAME_ORIGIN, "X-CSRFToken": "forged"}):
                answer = client.post(address, data={"name": "forged", "confirmed": "1"}, headers={**headers, **htmx})
                assert answer.status_code == 400, f"{address} without a token: {answer.status_code}"
            for site in ("cross-site", "same-site"):
                headers = {"Sec-Fetch-Site": site, "X-CSRFToken": token}
                answer = client.post(address, data={"name": "forged"}, headers={**headers, **htmx})
                assert answer.status_code == 403, f"{address} from a {site} page: {answer.status_code}"
    assert client.get("/profile").status_code == 200, "still signed in"
    assert everything() == before


def test_every_post_is_accepted_with_the_token_in_the_form_or_htmx_header(
    guarded: tuple[Flask, FlaskClient, str], address_of: Callable[[str], str]
) -> None:
    """Without this, the test above would prove nothing."""
    app, client, _ = guarded
    for endpoint, rule in sorted(posts(app), key=lambda one: one[0].endswith(("delete", "sign_out", "revoke"))):
        address, token = address_of(rule), token_now(client)
        by_form = client.post(address, data={"csrf_token": token}, headers=SAME_ORIGIN)
        assert by_form.status_code not in (400, 403), f"{address}: {by_form.status_code}"
        if endpoint == "auth.sign_out":
            continue
        token = token_now(client)
        by_htmx = client.post(address, headers={**SAME_ORIGIN, "X-CSRFToken": token, "HX-Request": "true"})
        assert by_htmx.status_code not in (400, 403), f"{address}: {by_htmx.status_code}"


def test_every_page_gives_htmx_its_token(guarded: tuple[Flask, FlaskClient, str]) -> None:
    _, client, _ = guarded
    for path in ("/interfaces", "/leads", "/profile"):
        assert 'hx-headers:inherited=\'{"X-CSRFToken": ' in client.get(path).text.replace("&#34;", '"')


def test_no_get_changes_anything_for_any_user(
    signed_in: FlaskClient, owner: User, address_of: Callable[[str], str], app: Flask
) -> None:
    """With SameSite=Lax, a link on another site sends the cookie."""
    gets = [str(rule) for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    addresses = [address_of(rule) for rule in gets if not rule.startswith(("/rq/", "/static"))]
    before = everything()
    for address in addresses:
        for headers in ({}, {"HX-Request": "true"}, {"Sec-Fetch-Site": "cross-site"}):
            assert signed_in.get(address, headers=headers, buffered=True).status_code < 500
    after = everything()
    for known in (before, after):
        del known["audit_log"]  # an export is recorded there
    assert after == before


def test_every_page_has_the_strict_policy_and_no_inline_script_or_style(
    signed_in: FlaskClient, address_of: Callable[[str], str], app: Flask
) -> None:
    own = {"mailbox.html", "docs.error_report"}  # have their own tests, as have the forms
    framing = {"mailbox.show", "docs.error_reports"}
    seen = 0
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint.startswith(("rq_dashboard", "static")):
            continue
        answer = signed_in.get(address_of(str(rule)), buffered=True)
        headers, policy = answer.headers, answer.headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin", "an address may hold what no other site is to know"
        if rule.endpoint not in own and not rule.endpoint.startswith(("lead_form.", "loader.")):
            frames = rule.endpoint in framing and answer.status_code == 200
            assert policy == (f"{STRICT}; frame-src 'self'" if frames else STRICT)
            assert headers["Cache-Control"] == "no-store"
        if answer.mimetype == "text/html" and rule.endpoint not in ("mailbox.html", "docs.error_report"):
            seen += 1
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", answer.text), rule
    assert seen > 15


def test_other_sites_cannot_read_pages_or_reach_their_window(signed_in: FlaskClient, interface: Interface) -> None:
    for path in ("/leads", "/login", "/no-such-page", f"/interfaces/{interface.public_id}/edit"):
        headers = signed_in.get(path).headers
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


@given(st.text(alphabet=st.sampled_from("/\\.:@?#%\t\n\r\0 ae\u2028\uff0f-"), max_size=12).map("/".__add__) | st.text())
def test_a_redirect_target_never_leaves_this_site(target: str) -> None:
    """Reads the target as browsers do: backslashes are slashes, tabs and line ends are ignored."""
    if local_path(target) is None:
        return
    as_read = re.sub(r"[\t\n\r]", "", target.strip("\x00\x1f ")).replace("\\", "/")
    assert not as_read.startswith("//")
    assert urlsplit(urljoin("https://leads.example.com/login", as_read)).netloc == "leads.example.com"
