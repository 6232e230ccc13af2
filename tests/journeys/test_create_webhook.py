"""`flask create-webhook`: every authentication, preset and format from a shell."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.journeys.test_commands import refused, run
from webapp.encryption import decrypt
from webapp.extensions import db
from webapp.models import ApiKey, AuditEntry, Authentication, Interface, Webhook
from webapp.services.webhooks import connections
from webapp.webhooks.signing import generate_secret

URL = "https://crm.example.com/leads"
SECRET = "a-secret-of-the-receiver"


@pytest.fixture
def add(app: Flask, interface: Interface, tmp_path: Path) -> Any:
    """Runs the command with these options; files are given by their content. Returns what it printed."""
    public_id = interface.public_id
    db.session.rollback()

    def add(how: Any = run, **options: Any) -> Any:
        arguments = ["--interface", options.pop("interface", public_id), "--url", options.pop("url", URL)]
        for name, value in options.items():
            if name.endswith("_file"):
                path = tmp_path / name
                path.write_bytes(value if isinstance(value, bytes) else value.encode())
                value = str(path)
            arguments += [f"--{name.replace('_', '-')}", value]
        answer = how(app, "create-webhook", *arguments)
        db.session.rollback()
        return answer

    return add


def newest() -> Webhook:
    return db.session.scalars(select(Webhook).order_by(Webhook.id.desc())).all()[0]


def test_it_prints_what_the_contract_says(add: Any, interface: Interface) -> None:
    answer = add()
    webhook = newest()
    assert answer == {"id": webhook.public_id, "interface": interface.public_id, "url": URL}
    assert (webhook.is_first, webhook.authentication, webhook.connection) == (False, Authentication.NONE, None)
    [entry] = db.session.query(AuditEntry).filter_by(action="webhook.added")
    assert entry.actor == "Operator, on the command line"


@pytest.mark.once
@pytest.mark.parametrize(
    ("auth", "secret", "options", "secrets"),
    [
        ("bearer", SECRET, None, {"token": SECRET}),
        ("bearer", f"{SECRET}\n", None, {"token": SECRET}),
        ("basic", '{"user": "ann", "password": "a:b"}', {"user": "ann"}, {"password": "a:b"}),
        ("basic", SECRET, None, {"password": SECRET}),
        ("header", json.dumps({"name": "X-Key", "value": SECRET}), {"name": "X-Key"}, {"value": SECRET}),
        ("query", SECRET, None, {"value": SECRET}),
        ("metalocator", SECRET, None, {"secret": SECRET}),
        ("signature", SECRET, None, {"secret": SECRET}),
        (
            "oauth2",
            json.dumps({"token_url": f"{URL}/token", "client_id": "a", "client_secret": SECRET}),
            {"token_url": f"{URL}/token", "client_id": "a"},
            {"client_secret": SECRET},
        ),
    ],
)
def test_each_authentication_takes_its_secret_from_a_file(
    add: Any, auth: str, secret: str, options: dict[str, str] | None, secrets: dict[str, str]
) -> None:
    assert set(add(auth=auth, secret_file=secret)) == {"id", "interface", "url"}
    webhook = newest()
    assert webhook.authentication == auth
    assert (webhook.connection or {}).get("authentication") == options
    assert connections.secrets_of(webhook) == {"authentication": secrets}


def test_a_secret_that_leadhook_makes_is_printed_this_once(add: Any) -> None:
    answer = add(auth="signature")
    assert connections.secrets_of(newest())["authentication"] == {"secret": answer["secret"]}
    answer = add(auth="v1a")
    assert "secret" not in answer, "a receiver needs the public key only"
    assert newest().authentication == Authentication.V1A


def test_standard_signs_with_a_shared_token_that_is_new_or_brought_along(add: Any) -> None:
    made = add(auth="standard", name="CRM")["secret"]
    own = generate_secret()
    assert "secret" not in add(auth="standard", name="Shop", secret_file=own)
    tokens = {token.name: decrypt(token.secret_encrypted or b"") for token in db.session.query(ApiKey)}
    assert tokens == {"CRM": made, "Shop": own}
    webhook = newest()
    assert (webhook.authentication, webhook.shared_token and webhook.shared_token.name) == ("shared_token", "Shop")


def test_presets_formats_templates_and_conditions_are_stored(add: Any) -> None:
    add(preset="slack", name="Slack", condition="email contains example")
    stored = newest().connection or {}
    assert (stored["preset"], stored["format"], stored["success"]["codes"]) == ("slack", "template", "200")
    assert stored["condition"]["rules"] == [{"field": "email", "is": "contains", "value": "example"}]
    add(preset="slack", auth="signature", format="form")
    stored = newest().connection or {}
    assert stored["format"] == "form"
    assert "v0:{timestamp}:{body}" in stored["authentication"]["content"]
    add(template_file='{"who": "{{ fields.name }}"}')
    assert newest().connection == {"format": "template", "template": '{"who": "{{ fields.name }}"}'}
    assert add(preset="discord")["url"] == f"{URL}?wait=true"


def test_what_cannot_be_used_is_one_sentence_and_adds_nothing(add: Any, interface: Interface) -> None:
    for options, words in (
        ({"interface": "if_nothing"}, "no interface if_nothing"),
        ({"url": "ftp://crm.example.com"}, "http"),
        ({"auth": "magic"}, "magic"),
        ({"auth": "bearer"}, "Bearer token is missing."),
        ({"auth": "bearer", "secret_file": '{"tokens": "a"}'}, "no setting tokens"),
        ({"auth": "bearer", "secret_file": b"\xff\xfe"}, "UTF-8"),
        ({"auth": "standard", "secret_file": "short"}, "whsec_"),
        ({"preset": "nothing"}, "There is no preset nothing"),
        ({"preset": "salesforce_web_to_lead"}, "Still to replace"),
        ({"format": "yaml"}, "yaml"),
        ({"format": "flat", "template_file": "{}"}, "only for the format template"),
        ({"template_file": '{"a": "{{ fields.salary }}"}'}, "salary"),
        ({"condition": "salary is 3"}, "salary"),
        ({"condition": "email"}, "email"),
        ({"client_cert_file": "no certificate"}, ""),
        ({"name": "x" * 101}, "100"),
    ):
        said = add(refused, **options)
        assert words in said, options
        assert SECRET not in said
    live = db.session.get_one(Interface, interface.id)
    assert len(live.webhooks) == 1
    assert db.session.query(ApiKey).count() == 0
