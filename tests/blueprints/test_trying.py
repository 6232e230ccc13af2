"""Try on the last 20 leads: who would get what, computed only."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.support.factories import ADA, captured, submit
from tests.support.filled_forms import form_of
from tests.support.webhook_pages import TOKEN, add, filled, path, tried
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Delivery, Interface, Webhook
from webapp.services.webhooks import trying


@pytest.fixture
def webhook(interface: Interface) -> Webhook:
    """A second one, beside the first without a URL."""
    return add(interface)


def test_a_try_says_who_would_be_sent_what_and_what_changes(signed_in: FlaskClient, webhook: Webhook) -> None:
    interface = webhook.interface
    submit(interface, {**ADA, "message": "The price?"})
    submit(interface, {**ADA, "name": "Grace Hopper"})
    rule = {"condition__0__field": "message", "condition__0__comparison": "contains", "condition__0__value": "price"}
    template = {"format": "template", "format__template__template": '{"who": "{{ fields.name }}"}'}
    before = rows_of(webhook)
    said = tried(
        signed_in, webhook, authentication="bearer", auth__bearer__token=TOKEN, method="PATCH", **rule, **template
    )
    assert "1 of 2 leads would be sent there." in said
    assert "PATCH https://hooks.example.com/services/T0/B0/x9y8" in said
    assert "authorization: •••" in said
    assert TOKEN not in said
    assert re.search(r"Grace Hopper [^U]+ UTC Not sent sent today", said)
    assert '"who": "Ada Lovelace"' in said
    assert "another body than today" in said
    assert '- "type": "lead.created"' in said
    assert rows_of(webhook) == before, "a try saves nothing"


def rows_of(webhook: Webhook) -> tuple[Any, ...]:
    db.session.expire_all()
    deliveries = [tuple(row) for row in db.session.execute(select(Delivery.id, Delivery.payload, Delivery.state))]
    entries = db.session.scalar(select(func.count()).select_from(AuditEntry))
    return webhook.connection, webhook.secrets_encrypted, webhook.url, webhook.name, deliveries, entries


def test_a_try_of_what_is_saved_changes_nothing(signed_in: FlaskClient, webhook: Webhook) -> None:
    submit(webhook.interface)
    assert "same as today" in tried(signed_in, webhook)
    assert "There is no lead yet" not in tried(signed_in, webhook)


def test_a_try_looks_at_the_newest_twenty_and_at_spam_where_the_condition_names_it(
    signed_in: FlaskClient, webhook: Webhook
) -> None:
    for number in range(22):
        submit(webhook.interface, {**ADA, "name": f"Number {number}"})
    with transaction():
        captured(webhook.interface.public_id, {**ADA, "name": "A robot"}).spam = "honeypot"
    said = tried(signed_in, webhook)
    assert "19 of 20 leads would be sent there." in said
    assert re.search(r"A robot [^U]+ UTC Not sent not sent today either", said)
    assert "Number 3 " in said
    assert "Number 2 " not in said
    rule = {"condition__0__field": "spam", "condition__0__comparison": "is", "condition__0__value": "yes"}
    said = tried(signed_in, webhook, **rule)
    assert "1 of 20 leads would be sent there." in said
    assert re.search(r"A robot [^U]+ UTC Sent not sent today", said)


def test_a_lead_that_a_template_cannot_render_is_told(signed_in: FlaskClient, webhook: Webhook) -> None:
    submit(webhook.interface)
    template = '{"number": "{{ fields.name | number }}"}'
    said = tried(signed_in, webhook, format="template", format__template__template=template)
    assert "0 of 1 lead would be sent there." in said
    assert "Held" in said
    assert "The payload could not be made" in said


def test_without_javascript_a_try_is_a_page_with_what_was_typed(signed_in: FlaskClient, webhook: Webhook) -> None:
    template = '{"who": "{{ fields.name }}"}'
    sent = filled(webhook, format="template", format__template__template=template)
    page = signed_in.post(path(webhook, "/try"), data=sent).text
    assert "<html" in page
    assert "There is no lead yet to try them on." in page
    assert form_of(page, "settings")["format-template-template"] == template


def test_a_try_that_takes_long_stops_and_says_so(
    signed_in: FlaskClient, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(webhook.interface)
    assert "were not tried" not in tried(signed_in, webhook)
    submit(webhook.interface)
    monkeypatch.setattr(trying, "SECONDS", -1.0)
    said = tried(signed_in, webhook)
    assert "1 of 1 lead would be sent there. The older ones were not tried: this template takes long." in said
