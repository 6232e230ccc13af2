"""The Fields tab: an interface's questions, beside a preview of the form."""

from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.forms.field import FieldForm
from webapp.forms.rules import add_refusal
from webapp.models import FieldType, Interface
from webapp.services.errors import Refused
from webapp.services.files.kinds import USUAL
from webapp.services.intake.answers import LeadForm, rules_of
from webapp.services.interfaces import fields, form_look, interface_list, interfaces
from webapp.services.interfaces.field_types import FILLED_IN, KINDS, PRESETS
from webapp.services.leads import suggestions
from webapp.web import htmx
from webapp.web.security import account_id

blueprint = Blueprint("fields", __name__, url_prefix="/interfaces/<public_id>/edit/fields")

BATCH = 100  # leads filled in one transaction, so that no capture waits for long

Answer = Response | str | tuple[str, int]


@blueprint.get("")
def index(public_id: str) -> Answer:
    return _page(interfaces.get(account_id(), public_id))


@blueprint.route("/new", methods=["GET", "POST"])
def new(public_id: str) -> Answer:
    """Adds a field of a type, or a ready-made one. It is on the form only after it is saved."""
    interface = interfaces.get(account_id(), public_id)
    kind, begins = _wanted(request.args.get("type", ""))
    form = FieldForm.of(kind, **begins)
    if not form.validate_on_submit():
        return _page(interface, form=form, kind=kind), 422 if form.is_submitted() else 200
    try:
        with transaction():
            field_id = fields.add(interface, kind, {**begins, **form.settings}).id
    except Refused as refusal:
        return _refused(interface, form, kind, refusal)
    return _done(interface, f"edit-{field_id}", f"{form.label.data.strip()} is on the form.")


@blueprint.route("/<int:field_id>", methods=["GET", "POST"])
def edit(public_id: str, field_id: int) -> Answer:
    interface = interfaces.get(account_id(), public_id)
    field = fields.get(interface, field_id)
    if field.removed_at:
        raise NotFound
    form = FieldForm.of(field.type, field, locked=field.id in fields.carried(interface))
    if not form.validate_on_submit():
        return _page(interface, form=form, kind=field.type, open_id=field_id), 422 if form.is_submitted() else 200
    try:
        with transaction():
            fields.change(interface, field, form.settings)
    except Refused as refusal:
        return _refused(interface, form, field.type, refusal, field_id)
    return _done(interface, f"edit-{field_id}", "Saved.")


@blueprint.post("/<int:field_id>/move")
def move(public_id: str, field_id: int) -> Answer:
    interface = interfaces.get(account_id(), public_id)
    field = fields.get(interface, field_id)
    up = request.form.get("to") == "up"
    with transaction():
        place = fields.move(interface, field, up)
    words = f"{field.label} is now {place} of {len(interface.fields)}."
    return _done(interface, f"{'up' if up else 'down'}-{field_id}", words)


@blueprint.route("/<int:field_id>/remove", methods=["GET"])
def confirm_remove(public_id: str, field_id: int) -> str:
    """The dialog's text as a page, for browsers without JavaScript."""
    interface = interfaces.get(account_id(), public_id)
    field = fields.get(interface, field_id)
    is_carried = field.id in fields.carried(interface)
    return render_template("fields/remove.html", interface=interface, field=field, is_carried=is_carried)


@blueprint.post("/<int:field_id>/remove")
def remove(public_id: str, field_id: int) -> Answer:
    interface = interfaces.get(account_id(), public_id)
    field = fields.get(interface, field_id)
    label = field.label
    with transaction():
        kept = fields.remove(interface, field)
    words = f"{label} is off the form. You find it under Removed." if kept else f"{label} is off the form."
    return _done(interface, "add", words)


@blueprint.post("/<int:field_id>/bring-back")
def bring_back(public_id: str, field_id: int) -> Answer:
    interface = interfaces.get(account_id(), public_id)
    field = fields.get(interface, field_id)
    try:
        with transaction():
            fields.bring_back(interface, field)
    except Refused as refusal:
        return _done(interface, "add", str(refusal))
    return _done(interface, f"edit-{field_id}", f"{field.label} is on the form again, at the end.")


@blueprint.post("/undeclared")
def add_undeclared(public_id: str) -> Answer:
    """Adds the field for a name that leads sent, and fills it from their undeclared answers."""
    interface, name = interfaces.get(account_id(), public_id), request.form.get("name", "")
    try:
        with transaction():
            field, ids = suggestions.accept(interface, name)
    except Refused as refusal:
        return _done(interface, "add", str(refusal))
    moved = 0
    for start in range(0, len(ids), BATCH):
        with transaction():
            moved += suggestions.fill(interface, field, name, ids[start : start + BATCH])
    with transaction():
        suggestions.record(interface, field, moved)
    left = f" {len(ids) - moved:,} did not fit and stay undeclared." if moved < len(ids) else ""
    number = "1 lead" if len(ids) == 1 else f"{len(ids):,} leads"
    words = f"{field.label} is on the form, filled from {moved:,} of {number}.{left}"
    return _done(interface, f"edit-{field.id}", words)


@blueprint.post("/preview")
def preview(public_id: str) -> Answer:
    """The form with the unsaved settings of the open field; 204, which changes nothing, if they are not valid."""
    interface = interfaces.get(account_id(), public_id)
    of = fields.get(interface, request.args.get("of", 0, int)) if "of" in request.args else None
    kind, begins = (of.type, {}) if of else _wanted(request.args.get("type", ""))
    try:
        drafted = fields.draft(interface, kind, {**begins, **FieldForm.of(kind).settings}, of)
    except Refused:
        return Response(status=204)
    rules = rules_of(interface)
    return render_template("interfaces/_preview.html", **_preview(interface, LeadForm(drafted, rules=rules)))


def _wanted(word: str) -> tuple[FieldType, dict[str, Any]]:
    """The field type for a word of the Add list, and the settings that the new field starts with."""
    if word in PRESETS:
        kind, begins = PRESETS[word]
        return kind, dict(begins)
    if word not in set(FieldType):
        raise NotFound
    kind = FieldType(word)
    if kind == FieldType.FILE:
        return kind, {"label": "", "file_types": "\n".join(USUAL), "file_count": "1", "file_megabytes": "10"}
    is_wide = kind in (FieldType.LONG_TEXT, FieldType.RADIO, FieldType.CHECKBOXES)
    label = "Email" if kind == FieldType.EMAIL else ""
    return kind, {"half": not is_wide, "label": label, "autocomplete": FILLED_IN.get(kind, "")}


def _preview(interface: Interface, form: LeadForm) -> dict[str, Any]:
    return {"interface": interface, "preview": form, "look": form_look.stylesheet_name(interface)}


def _page(interface: Interface, open_id: int | None = None, **opened: Any) -> str:
    """The tab, or only the builder for htmx. `open_id` is the field being edited; with a form and no id, a new one."""
    context = _preview(interface, LeadForm.of(interface)) | opened
    context |= {"suggestions": suggestions.of(interface), "looked_at": suggestions.LOOKED_AT}
    context |= {"kinds": KINDS, "presets": PRESETS, "carried": fields.carried(interface), "open_id": open_id}
    if htmx.asked():
        return render_template("fields/_builder.html", **context)
    health, lead_count = interface_list.health(interface), interfaces.lead_count(interface)
    return render_template("fields/index.html", health=health, lead_count=lead_count, **context)


def _refused(
    interface: Interface, form: FieldForm, kind: FieldType, refusal: Refused, open_id: int | None = None
) -> tuple[str, int]:
    add_refusal(form, refusal)
    return _page(interface, open_id, form=form, kind=kind), 422


def _done(interface: Interface, focus: str, words: str) -> Answer:
    """Returns to the list: for htmx in place, with the focus on `focus`; otherwise with a redirect."""
    here = url_for("fields.index", public_id=interface.public_id)
    if htmx.asked():
        return htmx.focus(htmx.toast(make_response(_page(interface)), words), focus, here)
    flash(words, "ok")
    return redirect(f"{here}#{focus}", 303)
