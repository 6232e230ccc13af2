"""Interfaces: the list, create, edit with its tabs, test lead, pause, resume, delete."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp import text
from webapp.blueprints import test_outcomes, webhook_panels
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.forms.interface import GeneralForm, LeadGenerationForm, NewInterfaceForm, TextsForm
from webapp.forms.rules import add_refusal
from webapp.models import Interface, WebhookState
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.intake.answers import LeadForm
from webapp.services.interfaces import form_look, form_texts, interface_list, interface_templates, interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import webhooks
from webapp.web import htmx
from webapp.web.security import account_id, signed_in

blueprint = Blueprint("interfaces", __name__)

RESTS_NOT = "The webhook does not rest any more."


@blueprint.get("/")
def start() -> Response:
    """The start page: Interfaces, or Leads for users who can only see leads."""
    return redirect(url_for("leads.index" if signed_in().role == "leads-only" else "interfaces.index"), 303)


@blueprint.get("/interfaces")
def index() -> str:
    asked = {name: request.args.get(name, "").strip() for name in ("q", "health", "before", "after")}
    page = interface_list.page(account_id(), interface_list.InterfaceFilter(**asked))
    return render_template("interfaces/index.html", page=page, asked=asked, healths=list(interface_list.Health))


@blueprint.route("/interfaces/new", methods=["GET", "POST"])
def new() -> Response | str | tuple[str, int]:
    form = NewInterfaceForm()
    if not form.validate_on_submit():
        templates = interface_templates.ALL
        return render_template(
            "interfaces/new.html", form=form, templates=templates
        ), 422 if form.is_submitted() else 200
    with transaction():
        template = interface_templates.ALL[form.template.data]
        public_id = interfaces.create(account_id(), form.name.data, template).public_id
    flash("Interface created. Say where its leads go under Lead Generation.", "ok")
    return redirect(url_for("interfaces.general", public_id=public_id), 303)


@blueprint.route("/interfaces/<public_id>/edit", methods=["GET", "POST"])
def general(public_id: str) -> Response | str | tuple[str, int]:
    interface = interfaces.get(account_id(), public_id)
    form = GeneralForm.of(interface)
    if not form.validate_on_submit():
        return _general(interface, form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            interfaces.update_general(interface, **form.words)
            interfaces.update_look(interface, **form.look)
            if form.remove_logo.data:
                form_look.remove_logo(interface)
            if form.logo.data:
                form_look.set_logo(interface, form.logo.data.read())
    except Refused as refusal:
        add_refusal(form, refusal)
        return _general(interface, form), 422
    return _saved("general", public_id)


@blueprint.post("/interfaces/<public_id>/edit/preview")
def preview(public_id: str) -> str | Response:
    """The form with the unsaved settings of the General tab; 204, which changes nothing, if they are not valid."""
    interface = interfaces.get(account_id(), public_id)
    form = GeneralForm.of(interface)
    if not form.validate():
        return Response(status=204)
    try:
        interfaces.update_general(interface, **form.words)
        interfaces.update_look(interface, **form.look)
    except Refused:
        db.session.rollback()
        return Response(status=204)
    with db.session.no_autoflush:
        shown = render_template("interfaces/_preview.html", interface=interface, **_preview(interface))
    db.session.rollback()  # a preview saves nothing
    return shown


@blueprint.route("/interfaces/<public_id>/edit/texts", methods=["GET", "POST"])
def texts(public_id: str) -> Response | str | tuple[str, int]:
    interface = interfaces.get(account_id(), public_id)
    form = TextsForm.of(interface)
    if not form.validate_on_submit():
        return _texts(interface, form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            interfaces.update_texts(interface, {each.name: each.data or "" for each in form})
    except Refused as refusal:
        add_refusal(form, refusal)
        return _texts(interface, form), 422
    return _saved("texts", public_id)


@blueprint.post("/interfaces/<public_id>/close")
def close(public_id: str) -> Response:
    interface = interfaces.get(account_id(), public_id)
    with transaction():
        interfaces.close(interface)
    flash("The form is closed. It tells visitors so, and takes no answers.", "ok")
    return redirect(url_for("interfaces.general", public_id=public_id), 303)


@blueprint.post("/interfaces/<public_id>/reopen")
def reopen(public_id: str) -> Response:
    interface = interfaces.get(account_id(), public_id)
    with transaction():
        interfaces.reopen(interface)
    flash("The form is open again.", "ok")
    return redirect(url_for("interfaces.general", public_id=public_id), 303)


@blueprint.route("/interfaces/<public_id>/edit/lead-generation", methods=["GET", "POST"])
def lead_generation(public_id: str) -> Response | str | tuple[str, int]:
    interface = interfaces.get(account_id(), public_id)
    form = LeadGenerationForm.of(interface, api_keys.shared_tokens(interface.account_id))
    if not form.validate_on_submit():
        return _lead_generation(interface, form), 422 if form.is_submitted() else 200
    try:
        warning = webhooks.check_reachable(form.webhook_url.data, interface.account_id)
        with transaction():
            released = interfaces.update_lead_generation(
                interface,
                url=form.webhook_url.data,
                authentication=form.chosen,
                shared_token=form.shared_token.data,
                notification_emails=text.addresses(form.notification_emails.data or ""),
                report_emails=text.addresses(form.report_emails.data or ""),
                sends_undeclared=form.sends_undeclared.data,
                automatic_retries=form.automatic_retries.data,
                parallel_requests=form.parallel,
            )
    except Refused as refusal:
        add_refusal(form, refusal)
        return _lead_generation(interface, form), 422
    if warning:
        flash(warning, "info")
    return _saved("lead_generation", public_id, _leads("{} on hold {} sent now.", released))


@blueprint.post("/interfaces/<public_id>/tests")
def test(public_id: str) -> Response | str | tuple[str, int]:
    """Sends a test lead with the saved settings. The page then polls for the outcome."""
    interface = interfaces.get(account_id(), public_id)
    try:
        with transaction():
            message_id = leads.send_test(interface, signed_in().id).message_id
    except Refused as refusal:
        if htmx.asked():
            return render_template("interfaces/_test.html", interface=interface, refusal=str(refusal)), 422
        form = LeadGenerationForm.of(interface, api_keys.shared_tokens(interface.account_id))
        return _lead_generation(interface, form, refusal=str(refusal)), 422
    if htmx.asked():
        return test_outcomes.page("interfaces/_test.html", interface, interfaces.test_delivery(interface, message_id))
    return redirect(url_for("interfaces.test_outcome", public_id=public_id, message_id=message_id), 303)


@blueprint.get("/interfaces/<public_id>/tests/<message_id>")
def test_outcome(public_id: str, message_id: str) -> str:
    interface = interfaces.get(account_id(), public_id)
    delivery = interfaces.test_delivery(interface, message_id)
    return test_outcomes.page("interfaces/_test.html" if htmx.asked() else "interfaces/test.html", interface, delivery)


@blueprint.post("/interfaces/<public_id>/pause")
def pause(public_id: str) -> Response:
    interface = interfaces.get(account_id(), public_id)
    with transaction():
        webhooks.pause(interface.webhook, f"Paused by {signed_in().label}.")
    flash("The webhook is paused. New leads are kept and held.", "ok")
    return redirect(url_for("interfaces.lead_generation", public_id=public_id), 303)


@blueprint.post("/interfaces/<public_id>/resume")
def resume(public_id: str) -> Response:
    interface = interfaces.get(account_id(), public_id)
    with transaction():
        released = webhooks.resume(interface.webhook) if interface.webhook.state == WebhookState.PAUSED else 0
    flash(f"The webhook sends again. {_leads('{} on hold {} sent now.', released)}".strip(), "ok")
    return redirect(url_for("interfaces.lead_generation", public_id=public_id), 303)


@blueprint.post("/interfaces/<public_id>/try-now")
def try_now(public_id: str) -> Response:
    """Ends a rest that the receiver asked for."""
    interface = interfaces.get(account_id(), public_id)
    with transaction():
        rested = webhooks.try_now(interface.webhook)
    flash("One lead is tried now. If the receiver takes it, the others follow." if rested else RESTS_NOT, "ok")
    return redirect(url_for("interfaces.lead_generation", public_id=public_id), 303)


@blueprint.get("/interfaces/<public_id>/delete")
def confirm_delete(public_id: str) -> str:
    """The dialog's text as a page, for browsers without JavaScript."""
    interface = interfaces.get(account_id(), public_id)
    return render_template("interfaces/delete.html", interface=interface, **_losses(interface))


@blueprint.post("/interfaces/<public_id>/delete")
def delete(public_id: str) -> Response:
    interface = interfaces.get(account_id(), public_id)
    name = interface.name
    with transaction():
        cancelled = interfaces.archive(interface)
    flash(f"“{name}” is deleted. {_leads('{} waiting to be sent {} cancelled.', cancelled)}".strip(), "ok")
    return redirect(url_for("interfaces.index"), 303)


def _lead_generation(interface: Interface, form: LeadGenerationForm, refusal: str | None = None) -> str:
    return _tab(
        "lead_generation",
        interface,
        form=form,
        refusal=refusal,
        schedule=current_config.retry_schedule,
        rest=webhooks.resting_until(interface.webhook),
        panels=webhook_panels.of(interface.webhook),
        healths=interface_list.healths(interface),
    )


def _general(interface: Interface, form: GeneralForm) -> str:
    return _tab("general", interface, form=form, **_preview(interface))


def _texts(interface: Interface, form: TextsForm) -> str:
    groups = (("What visitors read", form_texts.SHOWN), ("When something is wrong", form_texts.FAULTS))
    return render_template("interfaces/texts.html", interface=interface, form=form, groups=groups)


def _preview(interface: Interface) -> dict[str, object]:
    return {"preview": LeadForm.of(interface), "look": form_look.stylesheet_name(interface)}


def _tab(name: str, interface: Interface, **context: object) -> str:
    return render_template(
        f"interfaces/{name}.html",
        interface=interface,
        health=interface_list.health(interface),
        **_losses(interface),
        **context,
    )


def _losses(interface: Interface) -> dict[str, int]:
    """The counts that the dialog and the page show before a deletion."""
    return {"waiting": interfaces.waiting(interface), "lead_count": interfaces.lead_count(interface)}


def _saved(tab: str, public_id: str, more: str = "") -> Response:
    flash(f"Saved. {more}".strip(), "ok")
    return redirect(url_for(f"interfaces.{tab}", public_id=public_id), 303)


def _leads(sentence: str, number: int) -> str:
    """The sentence with "1 lead" and "is", or "3 leads" and "are"; empty for 0."""
    subject, verb = ("1 lead", "is") if number == 1 else (f"{number:,} leads", "are")
    return sentence.format(subject, verb) if number else ""
