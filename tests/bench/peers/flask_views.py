"""Two views that one would otherwise write, for gunicorn with Leadhook's own gunicorn.conf.py and database settings.

/bare keeps what was sent as one row. /same validates the same form as Leadhook's and commits the same rows, with the
interface known beforehand: no look-up, no rate limit, no ring.
"""

import json
import time
from typing import Any

from flask import Flask, redirect, request
from sqlalchemy import event, text
from werkzeug.wrappers import Response

from webapp.clock import now_sql, utcnow
from webapp.config import Config
from webapp.db.transactions import disconnect
from webapp.delivery.rings import Bell
from webapp.extensions import db
from webapp.ids import lead_id
from webapp.models import Delivery, Interface, Lead
from webapp.services.intake import visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.interfaces import interface_templates
from webapp.webhooks.payload import lead_payload


def create_app() -> Flask:
    """Both views on Leadhook's database, its SQLite with the same synchronous=FULL; the newest interface is theirs."""
    from webapp.db import engines

    config = Config.load()
    app = Flask("views")
    app.config["SQLALCHEMY_DATABASE_URI"] = config.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engines.options(config.database_url, True, plans_once=False, pool_size=20)
    db.init_app(app)
    app.extensions["leadhook_bell"] = Bell()  # gunicorn.conf.py starts it; nothing rings it
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", _as_leadhooks)
        known = _known()
        disconnect()  # gunicorn forks after this
    app.post("/bare")(bare)
    app.post("/same", defaults={"known": known})(same)
    return app


def _as_leadhooks(connection: Any, record: Any) -> None:
    """Leadhook's own settings of SQLite, as one finds them advised; how its writers stand in line is not among them."""
    for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _known() -> dict[str, Any]:
    interface = db.session.query(Interface).order_by(Interface.id.desc()).first()
    assert interface
    found = {"id": interface.id, "public_id": interface.public_id, "name": interface.name}
    return {**found, "account_id": interface.account_id, "webhook_id": interface.webhook.id}


def prepare(connection: Any) -> None:
    """The table of /bare."""
    kind = "BIGSERIAL" if connection.dialect.name == "postgresql" else "INTEGER"
    connection.execute(text(f"CREATE TABLE bench_rows (id {kind} PRIMARY KEY, at DOUBLE PRECISION, answers TEXT)"))


def bare() -> Response:
    row = {"at": time.time(), "answers": json.dumps(request.form.to_dict())}
    with db.engine.begin() as connection:
        connection.execute(text("INSERT INTO bench_rows (at, answers) VALUES (:at, :answers)"), row)
    return redirect("/thank-you", 303)


def same(known: dict[str, Any]) -> Response | tuple[dict[str, Any], int]:
    sent = request.form.to_dict()
    tracked = visitor.tracked(sent, request.args, request.referrer, None)
    form = LeadForm(_FIELDS, sent)
    if form.errors:
        return {"errors": form.errors}, 422
    values = form.values
    lead = Lead(
        public_id=lead_id(),
        account_id=known["account_id"],
        interface_id=known["id"],
        received_at=utcnow(),
        name=values["name"],
        email=values["email"],
        fields=values,
        source=visitor.source(tracked, request.remote_addr, request.user_agent.string),
        consents=[],
    )
    delivery = Delivery(account_id=lead.account_id, lead=lead, webhook_id=known["webhook_id"], due_at=now_sql())
    delivery.payload = lead_payload(
        event="lead.created",
        lead_id=lead.public_id,
        received_at=lead.received_at,
        fields=lead.fields,
        interface_id=known["public_id"],
        interface_name=known["name"],
        source=lead.source,
        consents=lead.consents,
    )
    db.session.add_all([lead, delivery])
    db.session.commit()
    return redirect("/thank-you", 303)


_FIELDS = interface_templates.CONTACT.fields()
