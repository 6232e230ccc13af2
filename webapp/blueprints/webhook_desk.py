"""What a webhook's page offers beside its settings: examine its receiver, and switch over to a shadow."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from webapp.blueprints import webhook_panels
from webapp.db.transactions import transaction
from webapp.models import Webhook
from webapp.services.errors import Refused
from webapp.services.leads import examining
from webapp.services.webhooks import editing, shadowing
from webapp.web import htmx
from webapp.web.security import account_id

blueprint = Blueprint("webhook_desk", __name__)


@blueprint.get("/webhooks/<webhook_id>/examination")
def examination(webhook_id: str) -> str:
    """The verdict on the receiver. While one is expected, the page polls."""
    return _examination(editing.get(account_id(), webhook_id))


@blueprint.post("/webhooks/<webhook_id>/examination")
def examine(webhook_id: str) -> Response | tuple[str, int]:
    """Has a worker send the eight test leads."""
    webhook = editing.get(account_id(), webhook_id)
    try:
        with transaction():
            examining.begin(webhook)
    except Refused as refusal:
        return _examination(webhook, refusal=str(refusal)), 422
    return redirect(url_for("webhook_desk.examination", webhook_id=webhook.public_id), 303)


@blueprint.get("/webhooks/<webhook_id>/switch-over")
def confirm_switch_over(webhook_id: str) -> str:
    """The dialog's text as a page, for browsers without JavaScript."""
    return _switch_over(editing.get(account_id(), webhook_id))


@blueprint.post("/webhooks/<webhook_id>/switch-over")
def switch_over(webhook_id: str) -> Response | tuple[str, int]:
    webhook = editing.get(account_id(), webhook_id)
    try:
        with transaction():
            before = shadowing.switch_over(webhook)
            label = before.label
    except Refused as refusal:
        return _switch_over(webhook, refusal=str(refusal)), 422
    flash(f"“{webhook.label}” is the first webhook now. “{label}” is its shadow.", "ok")
    return redirect(url_for("webhooks.show", webhook_id=webhook.public_id), 303)


def _examination(webhook: Webhook, **more: Any) -> str:
    template = "webhooks/_examination.html" if htmx.asked() else "webhooks/examination.html"
    return render_template(template, webhook=webhook, panels=webhook_panels.of(webhook), **more)


def _switch_over(webhook: Webhook, **more: Any) -> str:
    first = webhook.interface.webhook
    waiting = editing.waiting(first)
    return render_template("webhooks/switch_over.html", webhook=webhook, first=first, waiting=waiting, **more)
