"""A webhook's own page: its settings, tests, state, log; add another, give it a new secret, remove it."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.blueprints import test_outcomes, webhook_panels
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.forms.rules import add_refusal
from webapp.forms.webhook import MaintenanceForm, NewWebhookForm, SecretForm, WebhookForm
from webapp.forms.webhook_values import filled_in
from webapp.models import Webhook, WebhookState
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.interfaces import interface_list, interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import (
    editing,
    hooks,
    maintenance_windows,
    presets,
    rotating,
    shapes,
    shown,
    shown_requests,
    token_ways,
    trying,
    webhook_log,
    webhooks,
)
from webapp.services.webhooks.editing import Plan
from webapp.web import htmx
from webapp.web.security import account_id, signed_in
from webapp.webhooks import shown_addresses

blueprint = Blueprint("webhooks", __name__)


@blueprint.route("/interfaces/<public_id>/webhooks/new", methods=["GET", "POST"])
def new(public_id: str) -> Response | str | tuple[str, int]:
    interface = interfaces.get(account_id(), public_id)
    form = NewWebhookForm()
    if not form.validate_on_submit():
        page = render_template("webhooks/new.html", interface=interface, form=form)
        return page, 422 if form.is_submitted() else 200
    try:
        warning = webhooks.check_reachable(form.webhook_url.data, interface.account_id)
        with transaction():
            webhook = editing.add(interface, Plan(form.webhook_url.data, form.name.data))
            editing.record("added", webhook)
    except Refused as refusal:
        add_refusal(form, refusal)
        return render_template("webhooks/new.html", interface=interface, form=form), 422
    if warning:
        flash(warning, "info")
    flash("Webhook added. New leads are sent there, too.", "ok")
    return redirect(url_for("webhooks.show", webhook_id=webhook.public_id), 303)


@blueprint.route("/webhooks/<webhook_id>", methods=["GET", "POST"])
def show(webhook_id: str) -> Response | str | tuple[str, int]:
    webhook = editing.get(account_id(), webhook_id)
    form = _form(webhook)
    if not form.validate_on_submit():
        return _page(webhook, form), 422 if form.is_submitted() else 200
    try:
        plan = form.plan
        presets.check(form.preset.data or "", plan)
        warning = webhooks.check_reachable(form.webhook_url.data, webhook.account_id)
        with transaction():
            plan, secret = editing.with_new_secret(webhook, plan)
            released = editing.save(webhook, plan)
            editing.record("changed", webhook)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _page(webhook, form), 422
    if warning:
        flash(warning, "info")
    if secret and not shown.facts(webhook).public_keys:
        return _secret(webhook, secret)
    number = "1 lead on hold is sent now." if released == 1 else f"{released:,} leads on hold are sent now."
    flash(f"Saved. {number if released else ''}".strip(), "ok")
    return _to(webhook)


@blueprint.post("/webhooks/<webhook_id>/try")
def try_on_leads(webhook_id: str) -> Response | str | tuple[str, int]:
    """What the settings in the form, which are not saved yet, would do with the last leads. Saves nothing."""
    webhook = editing.get(account_id(), webhook_id)
    form, trial = _form(webhook), None
    if form.validate():
        try:
            trial = trying.on_last_leads(webhook, editing.with_new_secret(webhook, form.plan)[0])
        except Refused as refusal:
            add_refusal(form, refusal)
    db.session.rollback()
    code = 200 if trial else 422
    if htmx.asked():
        return render_template("webhooks/_tried.html", webhook=webhook, form=form, trial=trial), code
    return _page(webhook, form, tried=True, trial=trial), code


@blueprint.post("/webhooks/<webhook_id>/tests")
def test(webhook_id: str) -> Response | str | tuple[str, int]:
    """Sends a test lead with the saved settings. The page then polls for the outcome."""
    webhook = editing.get(account_id(), webhook_id)
    interface = webhook.interface
    try:
        with transaction():
            message_id = leads.send_test(interface, signed_in().id, webhook).message_id
    except Refused as refusal:
        if htmx.asked():
            return render_template("interfaces/_test.html", interface=interface, refusal=str(refusal)), 422
        return _page(webhook, _form(webhook), refusal=str(refusal)), 422
    if htmx.asked():
        return test_outcomes.page("interfaces/_test.html", interface, interfaces.test_delivery(interface, message_id))
    return redirect(url_for("interfaces.test_outcome", public_id=interface.public_id, message_id=message_id), 303)


@blueprint.post("/webhooks/<webhook_id>/pause")
def pause(webhook_id: str) -> Response:
    webhook = editing.get(account_id(), webhook_id)
    with transaction():
        webhooks.pause(webhook, f"Paused by {signed_in().label}.")
    flash("The webhook is paused. New leads are kept and held.", "ok")
    return _to(webhook)


@blueprint.post("/webhooks/<webhook_id>/resume")
def resume(webhook_id: str) -> Response:
    webhook = editing.get(account_id(), webhook_id)
    with transaction():
        released = webhooks.resume(webhook) if webhook.state == WebhookState.PAUSED else 0
    number = "1 lead on hold is sent now." if released == 1 else f"{released:,} leads on hold are sent now."
    flash(f"The webhook sends again. {number if released else ''}".strip(), "ok")
    return _to(webhook)


@blueprint.post("/webhooks/<webhook_id>/try-now")
def try_now(webhook_id: str) -> Response:
    """Ends a rest that the receiver asked for."""
    webhook = editing.get(account_id(), webhook_id)
    with transaction():
        rested = webhooks.try_now(webhook)
    words = "One lead is tried now. If the receiver takes it, the others follow."
    flash(words if rested else "The webhook does not rest any more.", "ok")
    return _to(webhook)


@blueprint.post("/webhooks/<webhook_id>/maintenance")
def plan_maintenance(webhook_id: str) -> Response | tuple[str, int]:
    webhook, form = editing.get(account_id(), webhook_id), MaintenanceForm()
    if not form.validate():
        return _page(webhook, _form(webhook), maintenance=form), 422
    try:
        with transaction():
            maintenance_windows.plan(webhook, *form.times)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _page(webhook, _form(webhook), maintenance=form), 422
    flash("The maintenance window is planned. Leads are held meanwhile, and sent after it.", "ok")
    return _to(webhook)


@blueprint.post("/webhooks/<webhook_id>/maintenance/end")
def end_maintenance(webhook_id: str) -> Response:
    webhook = editing.get(account_id(), webhook_id)
    with transaction():
        maintenance_windows.cancel(webhook)
    flash("The maintenance window is over. Leads that were held are sent in a moment.", "ok")
    return _to(webhook)


@blueprint.post("/webhooks/<webhook_id>/find-way")
def find_way(webhook_id: str) -> Response | tuple[str, int]:
    """Asks the token server of OAuth how it wants the credentials, and keeps the way that works."""
    webhook = editing.get(account_id(), webhook_id)
    try:
        ways = token_ways.find(webhook)
    except Refused as refusal:
        return _page(webhook, _form(webhook), way_refusal=str(refusal)), 422
    with transaction():
        if ways.works and token_ways.keep(webhook, ways.works):
            editing.record("changed", webhook, "How the client ID and secret are sent")
    return _page(webhook, _form(webhook), ways=ways, tried_ways=token_ways.in_words(ways)), 200


@blueprint.route("/webhooks/<webhook_id>/secret", methods=["GET", "POST"])
def rotate(webhook_id: str) -> str | tuple[str, int]:
    """Makes a new secret, and answers with it without a redirect: so it is stored nowhere, and shown only once."""
    webhook, form = editing.get(account_id(), webhook_id), SecretForm()
    if not form.validate_on_submit():
        return _rotation(webhook, form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            secret = rotating.rotate(webhook, (form.secret.data or "").strip())
    except Refused as refusal:
        add_refusal(form, refusal)
        return _rotation(webhook, form), 422
    return _secret(webhook, "" if form.secret.data else secret)


@blueprint.post("/webhooks/<webhook_id>/secret/end-previous")
def end_previous(webhook_id: str) -> Response:
    webhook = editing.get(account_id(), webhook_id)
    with transaction():
        ended = rotating.end_previous(webhook)
    flash("The old secret no longer signs." if ended else "There is no old secret that signs.", "ok")
    return _to(webhook)


@blueprint.get("/webhooks/<webhook_id>/remove")
def confirm_remove(webhook_id: str) -> str:
    """The dialog's text as a page, for browsers without JavaScript."""
    webhook = editing.get(account_id(), webhook_id)
    return render_template("webhooks/remove.html", webhook=webhook, waiting=editing.waiting(webhook))


@blueprint.post("/webhooks/<webhook_id>/remove")
def remove(webhook_id: str) -> Response | tuple[str, int]:
    webhook = editing.get(account_id(), webhook_id)
    label, interface = webhook.label, webhook.interface
    try:
        with transaction():
            cancelled = hooks.remove(webhook)
    except Refused as refusal:
        return _page(webhook, _form(webhook), refusal=str(refusal)), 422
    number = "1 lead that waited is cancelled." if cancelled == 1 else f"{cancelled:,} leads that waited are cancelled."
    flash(f"“{label}” is removed. {number if cancelled else ''}".strip(), "ok")
    return redirect(url_for("interfaces.lead_generation", public_id=interface.public_id), 303)


def _form(webhook: Webhook) -> WebhookForm:
    """With the values of a preset, if the address names one and nothing was posted."""
    preset = presets.named(request.args.get("preset", ""))
    tokens, known = api_keys.shared_tokens(webhook.account_id), shapes.known(webhook.interface)
    return WebhookForm.of(webhook, tokens, known, shown.facts(webhook), filled_in(webhook, preset) if preset else {})


def _page(webhook: Webhook, form: WebhookForm, refusal: str | None = None, **more: object) -> str:
    before, after = request.args.get("before", ""), request.args.get("after", "")
    return render_template(
        "webhooks/show.html",
        webhook=webhook,
        interface=webhook.interface,
        form=form,
        facts=shown.facts(webhook),
        title=shown.title(webhook),
        rotates=rotating.secret_name(webhook),
        health=interface_list.healths(webhook.interface)[webhook.id],
        rest=webhooks.resting_until(webhook),
        waiting=editing.waiting(webhook),
        log=webhook_log.page(webhook, before, after),
        presets=presets.offered(),
        preset=presets.named(request.args.get("preset", "")),
        schedule=current_config.retry_schedule,
        refusal=refusal,
        seen_as=shown_addresses.cut(webhook.url or ""),
        sent_as=shown_requests.shown_url(webhook, webhook.url or ""),
        panels=webhook_panels.of(webhook),
        window=maintenance_windows.of(webhook),
        **{"maintenance": MaintenanceForm(formdata=None), **more},
    )


def _rotation(webhook: Webhook, form: SecretForm) -> str:
    context = {"rotates": rotating.secret_name(webhook), "overlaps": rotating.overlaps(webhook)}
    return render_template("webhooks/rotate.html", webhook=webhook, form=form, title=shown.title(webhook), **context)


def _secret(webhook: Webhook, secret: str) -> str:
    facts, overlaps = shown.facts(webhook), rotating.overlaps(webhook)
    return render_template("webhooks/secret.html", webhook=webhook, secret=secret, facts=facts, overlaps=overlaps)


def _to(webhook: Webhook) -> Response:
    return redirect(url_for("webhooks.show", webhook_id=webhook.public_id), 303)
