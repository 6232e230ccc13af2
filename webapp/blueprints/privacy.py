"""The Privacy tab of an interface."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.forms.privacy import PrivacyForm
from webapp.forms.rules import add_refusal
from webapp.models import Interface
from webapp.services.errors import Refused
from webapp.services.interfaces import interface_list, interfaces, privacy
from webapp.web.security import account_id

blueprint = Blueprint("privacy", __name__, url_prefix="/interfaces/<public_id>/edit/privacy")


@blueprint.route("", methods=["GET", "POST"])
def edit(public_id: str) -> Response | str | tuple[str, int]:
    """A number of days that would delete leads at once is saved only after the user confirms exactly this number."""
    interface = interfaces.get(account_id(), public_id)
    form = PrivacyForm.of(interface)
    if not form.validate_on_submit():
        return _page(interface, form), 422 if form.is_submitted() else 200
    doomed = _doomed(interface, form.days)
    if doomed and request.form.get("confirmed") != str(form.days):
        return _page(interface, form, doomed), 422
    try:
        with transaction():
            privacy.update(interface, **form.settings)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _page(interface, form), 422
    flash("Saved.", "ok")
    return redirect(url_for(".edit", public_id=public_id), 303)


def _doomed(interface: Interface, days: int | None) -> int:
    """How many leads a new, unsaved number of days would delete."""
    if days is None or days == interface.retention_days:
        return 0
    return privacy.too_old(interface, days)


def _page(interface: Interface, form: PrivacyForm, doomed: int = 0) -> str:
    return render_template(
        "privacy/edit.html",
        interface=interface,
        form=form,
        doomed=doomed,
        health=interface_list.health(interface),
        lead_count=interfaces.lead_count(interface),
    )
