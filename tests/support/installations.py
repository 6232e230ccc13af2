"""Installations of Leadhook behind real sockets in this process, to send webhooks from one to another."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from flask import Flask
from sqlalchemy import select
from werkzeug.serving import make_server

from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Delivery, Lead, Webhook
from webapp.services.interfaces import interfaces
from webapp.services.people import users


class Installation:
    """An app that listens on `port`. Its form asks for nothing, so that it takes the JSON of a webhook."""

    def __init__(self, app: Flask, port: int) -> None:
        self.app, self.port = app, port
        with app.app_context():
            with transaction():
                owner = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar")
                interface = interfaces.create(owner.account_id, "Contact sales")
                for field in interface.fields:
                    field.required = False
                self.form, self.webhook_id = interface.public_id, interface.webhook.id
            db.session.remove()

    def form_url(self, host: str = "127.0.0.1") -> str:
        """The form's address on its own port, which is not in PUBLIC_URL."""
        return f"http://{host}:{self.port}/f/{self.form}"

    def point_at(self, url: str) -> None:
        """Sets the Lead Webhook URL without judging it."""
        with self.app.app_context(), transaction():
            webhook = db.session.get_one(Webhook, self.webhook_id)
            webhook.url = url

    def drain(self) -> None:
        """Sends what is due."""
        with self.app.app_context():
            lanes.drain(self.webhook_id)
            db.session.remove()

    def leads(self) -> list[Lead]:
        """All leads, oldest first, detached."""
        return self._all(Lead)

    def deliveries(self) -> list[Delivery]:
        return self._all(Delivery)

    def _all(self, model: type) -> list:  # type: ignore[type-arg]
        with self.app.app_context():
            found = list(db.session.scalars(select(model).order_by(model.id)))  # type: ignore[attr-defined]
            db.session.expunge_all()
            db.session.remove()
            return found


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """Serves an app on a port of its own: the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def listening(app: Flask) -> Iterator[Installation]:
    """Serves an app, and makes what an installation has."""
    with served(app) as port:
        yield Installation(app, port)
