"""What commands and the first run create in one step."""

import pytest
from flask import Flask
from sqlalchemy import func, select

from tests.conftest import AppMaker
from webapp.config import Config
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Authentication, Interface, User
from webapp.run import first_run
from webapp.services import api_keys, installation
from webapp.services.errors import Refused
from webapp.webhooks.signing import decode_secret


def test_a_missing_token_is_created_and_its_secret_is_returned_once(owner: User) -> None:
    account = owner.account_id
    with transaction():
        interface, secret = installation.create_interface(account, "A", url="https://a.example/", token_name="T")
        again, nothing = installation.create_interface(account, "B", url=None, token_name="T")

    assert secret
    assert decode_secret(secret)
    assert nothing is None
    assert interface.webhook.shared_token is again.webhook.shared_token
    assert interface.webhook.authentication == Authentication.SHARED_TOKEN
    assert [key.name for key in api_keys.shared_tokens(owner.account_id)] == ["T"]


def test_without_a_token_nothing_is_signed(owner: User) -> None:
    with transaction():
        interface, secret = installation.create_interface(
            owner.account_id, "A", url="https://a.example/", token_name=None, automatic_retries=False
        )
    assert secret is None
    assert interface.webhook.authentication == Authentication.NONE
    assert not interface.webhook.automatic_retries


def test_a_bad_url_leaves_no_interface_and_no_token(owner: User) -> None:
    with pytest.raises(Refused), transaction():
        installation.create_interface(owner.account_id, "A", url="ftp://a.example/", token_name="T")
    assert db.session.scalar(select(func.count()).select_from(Interface)) == 0
    assert api_keys.shared_tokens(owner.account_id) == []


def test_the_operator_is_the_first_owner(app: Flask, owner: User) -> None:
    assert installation.operator() is owner


def prepare(make_app: AppMaker, **environ: str) -> tuple[str, Flask]:
    app = make_app(**environ)
    return first_run.prepare(Config.load(app.config["ENVIRON"])), app


def test_the_first_run_creates_an_owner_and_a_signed_demo(make_app: AppMaker) -> None:
    news, app = prepare(make_app, PORT="8100", OWNER_EMAIL="ann@example.com")
    with app.app_context():
        interface = db.session.scalars(select(Interface)).one()
        assert interface.name == "Contact sales"
        assert interface.webhook.url == "http://127.0.0.1:8101/demo"
        assert interface.webhook.shared_token.name == "Demo token"
        owner = installation.operator()
        assert owner
        assert owner.email == "ann@example.com"
        assert f"http://127.0.0.1:8100/f/{interface.public_id}" in news
    assert "ann@example.com" in news


def test_a_given_password_is_never_printed(make_app: AppMaker) -> None:
    news, _ = prepare(make_app, OWNER_PASSWORD="correct horse battery")
    assert "correct horse battery" not in news
    assert "OWNER_PASSWORD" in news


def test_a_random_password_is_printed_only_on_the_first_run(make_app: AppMaker) -> None:
    first, app = prepare(make_app)
    again = first_run.prepare(Config.load(app.config["ENVIRON"]))
    assert "Password" in first
    assert "Password" not in again
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Interface)) == 1


def test_a_weak_password_is_refused_and_nothing_is_created(make_app: AppMaker) -> None:
    with pytest.raises(Refused):
        prepare(make_app, OWNER_PASSWORD="short")
    with make_app().app_context():
        assert installation.operator() is None


def test_the_demo_has_no_webhook_if_webhooks_may_not_reach_this_machine(make_app: AppMaker) -> None:
    news, app = prepare(make_app, WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8")
    with app.app_context():
        webhook = db.session.scalars(select(Interface)).one().webhook
        assert webhook.url is None
        assert webhook.shared_token.name == "Demo token"
    assert "has no webhook" in news


def test_it_says_where_the_demo_sends_after_the_receiver_moved(make_app: AppMaker) -> None:
    _, app = prepare(make_app, RECEIVER_PORT="8101")
    news = first_run.prepare(Config.load({**app.config["ENVIRON"], "RECEIVER_PORT": "8102"}))
    assert "sends to http://127.0.0.1:8101/demo" in news
