"""A webhook's own page: add another, its settings, presets, test, state, log, removal."""

import json
import re
from datetime import timedelta
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import AppMaker, sign_in
from tests.support.counterparts import issued, self_made_authority
from tests.support.factories import ADA, point_at, submit
from tests.support.filled_forms import form_of
from tests.support.receiver import Receiver, answering
from tests.support.tree import ROOT
from tests.support.webhook_pages import CRM, HTMX, TOKEN, add, error_at, filled, path, save
from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db.transactions import read_only
from webapp.extensions import db
from webapp.models import AuditEntry, Authentication, Delivery, Interface, Webhook, WebhookState
from webapp.services.webhooks import connections, presets
from webapp.webhooks.authentications.schemes import SCHEMES
from webapp.webhooks.formats.choices import FORMATS


@pytest.fixture
def webhook(interface: Interface) -> Webhook:
    """A second one, beside the first without a URL."""
    return add(interface)


# The tab --------------------------------------------------------------------------------------------------------------


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
    assert db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()[-1] == "webhook.added"


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


# The page -------------------------------------------------------------------------------------------------------------


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
    assert db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()[-1] == "webhook.changed"


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
    ({"stops": "[" * 5000}, "stops", "cannot be read"),
    ({"stops": '[{"code": 410, "then": "dance"}]'}, "stops", "pause"),
    ({"parallel_requests": "17"}, "parallel_requests", "from 1 to 16"),
    ({"rate": "0"}, "rate", "whole number"),
    ({"rate": "101"}, "rate", "whole number"),
    ({"rate": "1.5"}, "rate", "whole number"),
    ({"rate": "²"}, "rate", "whole number"),
]


@pytest.mark.once
def test_what_cannot_be_used_is_refused_at_its_control_and_nothing_is_saved(
    signed_in: FlaskClient, webhook: Webhook
) -> None:
    before = webhook.connection, webhook.secrets_encrypted, webhook.url
    for changes, control, sentence in WRONG:
        answer = save(signed_in, webhook, **{"rate": "7", "condition__0__value": "", **changes})
        assert answer.status_code == 422, changes
        assert sentence in unescape(error_at(answer.text, control)), changes
        assert (webhook.connection, webhook.secrets_encrypted, webhook.url, webhook.rate) == (*before, None), changes


@pytest.mark.once
def test_a_try_of_what_cannot_be_used_says_so_and_where(signed_in: FlaskClient, webhook: Webhook) -> None:
    for changes, control, sentence in WRONG:
        if control not in ("webhook_url", "shared_token", "name"):  # no try needs these
            answer = signed_in.post(path(webhook, "/try"), data=filled(webhook, **changes), headers=HTMX)
            assert answer.status_code == 422, changes
            assert sentence in unescape(answer.text), changes


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


@pytest.mark.once
def test_the_settings_of_what_is_not_chosen_are_hidden_by_the_stylesheet() -> None:
    css = (ROOT / "webapp" / "static" / "app.css").read_text()
    for name in ("shared", *SCHEMES):
        assert f"form:not(:has(#authentication [value={name}]:checked)) .when-auth-{name}" in css
    for name in (name for name, each in FORMATS.items() if each.settings):
        assert f"form:not(:has(#format [value={name}]:checked)) .when-format-{name}" in css


# Presets --------------------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_each_preset_fills_the_form_and_can_be_saved(signed_in: FlaskClient, webhook: Webhook) -> None:
    for name in [value for _, choices in presets.offered() for value, _ in choices]:
        preset = presets.named(name)
        assert preset
        page = signed_in.get(path(webhook), query_string={"preset": name}).text
        assert f"Filled in for {preset.title}, not saved yet" in unescape(page)
        sent = form_of(page, "settings")
        for word in ("ORGANISATION_ID", "PORTAL_ID", "FORM_GUID", "INSTANCE"):
            sent = {key: value.replace(word, "123") for key, value in sent.items()}
        if preset.authentication == "header":
            sent["auth-header-value"] = TOKEN
        if preset.authentication == "oauth2":
            sent |= {"auth-oauth2-token_url": "https://login.example.com/token", "auth-oauth2-client_id": "a"}
            sent["auth-oauth2-client_secret"] = TOKEN
        answer = signed_in.post(path(webhook), data=sent, content_type="multipart/form-data")
        assert answer.status_code in (200, 303), name
        db.session.expire_all()
        stored = webhook.connection or {}
        wanted = json.loads(json.dumps(preset.stored).replace("ORGANISATION_ID", "123"))
        if wanted.get("success", {}).get("codes") == "200-299":
            del wanted["success"]["codes"]  # as without a rule
        assert {key: stored.get(key) for key in wanted} == wanted
        assert stored.get("authentication", {}).items() >= preset.options.items()


def test_a_preset_in_which_something_is_left_to_replace_is_not_saved(signed_in: FlaskClient, webhook: Webhook) -> None:
    page = signed_in.get(path(webhook), query_string={"preset": "payload:salesforce_web_to_lead"}).text
    answer = signed_in.post(path(webhook), data=form_of(page, "settings"), content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "Still to replace: Your Salesforce organisation ID" in answer.text
    assert signed_in.get(path(webhook), query_string={"preset": "payload:nothing"}).status_code == 200


def test_a_preset_keeps_the_condition_and_adds_what_its_url_must_have(signed_in: FlaskClient, webhook: Webhook) -> None:
    rule = {"condition__0__field": "email", "condition__0__comparison": "not_empty"}
    save(signed_in, webhook, webhook_url="https://discord.com/api/webhooks/1/x", **rule)
    sent = form_of(signed_in.get(path(webhook), query_string={"preset": "payload:discord"}).text, "settings")
    assert sent["webhook_url"] == "https://discord.com/api/webhooks/1/x?wait=true"
    assert sent["condition-0-field"] == "email"


# Test, state, log -----------------------------------------------------------------------------------------------------


def test_a_test_lead_goes_to_this_webhook_only(signed_in: FlaskClient, webhook: Webhook) -> None:
    point_at(webhook.interface, CRM)
    assert "Queued" in signed_in.post(path(webhook, "/tests"), headers=HTMX).text
    answer = signed_in.post(path(webhook, "/tests"))
    assert answer.status_code == 303
    assert "/tests/msg_" in answer.location
    assert set(db.session.scalars(select(Delivery.webhook_id))) == {webhook.id}
    assert set(db.session.scalars(select(Delivery.test))) == {True}


def test_one_that_is_paused_gets_no_test_and_the_other_goes_on(signed_in: FlaskClient, webhook: Webhook) -> None:
    point_at(webhook.interface, CRM)
    assert signed_in.post(path(webhook, "/pause")).location == path(webhook)
    for headers in ({}, HTMX):
        answer = signed_in.post(path(webhook, "/tests"), headers=headers)
        assert answer.status_code == 422
        assert "This webhook is paused." in answer.text
    page = signed_in.get(path(webhook)).text
    assert "Paused by" in page
    submit(webhook.interface)
    states = dict(db.session.execute(select(Delivery.webhook_id, Delivery.state)).all())
    assert states == {webhook.interface.webhook.id: "pending", webhook.id: "held"}
    assert "1 lead held" in signed_in.get(path(webhook)).text
    answer = signed_in.post(path(webhook, "/resume"), follow_redirects=True)
    assert "1 lead on hold is sent now." in answer.text
    assert "does not rest any more" in signed_in.post(path(webhook, "/try-now"), follow_redirects=True).text
    db.session.expire_all()
    assert webhook.state == WebhookState.ACTIVE
    assert "Contact sales: Slack" in db.session.scalars(select(AuditEntry.target)).all()


def test_the_log_is_paged_by_lead_newest_first(signed_in: FlaskClient, webhook: Webhook) -> None:
    ids = [submit(webhook.interface, {**ADA, "name": f"Number {number:02}"}).public_id for number in range(27)]
    page = signed_in.get(path(webhook)).text
    assert re.findall(r">Number (\d\d)</a>", page) == [f"{number:02}" for number in range(26, 1, -1)]
    older = signed_in.get(f"{path(webhook)}?after={ids[2]}").text
    assert re.findall(r">Number (\d\d)</a>", older) == ["01", "00"]
    assert f"before={ids[1]}" in older
    for unknown in ("lead_nothing", "%00", "x" * 500):
        assert signed_in.get(f"{path(webhook)}?before={unknown}").status_code == 200
    first = webhook.interface.webhook
    assert "No lead was sent there yet." in signed_in.get(path(first)).text


# Removal and other accounts -------------------------------------------------------------------------------------------


def test_a_removal_says_what_it_cancels_and_does_it(signed_in: FlaskClient, webhook: Webhook) -> None:
    submit(webhook.interface)
    submit(webhook.interface)
    assert "2 leads that wait to be sent there are cancelled" in signed_in.get(path(webhook, "/remove")).text
    answer = signed_in.post(path(webhook, "/remove"), follow_redirects=True)
    assert "“Slack” is removed. 2 leads that waited are cancelled." in answer.text
    assert set(db.session.scalars(select(Delivery.state))) == {"cancelled"}
    assert signed_in.get(path(webhook)).status_code == 404
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry
    assert (entry.action, entry.target) == ("webhook.removed", "Contact sales: Slack")
    db.session.expire_all()
    assert webhook.secrets_encrypted is None


def test_webhooks_of_other_accounts_and_made_up_ones_are_not_found(
    stranger: FlaskClient, signed_in: FlaskClient, webhook: Webhook
) -> None:
    for client, address in ((stranger, path(webhook)), (signed_in, "/webhooks/wh_nothing")):
        for end in ("", "/remove", "/secret"):
            assert client.get(f"{address}{end}").status_code == 404
        for end in (
            "",
            "/try",
            "/tests",
            "/pause",
            "/resume",
            "/try-now",
            "/secret",
            "/secret/end-previous",
            "/remove",
        ):
            assert client.post(f"{address}{end}", data=filled(webhook)).status_code == 404
    assert stranger.get(f"/interfaces/{webhook.interface.public_id}/webhooks/new").status_code == 404


def test_secrets_that_cannot_be_decrypted_are_told_on_the_page(
    make_app: AppMaker, signed_in: FlaskClient, webhook: Webhook
) -> None:
    save(signed_in, webhook, authentication="bearer", auth__bearer__token=TOKEN)
    other = make_app(ENCRYPTION_KEYS=Fernet.generate_key().decode())
    client = sign_in(other, "alice@example.com")
    page = client.get(path(webhook))
    assert page.status_code == 200
    assert "ENCRYPTION_KEYS lacks their key" in page.text
    answer = save(client, webhook, authentication="bearer")
    assert answer.status_code == 422
    assert "missing" in error_at(answer.text, "auth-bearer-token")
    answer = save(client, webhook, authentication="bearer", auth__bearer__token="another-token")
    assert answer.status_code == 303, re.findall(r"note tone-bad.*?</div>|field-error.*?</p>", answer.text, re.DOTALL)
    webhook_id = webhook.id
    db.session.rollback()
    with other.app_context(), read_only():
        renewed = connections.secrets_of(db.session.get_one(Webhook, webhook_id))
        db.session.rollback()
    assert renewed == {"authentication": {"token": "another-token"}}


# Maintenance, and the token server -----------------------------------------------------------------------------------


def test_a_maintenance_window_is_planned_and_ended(signed_in: FlaskClient, webhook: Webhook) -> None:
    begins, ends = utcnow() + timedelta(hours=1), utcnow() + timedelta(hours=3)
    window = {"maintenance_from": f"{begins:%Y-%m-%dT%H:%M}", "maintenance_until": f"{ends:%Y-%m-%dT%H:%M}"}
    for wrong, control in (
        ({}, "maintenance_from"),
        ({**window, "maintenance_until": "tomorrow"}, "maintenance_until"),
        ({**window, "maintenance_until": "2020-01-01T00:00"}, "maintenance_until"),
        ({**window, "maintenance_until": f"{ends + timedelta(days=30):%Y-%m-%dT%H:%M}"}, "maintenance_until"),
    ):
        answer = signed_in.post(path(webhook, "/maintenance"), data=wrong)
        assert answer.status_code == 422
        assert error_at(answer.text, control)
    page = signed_in.post(path(webhook, "/maintenance"), data=window, follow_redirects=True).text
    assert f"From {begins:%d %b %Y, %H:%M}" in page or f"{begins:%H:%M}" in page
    assert "Cancel it" in page
    page = signed_in.post(path(webhook, "/maintenance/end"), follow_redirects=True).text
    assert "Plan one" in page
    db.session.expire_all()
    assert webhook.maintenance_until is None


def test_the_way_that_a_token_server_wants_is_found_and_saved(
    signed_in: FlaskClient, webhook: Webhook, receiver: Receiver
) -> None:
    assert signed_in.post(path(webhook, "/find-way")).status_code == 422
    own = {"token_url": f"{receiver.url}/token", "client_id": "a b", "client_secret": TOKEN}
    save(signed_in, webhook, authentication="oauth2", **{f"auth__oauth2__{name}": value for name, value in own.items()})
    refused = answering(401, b'{"error": "invalid_client"}', [("content-type", "application/json")])
    given = b'{"access_token": "t", "token_type": "bearer", "expires_in": 60}'
    receiver.queue(refused, refused, answering(200, given, [("content-type", "application/json")]))
    page = signed_in.post(path(webhook, "/find-way")).text
    assert "This way works, and is saved" in page
    db.session.expire_all()
    assert (webhook.connection or {})["authentication"]["credentials"] == "body"
    assert TOKEN not in page
    receiver.answer(401, b'{"error": "invalid_client"}')
    assert "No way works" in signed_in.post(path(webhook, "/find-way")).text


def test_headers_that_were_typed_are_not_shown_again_after_a_mistake(signed_in: FlaskClient, webhook: Webhook) -> None:
    answer = save(signed_in, webhook, custom_headers="X-Key: a-secret-value\nX-Old: •••", method="DELETE")
    assert "a-secret-value" not in answer.text
    assert form_of(answer.text, "settings")["custom_headers"] == "X-Key:\nX-Old: •••"


def test_a_client_certificate_is_uploaded_shown_by_its_name_kept_and_removed(
    signed_in: FlaskClient, webhook: Webhook, tmp_path: Path
) -> None:
    certificate, key = issued(tmp_path, "leadhook", self_made_authority(tmp_path, "authority"))
    pem = key.read_bytes() + certificate.read_bytes()
    upload = {"certificate_file": (BytesIO(pem), "client.pem")}
    assert save(signed_in, webhook, **upload).status_code == 303
    stored = connections.secrets_of(webhook)["certificate"]
    until = webhook.certificate_until
    page = signed_in.get(path(webhook)).text
    assert "PRIVATE KEY" not in page
    assert "Certificate of" in page
    assert until
    assert f'datetime="{until.isoformat()}"' in page
    assert save(signed_in, webhook, rate="3").status_code == 303
    assert connections.secrets_of(webhook)["certificate"] == stored
    assert save(signed_in, webhook, certificate=pem.decode().replace("\n", "\r\n")).status_code == 303
    assert connections.secrets_of(webhook)["certificate"] == stored
    without_key = pem[pem.index(b"-----BEGIN CERTIFICATE") :]
    answer = save(signed_in, webhook, certificate_file=(BytesIO(without_key), "client.pem"))
    assert answer.status_code == 422
    assert "key" in error_at(answer.text, "certificate")
    assert save(signed_in, webhook, remove_certificate="y").status_code == 303
    assert (webhook.secrets_encrypted, webhook.certificate_until) == (None, None)
