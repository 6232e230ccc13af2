"""A webhook's page, for tests: what its form sends, and what its answers say."""

import re
from html import unescape
from typing import Any

from flask.testing import FlaskClient

from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Webhook
from webapp.services.webhooks import connections, editing
from webapp.services.webhooks.editing import Plan

CRM, SLACK = "https://crm.example.com/leads?key=q7Rdsecret", "https://hooks.example.com/services/T0/B0/x9y8"
HTMX = {"HX-Request": "true"}
TOKEN = "s3cr3t-of-the-crm-0123456789"


def add(interface: Interface, url: str = SLACK, name: str = "Slack", **settings: Any) -> Webhook:
    with transaction():
        return editing.add(db.session.get_one(Interface, interface.id), Plan(url, name, **settings))


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


def tried(client: FlaskClient, webhook: Webhook, **changes: Any) -> str:
    """The text of what came of "Try on the last 20 leads"."""
    answer = client.post(path(webhook, "/try"), data=filled(webhook, **changes), headers=HTMX)
    assert answer.status_code == 200, answer.text
    return " ".join(re.sub(r"<[^>]+>", " ", unescape(answer.text)).split())


def stored_secrets(webhook: Webhook) -> dict[str, str]:
    """Of its authentication."""
    db.session.expire_all()
    found: dict[str, str] = connections.secrets_of(webhook)["authentication"]
    return found
