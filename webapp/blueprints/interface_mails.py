"""The E-mail tab of an interface: the notification and the answer to visitors, each with a preview and a test."""

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.forms.interface_mails import InterfaceMailsForm
from webapp.forms.rules import add_refusal
from webapp.models import Interface
from webapp.services.errors import Refused
from webapp.services.interfaces import answer_limits, interface_list, interface_mails, interfaces
from webapp.services.interfaces.interface_mails import AUTORESPONSE, NOTIFICATION
from webapp.web import htmx
from webapp.web.security import account_id, signed_in

blueprint = Blueprint("interface_mails", __name__, url_prefix="/interfaces/<public_id>/edit/e-mail")

KINDS = {"notification": NOTIFICATION, "answer": AUTORESPONSE}

Answer = Response | str | tuple[str, int]


@blueprint.route("", methods=["GET", "POST"])
def edit(public_id: str) -> Answer:
    interface = interfaces.get(account_id(), public_id)
    form = InterfaceMailsForm.of(interface)
    if not form.validate_on_submit():
        return _page(interface, form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            interface_mails.update(interface, form.words)
    except Refused as refusal:
        return _refused(interface, form, refusal)
    flash("Saved.", "ok")
    return redirect(url_for(".edit", public_id=public_id), 303)


@blueprint.post("/preview")
def preview(public_id: str) -> Answer:
    """The mails with the unsaved texts of the form; for htmx only the preview, otherwise the whole page."""
    interface = interfaces.get(account_id(), public_id)
    form = InterfaceMailsForm.of(interface)
    try:
        interface_mails.checked(interface, form.words)
    except Refused as refusal:
        if not htmx.asked():
            return _refused(interface, form, refusal)
        return _preview(interface, form, str(refusal))
    return _preview(interface, form) if htmx.asked() else _page(interface, form)


@blueprint.post("/test/<kind>")
def send_test(public_id: str, kind: str) -> Answer:
    """Sends one of the mails, with the unsaved texts of the form, to the signed-in user."""
    interface = interfaces.get(account_id(), public_id)
    if kind not in KINDS:
        raise NotFound
    form = InterfaceMailsForm.of(interface)
    try:
        with transaction():
            interface_mails.send_test(interface, form.words, KINDS[kind], signed_in())
    except Refused as refusal:
        if htmx.asked():
            return render_template("interface_mails/_sent.html", refusal=str(refusal)), 422
        return _refused(interface, form, refusal)
    if htmx.asked():
        return render_template("interface_mails/_sent.html", address=signed_in().email)
    return _page(interface, form, sent=kind)


def _refused(interface: Interface, form: InterfaceMailsForm, refusal: Refused) -> tuple[str, int]:
    form.validate()  # before that, WTForms has no list of errors to add to
    add_refusal(form, refusal)
    return _page(interface, form), 422


def _page(interface: Interface, form: InterfaceMailsForm, sent: str = "") -> str:
    names = {kind: interface_mails.names(interface.fields, mail) for kind, mail in KINDS.items()}
    return render_template(
        "interface_mails/edit.html",
        interface=interface,
        form=form,
        sent=sent,
        names=names,
        limits=answer_limits.of_today(interface),
        answer_reasons=answer_limits.REASONS,
        health=interface_list.health(interface),
        lead_count=interfaces.lead_count(interface),
        **_previews(interface, form),
    )


def _preview(interface: Interface, form: InterfaceMailsForm, refusal: str = "") -> str:
    context = {"interface": interface, "refusal": refusal, **_previews(interface, form)}
    return render_template("interface_mails/_preview.html", **context)


def _previews(interface: Interface, form: InterfaceMailsForm) -> dict[str, object]:
    words = form.words
    return {
        "words": words,
        "previews": {name: interface_mails.preview(interface, words, kind) for name, kind in KINDS.items()},
    }
