"""What `make run` prepares before the parts start: the schema, an owner, and on the first run a demo to try."""

import secrets
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from webapp import create_app
from webapp.config import Config
from webapp.db.transactions import disconnect, read_only, transaction
from webapp.extensions import db
from webapp.models import Interface, User
from webapp.run.forks import Forked
from webapp.services import installation
from webapp.services.people import users
from webapp.services.signs import health

DEMO_INTERFACE, DEMO_TOKEN = "Contact sales", "Demo token"
CURL_FIELDS = ("name=Ada Lovelace", "email=ada@example.com", "message=Hello")


def prepare(config: Config, app: Flask | None = None, apart: bool = False) -> str:
    """Migrates the database, creates what a first run needs, and returns the text to print.

    `apart`: migrates in a process of its own, so that this one never imports Alembic. Then no thread may run. Raises
    services.errors.Refused if OWNER_EMAIL or OWNER_PASSWORD is not accepted.
    """
    app = app or create_app(config)
    with app.app_context():
        try:
            if health.database() != "ok":
                _migrate(app, apart)
            password = None if installation.operator() else _first_owner(config)
            with read_only():
                db.session.rollback()
                return _welcome(config, password)
        finally:
            disconnect()


def _migrate(app: Flask, apart: bool) -> None:
    disconnect()
    if not apart or Forked(partial(_upgrade_apart, app), "flask db upgrade").wait() != 0:
        _upgrade()  # if that failed, the error is raised here


def _upgrade() -> None:
    from flask_migrate import upgrade

    upgrade()


def _upgrade_apart(app: Flask) -> int:
    with suppress(SQLAlchemyError), app.app_context():
        _upgrade()
        return 0
    return 1


def _first_owner(config: Config) -> str:
    """Creates the owner and the demo in one transaction; returns what to print about the password."""
    password = config.owner_password or secrets.token_urlsafe(12)
    with transaction():
        owner = users.create_owner(config.owner_email, password, config.owner_email.partition("@")[2])
        installation.create_interface(owner.account_id, DEMO_INTERFACE, url=_demo_url(config), token_name=DEMO_TOKEN)
    return "the one in OWNER_PASSWORD" if config.owner_password else f"{password}  (shown this once: keep it)"


def _demo_url(config: Config) -> str | None:
    """The address of the test receiver; None if webhooks may not reach this machine."""
    loopback = ip_address("127.0.0.1")
    if not any(loopback in network for network in config.allowed_networks):
        return None
    return f"http://127.0.0.1:{config.receiver_port}/demo"


def _welcome(config: Config, password: str | None) -> str:
    owner = installation.operator()
    assert owner  # created above, or by an earlier run
    lines = [("Email", owner.email)]
    if password:
        lines.append(("Password", password))
    lines.append(("Test receiver", f"http://127.0.0.1:{config.receiver_port}/  (prints here what it receives)"))
    demo = _demo(owner)
    if demo:
        fields = " ".join(f"--data-urlencode '{field}'" for field in CURL_FIELDS)
        lines.append(("Try the form", f"curl {fields} http://127.0.0.1:{config.port}/f/{demo.public_id}"))
        lines += [("Note", note) for note in _notes(config, demo)]
    lines.append(("Stop", "Ctrl-C"))
    rows = (f"  {name:<15}{text}" for name, text in lines)
    return "\n".join(["", f"Leadhook is running at {config.public_url}/", *rows, ""])


def _demo(owner: User) -> Interface | None:
    """The demo interface, unless it was renamed or deleted."""
    named = select(Interface).where(Interface.account_id == owner.account_id, Interface.name == DEMO_INTERFACE)
    return db.session.scalar(named.where(Interface.archived_at.is_(None)).order_by(Interface.id).limit(1))


def _notes(config: Config, demo: Interface) -> list[str]:
    url = demo.webhook.url
    if url is None and _demo_url(config) is None:
        return [f"“{demo.name}” has no webhook, because WEBHOOK_ALLOWED_NETWORKS does not allow 127.0.0.1."]
    if url and url.startswith("http://127.0.0.1:") and url.endswith("/demo") and url != _demo_url(config):
        return [f"“{demo.name}” sends to {url}, where this run's test receiver does not listen."]
    return []
