"""Events: one URL of the account that hears about failed leads, paused webhooks and spam."""

from collections.abc import Callable

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.forms.events import EventsForm
from webapp.forms.rules import add_refusal
from webapp.models import Webhook, WebhookState
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.webhooks import operational, webhooks
from webapp.web.security import account_id, signed_in

blueprint = Blueprint("events", __name__, url_prefix="/events")


@blueprint.route("", methods=["GET", "POST"])
def edit() -> Response | str | tuple[str, int]:
    webhook = operational.get(account_id())
    form = EventsForm.of(webhook, api_keys.shared_tokens(account_id()))
    if not form.validate_on_submit():
        return _page(webhook, form), 422 if form.is_submitted() else 200
    try:
        warning = webhooks.check_reachable(form.webhook_url.data, account_id())
        with transaction():
            operational.save(account_id(), form.plan)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _page(operational.get(account_id()), form), 422
    flash(f"Saved. {warning}".strip(), "info" if warning else "ok")
    return redirect(url_for(".edit"), 303)


@blueprint.post("/test")
def test() -> Response:
    """Sends a test event with the saved settings; the log on the page shows what came of it."""
    return _with_webhook(_tested)


@blueprint.post("/resume")
def resume() -> Response:
    return _with_webhook(lambda webhook: f"Resumed. Released events: {webhooks.resume(webhook)}.")


@blueprint.post("/remove")
def remove() -> Response:
    return _with_webhook(lambda webhook: f"Removed. Cancelled events: {operational.remove(webhook)}.")


def _tested(webhook: Webhook) -> str:
    operational.send_test(webhook, signed_in().id)
    return "A test event is being sent. Reload the page to see the answer."


def _with_webhook(change: Callable[[Webhook], str]) -> Response:
    try:
        with transaction():
            webhook = operational.get(account_id())
            words = change(webhook) if webhook else "There is no URL for events."
        flash(words, "ok" if webhook else "info")
    except Refused as refusal:
        flash(str(refusal), "info")
    return redirect(url_for(".edit"), 303)


def _page(webhook: Webhook | None, form: EventsForm) -> str:
    return render_template(
        "events/edit.html",
        form=form,
        webhook=webhook,
        is_paused=webhook is not None and webhook.state == WebhookState.PAUSED,
        deliveries=operational.log(webhook) if webhook else [],
        words={**operational.WORDS, operational.TEST: "Test event"},
    )
