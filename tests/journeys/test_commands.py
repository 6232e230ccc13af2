"""Operator commands: one line of JSON, last on stdout, or one sentence on stderr and exit code 1."""

import json
import socket
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import select

from tests.conftest import KEYS, AppMaker
from webapp.clock import utcnow
from webapp.extensions import db
from webapp.models import ApiKey, AuditEntry, Interface, User
from webapp.services.people import users
from webapp.services.webhooks import webhooks
from webapp.webhooks.addresses import resolve


def run(app: Flask, *arguments: str) -> dict[str, object]:
    """The output of a command, which must be one line of JSON, with nothing on stderr."""
    result = app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    [line] = result.stdout.splitlines()
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


def refused(app: Flask, *arguments: str) -> str:
    """The sentence on stderr of a command that must exit 1 and print nothing."""
    result = app.test_cli_runner().invoke(args=arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    return str(line)


def test_create_owner_prints_a_random_password_and_never_a_given_one(app: Flask) -> None:
    first = run(app, "create-owner", "--email", "Ann@example.com")
    assert first == {**first, "email": "ann@example.com", "account": "example.com", "operator": True}
    assert len(str(first["password"])) > 12
    arguments = ("--email", "bob@example.org", "--password", "correct horse battery", "--account", "Bob's")
    second = run(app, "create-owner", *arguments)
    assert second == {**second, "account": "Bob's", "operator": False, "password": None}


def test_create_owner_refuses_with_a_sentence(app: Flask, owner: User) -> None:
    assert "already" in refused(app, "create-owner", "--email", owner.email)
    assert refused(app, "create-owner", "--email", "nonsense").endswith(".")
    assert "8 characters" in refused(app, "create-owner", "--email", "bob@example.org", "--password", "short")


def test_create_interface_prints_what_the_contract_says(app: Flask, owner: User) -> None:
    url = "https://crm.example.com/leads"
    first = run(app, "create-interface", "--name", "Sales", "--webhook-url", url, "--shared-token", "CRM")
    assert list(first) == ["id", "form_url", "shared_token"]
    assert first["form_url"] == f"http://127.0.0.1:8000/f/{first['id']}"
    assert str(first["shared_token"]).startswith("whsec_")
    second = run(app, "create-interface", "--name", "Support", "--shared-token", "CRM", "--no-retries")
    assert second["shared_token"] is None
    assert run(app, "create-interface", "--name", "Plain")["shared_token"] is None
    webhook = db.session.scalars(select(Interface).where(Interface.public_id == second["id"])).one().webhook
    assert (webhook.url, webhook.automatic_retries) == (None, False)


def test_create_interface_refuses_with_a_sentence(app: Flask, owner: User) -> None:
    assert "https://" in refused(app, "create-interface", "--name", "A", "--webhook-url", "ftp://a.example")
    assert refused(app, "create-interface", "--name", " ").endswith(".")


def test_create_interface_checks_its_webhook_url(
    app: Flask, owner: User, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["intranet.example.com"] = "10.0.0.5"
    arguments = ("create-interface", "--name", "A", "--webhook-url")
    assert "is not public" in refused(app, *arguments, "https://intranet.example.com/")
    assert db.session.scalars(select(Interface)).all() == []
    db.session.rollback()

    monkeypatch.setattr(webhooks, "resolve", partial(resolve, resolver=lambda *asked: []))
    result = app.test_cli_runner().invoke(args=[*arguments, "https://crm.example.com/"])
    assert result.exit_code == 0
    assert result.stderr == "The name crm.example.com does not resolve at the moment. Check the spelling.\n"


def test_commands_say_when_there_is_no_owner_yet(app: Flask) -> None:
    assert "create-owner" in refused(app, "create-interface", "--name", "A")
    assert "create-owner" in refused(app, "create-api-key", "--name", "A")


def test_create_api_key_prints_the_key_once(app: Flask, owner: User) -> None:
    key = run(app, "create-api-key", "--name", "Server")
    assert list(key) == ["id", "name", "key"]
    assert str(key["key"]).startswith("lhk_")
    assert str(run(app, "create-api-key", "--name", "Site", "--public")["key"]).startswith("lhp_")
    assert "already" in refused(app, "create-api-key", "--name", "Server")


def test_create_api_key_can_narrow_the_key(app: Flask, owner: User, interface: Interface) -> None:
    options = ("--scope", "read", "--scope", "write", "--expires-in-days", "30", "--interface", interface.public_id)
    made = run(app, "create-api-key", "--name", "Narrow", *options)
    assert set(made) == {"id", "name", "key"}
    key = db.session.query(ApiKey).filter_by(name="Narrow").one()
    assert (key.scopes, key.only_interfaces) == (["read", "write"], [interface.public_id])
    assert key.expires_at
    assert timedelta(days=29) < key.expires_at - utcnow() <= timedelta(days=30)
    db.session.rollback()
    for wrong, words in (
        (("--interface", "if_nothing"), "There is no interface “if_nothing”"),
        (("--expires-in-days", "0"), "1 to 3,660 days"),
        (("--expires-in-days", "-5"), "1 to 3,660 days"),
        (("--scope", "root"), "root"),
        (("--public", "--scope", "read"), "A public key can only create leads."),
    ):
        assert words in refused(app, "create-api-key", "--name", "Wrong", *wrong)
    assert db.session.query(ApiKey).count() == 1


def test_receive_refuses_a_token_that_does_not_exist(app: Flask, owner: User) -> None:
    assert "no Shared Token" in refused(app, "receive", "--port", "1", "--shared-token", "none")


def test_commands_say_when_the_database_is_not_migrated(make_app: AppMaker, tmp_path: Path) -> None:
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    assert "db upgrade" in refused(app, "create-api-key", "--name", "A")


def test_receive_says_when_its_port_is_taken(app: Flask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in refused(app, "receive", "--port", port)


def test_a_missing_option_is_refused_like_any_wrong_input(app: Flask) -> None:
    assert "--email" in refused(app, "create-owner")


def test_reset_password_prints_a_link_or_sets_a_password(app: Flask, owner: User) -> None:
    answer = run(app, "reset-password", "--email", "Alice@example.com")
    assert list(answer) == ["email", "link", "expires_at"]
    path = str(answer["link"]).removeprefix("http://127.0.0.1:8000")
    new = "another good one"
    assert app.test_client().post(path, data={"new": new, "again": new}).status_code == 303
    assert users.authenticate(owner.email, new)
    db.session.rollback()
    answer = run(app, "reset-password", "--email", owner.email, "--password", "yet another one")
    assert answer == {"email": owner.email, "link": None, "expires_at": None}
    assert users.authenticate(owner.email, "yet another one")
    [entry] = db.session.query(AuditEntry).filter_by(action="session.password_set")
    assert (entry.actor, entry.address) == ("Operator, on the command line", None)
    db.session.rollback()
    assert "no user" in refused(app, "reset-password", "--email", "unknown@example.com")
    assert "8 characters" in refused(app, "reset-password", "--email", owner.email, "--password", "short")


def test_rotate_encryption_counts_what_it_did(app: Flask, make_app: AppMaker, owner: User) -> None:
    run(app, "create-interface", "--name", "Sales", "--shared-token", "CRM")
    assert run(app, "rotate-encryption") == {"secrets": 1, "reencrypted": 0, "unreadable": 0}
    keys = f"{Fernet.generate_key().decode()},{KEYS['ENCRYPTION_KEYS']}"
    db.session.rollback()
    rotated = make_app(ENCRYPTION_KEYS=keys)
    with rotated.app_context():
        assert run(rotated, "rotate-encryption") == {"secrets": 1, "reencrypted": 1, "unreadable": 0}
