"""A webhook's own page: add another, its settings, test, state, log, secret, removal."""

import re
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.filled_forms import form_of
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Authentication, Interface, Webhook
from webapp.services.webhooks import connections, editing
from webapp.services.webhooks.editing import Plan

CRM, SLACK = "https://crm.example.com/leads?key=q7Rdsecret", "https://hooks.example.com/services/T0/B0/x9y8"
HTMX = {"HX-Request": "true"}
TOKEN = "s3cr3t-of-the-crm-0123456789"


def add(interface: Interface, url: str = SLACK, name: str = "Slack", **settings: Any) -> Webhook:
    with transaction():
        webhook = editing.add(db.session.get_one(Interface, interface.id), Plan(url, name, **settings))
    return webhook


@pytest.fixture
def webhook(interface: Interface) -> Webhook:
    """A second one, beside the first without a URL."""
    return add(interface)


def path(webhook: Webhook, end: str = "") -> str:
    return f"/webhooks/{webhook.public_id}{end}"


def filled(webhook: Webhook, **changes: Any) -> dict[str, Any]:
    """What the page's form sends if a person changes only this."""
    sent = {"name": "Slack", "webhook_url": SLACK, "method": "POST", "authentication": "none", "format": "json"}
    sent |= {"match": "all", "parallel_requests": "automatic", "automatic_retries": "y"}
    return {**sent, **{name.replace("__", "-"): value for name, value in changes.items()}}


def save(client: FlaskClient, webhook: Webhook, **changes: Any) -> Any:
    answer = client.post(path(webhook), data=filled(webhook, **changes), content_type="multipart/form-data")
    db.session.expire_all()
    return answer


def error_at(page: str, control: str) -> str:
    """The sentence at a control."""
    found = re.search(rf'id="{re.escape(control)}-error">(?:<svg.*?</svg>)?(.*?)</p>', page, re.DOTALL)
    assert found, f"no error at {control}"
    return found[1].strip()


# The tab -------------------------------------------------------------------------------------------------------------


def test_the_tab_has_one_webhook_until_another_is_added(signed_in: FlaskClient, interface: Interface) -> None:
    tab = f"/interfaces/{interface.public_id}/edit/lead-generation"
    page = signed_in.get(tab).text
    assert "Add another webhook" in page
    assert "The webhooks of this interface" not in page
    new = f"/interfaces/{interface.public_id}/webhooks/new"
    assert "Add another webhook" in signed_in.get(new).text
    answer = signed_in.post(new, data={"name": "CRM", "webhook_url": CRM})
    assert answer.status_code == 303
    assert answer.location.startswith("/webhooks/wh_")
    page = signed_in.get(tab).text
    assert "The webhooks of this interface" in page
    assert f'href="{answer.location}">CRM</a>' in page
    assert "crm.example.com/leads</span>" in page
    assert "q7Rdsecret" not in page, "a query can hold a secret"
    assert db.session.scalars(select(AuditEntry.action)).all()[-1] == "webhook.added"


@pytest.mark.parametrize(
    ("name", "url", "sentence"),
    [
        ("", CRM, "The name"),
        ("CRM", "", "Enter the Lead Webhook URL."),
        ("CRM", "crm.example.com", "http"),
        ("CRM", "{own}/f/if_1", "form of this Leadhook"),
        ("x" * 101, CRM, "100"),
    ],
)
def test_a_webhook_that_cannot_be_added_is_refused_at_its_field(
    signed_in: FlaskClient, interface: Interface, name: str, url: str, sentence: str
) -> None:
    url = url.replace("{own}", current_config.public_url)
    answer = signed_in.post(f"/interfaces/{interface.public_id}/webhooks/new", data={"name": name, "webhook_url": url})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert len(db.session.get_one(Interface, interface.id).webhooks) == 1


def test_twenty_webhooks_are_the_most_and_their_pages_work(signed_in: FlaskClient, interface: Interface) -> None:
    last = [add(interface, name=f"Number {number}") for number in range(2, 21)][-1]
    answer = signed_in.post(f"/interfaces/{interface.public_id}/webhooks/new", data={"name": "21", "webhook_url": CRM})
    assert answer.status_code == 422
    assert "20 webhooks at most" in answer.text
    page = signed_in.get(f"/interfaces/{interface.public_id}/edit/lead-generation").text
    assert page.count('scope="row"') == 20
    assert "Number 20" in signed_in.get(path(last)).text


def test_the_tab_keeps_an_authentication_that_only_the_webhooks_page_sets(
    signed_in: FlaskClient, interface: Interface
) -> None:
    first, tab = interface.webhook, f"/interfaces/{interface.public_id}/edit/lead-generation"
    save(signed_in, first, webhook_url=CRM, authentication="bearer", auth__bearer__token=TOKEN, format="flat")
    page = signed_in.get(tab).text
    assert 'selected value="bearer">Bearer token, set on the webhook’s page' in page
    sent = {"webhook_url": CRM, "authentication": "bearer", "parallel_requests": "1"}
    assert signed_in.post(tab, data=sent).status_code == 303
    db.session.expire_all()
    assert first.authentication == Authentication.BEARER
    assert connections.secrets_of(first)["authentication"] == {"token": TOKEN}
    assert first.connection == {"format": "flat"}
    assert signed_in.post(tab, data={**sent, "authentication": "basic"}).status_code == 422
    assert signed_in.post(tab, data={**sent, "authentication": "none"}).status_code == 303
    db.session.expire_all()
    assert (first.authentication, first.secrets_encrypted) == (Authentication.NONE, None)


# The page ------------------------------------------------------------------------------------------------------------


def test_the_page_saves_everything_at_once(signed_in: FlaskClient, webhook: Webhook) -> None:
    answer = save(
        signed_in,
        webhook,
        name="CRM",
        webhook_url=CRM,
        method="PUT",
        authentication="bearer",
        auth__bearer__token=TOKEN,
        custom_headers="X-Team: sales\nX-Key: a-secret-value",
        format="flat",
        match="any",
        condition__0__field="email",
        condition__0__comparison="contains",
        condition__0__value="@example.com",
        condition__1__field="",
        condition__1__comparison="is",
        codes="200-299,302",
        give_up="403",
        body_is="contains_not",
        body="error",
        parallel_requests="4",
        rate="5",
        is_shadow="y",
    )
    assert answer.status_code == 303, answer.text
    assert (webhook.name, webhook.url, webhook.rate, webhook.parallel_requests) == ("CRM", CRM, 5, 4)
    assert webhook.is_shadow
    assert webhook.authentication == Authentication.BEARER
    assert webhook.connection == {
        "method": "PUT",
        "format": "flat",
        "condition": {"match": "any", "rules": [{"field": "email", "is": "contains", "value": "@example.com"}]},
        "success": {"codes": "200-299,302", "body": {"is": "contains_not", "text": "error"}, "give_up": "403"},
    }
    headers = "X-Team: sales\nX-Key: a-secret-value"
    assert connections.secrets_of(webhook) == {"authentication": {"token": TOKEN}, "custom_headers": headers}
    page = signed_in.get(path(webhook)).text
    for secret in (TOKEN, "a-secret-value"):
        assert secret not in page
    assert "X-Team: •••" in page
    assert "Stored. Type to replace it." in page
    assert db.session.scalars(select(AuditEntry.action)).all()[-1] == "webhook.changed"


def test_a_page_that_is_saved_as_it_is_shown_changes_nothing(signed_in: FlaskClient, webhook: Webhook) -> None:
    save(signed_in, webhook, authentication="header", auth__header__name="X-Api-Key", auth__header__value=TOKEN)
    save(signed_in, webhook, custom_headers="X-Key: a-secret-value", authentication="header")
    before = webhook.connection, connections.secrets_of(webhook)
    shown = form_of(signed_in.get(path(webhook)).text, "settings")
    assert shown["custom_headers"] == "X-Key: •••"
    signed_in.post(path(webhook), data=shown, content_type="multipart/form-data")
    db.session.expire_all()
    assert (webhook.connection, connections.secrets_of(webhook)) == before
    shown["custom_headers"] = "X-Key: •••\r\nX-More: 2"
    signed_in.post(path(webhook), data=shown, content_type="multipart/form-data")
    db.session.expire_all()
    assert connections.secrets_of(webhook)["custom_headers"] == "X-Key: a-secret-value\nX-More: 2"
    shown["custom_headers"] = ""
    signed_in.post(path(webhook), data=shown, content_type="multipart/form-data")
    db.session.expire_all()
    assert "custom_headers" not in connections.secrets_of(webhook)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"webhook_url": "ftp://crm.example.com"}, "webhook_url", "http"),
    ({"webhook_url": ""}, "webhook_url", "Enter the Lead Webhook URL."),
    ({"name": "x" * 101}, "name", "100"),
    ({"method": "DELETE"}, "method", "POST, PUT, PATCH"),
    ({"authentication": "magic"}, "authentication", "Choose one of these."),
    ({"authentication": "shared"}, "shared_token", "A signature needs a Shared Token"),
    ({"authentication": "shared", "shared_token": "key_of_no_one"}, "shared_token", "does not exist any more"),
    ({"authentication": "bearer"}, "auth-bearer-token", "Bearer token is missing."),
    ({"authentication": "bearer", "auth__bearer__token": "two\nlines"}, "auth-bearer-token", "line break"),
    ({"authentication": "basic"}, "auth-basic-user", "both missing"),
    (
        {"authentication": "header", "auth__header__name": "Host", "auth__header__value": "k"},
        "auth-header-name",
        "host",
    ),
    ({"authentication": "query", "auth__query__name": "k"}, "auth-query-value", "missing"),
    ({"authentication": "v1a", "auth__v1a__private_key": "no key"}, "auth-v1a-private_key", "base64"),
    (
        {"authentication": "signature", "auth__signature__headers": "X-Signature {signature}"},
        "auth-signature-headers",
        "line 1",
    ),
    (
        {"authentication": "signature", "auth__signature__algorithm": "md5"},
        "auth-signature-algorithm",
        "must be one of",
    ),
    ({"custom_headers": "X-Team"}, "custom_headers", "line 1 has no colon"),
    ({"custom_headers": "Host: a"}, "custom_headers", "host"),
    ({"custom_headers": "X-Team: •••"}, "custom_headers", "line 1"),
    ({"certificate": "no certificate"}, "certificate", ""),
    ({"format": "yaml"}, "format", "Choose one of these."),
    ({"format": "template"}, "format-template-template", ""),
    (
        {"format": "template", "format__template__template": '{"a": "{{ fields.salary }}"}'},
        "format-template-template",
        "1",
    ),
    ({"format": "template", "format__template__template": '{"a":\n "b"'}, "format-template-template", "ine 2"),
    ({"format": "cloudevents", "format__cloudevents__extensions": "A_b: c"}, "format-cloudevents-extensions", "a to z"),
    ({"condition__0__field": "salary", "condition__0__comparison": "is"}, "condition", "salary"),
    ({"condition__0__field": "email", "condition__0__comparison": "like"}, "condition", "compared"),
    ({"condition__0__field": "email", "condition__0__comparison": "is"}, "condition", "Say what"),
    ({"condition__0__field": "email", "condition__0__comparison": "empty", "match": "most"}, "condition", "all rules"),
    ({"codes": "twenty"}, "codes", "no code from 200 to 599"),
    ({"give_up": "999"}, "give_up", "no code"),
    ({"give_up": "201"}, "give_up", "201 is a success"),
    ({"header": "ok"}, "header", "Name the header"),
    ({"header_name": "location"}, "header", "must"),
    ({"body": "x" * 201}, "body", "200 characters"),
    ({"body": "ok", "body_is": "rhymes"}, "body", "must contain"),
    ({"stops": "not json"}, "stops", "cannot be read"),
    ({"stops": '[{"code": 410, "then": "dance"}]'}, "stops", "pause"),
    ({"parallel_requests": "17"}, "parallel_requests", "from 1 to 16"),
    ({"rate": "0"}, "rate", "whole number"),
    ({"rate": "101"}, "rate", "whole number"),
    ({"rate": "1.5"}, "rate", "whole number"),
    ({"rate": "²"}, "rate", "whole number"),
]


@pytest.mark.parametrize(
    ("changes", "control", "sentence"), WRONG, ids=[f"{one[1]} {n}" for n, one in enumerate(WRONG)]
)
def test_what_cannot_be_used_is_refused_at_its_control_and_nothing_is_saved(
    signed_in: FlaskClient, webhook: Webhook, changes: dict[str, Any], control: str, sentence: str
) -> None:
    before = webhook.connection, webhook.secrets_encrypted, webhook.url
    answer = save(signed_in, webhook, **{"rate": "7", "condition__0__value": "", **changes})
    assert answer.status_code == 422
    assert sentence in unescape(error_at(answer.text, control))
    assert (webhook.connection, webhook.secrets_encrypted, webhook.url, webhook.rate) == (*before, None)
    tried = signed_in.post(path(webhook, "/try"), data=filled(webhook, **changes), headers=HTMX)
    if control not in ("webhook_url", "shared_token"):
        assert tried.status_code == 422
        assert sentence in unescape(tried.text)


def test_the_first_webhook_is_no_shadow_and_stays(signed_in: FlaskClient, interface: Interface) -> None:
    first = interface.webhook
    assert save(signed_in, first, is_shadow="y").status_code == 422
    assert save(signed_in, first, webhook_url="").status_code == 303
    assert "Shadow webhook" not in signed_in.get(path(first)).text
    assert "The first webhook of an interface stays" in signed_in.get(path(first, "/remove")).text
    refused = signed_in.post(path(first, "/remove"))
    assert refused.status_code == 422
    assert "The first webhook of an interface stays" in refused.text
    assert db.session.get_one(Webhook, first.id).removed_at is None
