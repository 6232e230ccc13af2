"""The Embed tab: three ways to put the form into a site, the allowed sites, and the blocked senders."""

import json
import shlex

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from webapp.blueprints.loader import embed_address
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.forms.embedding import EmbeddingForm
from webapp.forms.rules import add_refusal
from webapp.models import FieldType, Interface
from webapp.services.errors import Refused
from webapp.services.intake import refused_sites, visitor
from webapp.services.intake.answers import LeadForm
from webapp.services.interfaces import embedding, form_look, interface_list, interfaces
from webapp.services.interfaces.field_types import SENT, sample
from webapp.web.security import account_id

blueprint = Blueprint("embedding", __name__)


@blueprint.route("/interfaces/<public_id>/edit/embed", methods=["GET", "POST"])
def settings(public_id: str) -> Response | str | tuple[str, int]:
    interface = interfaces.get(account_id(), public_id)
    form = EmbeddingForm.of(interface)
    if not form.validate_on_submit():
        return _page(interface, form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            embedding.update_sites(interface, form.allowed_sites.data or "")
            embedding.update_blocklist(interface, form.blocklist.data or "", form.blocklist_published.data)
            embedding.update_prefills(interface, form.prefills.data)
            embedding.record(interface)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _page(interface, form), 422
    flash("Saved.", "ok")
    return redirect(url_for(".settings", public_id=public_id), 303)


def _page(interface: Interface, form: EmbeddingForm) -> str:
    asked = [field for field in interface.fields if field.type in SENT - {FieldType.FILE}]  # JSON cannot hold files
    answers = json.dumps({field.key: sample(field) for field in asked}, ensure_ascii=False, separators=(",", ":"))
    public_url = current_config.public_url
    return render_template(
        "interfaces/embed.html",
        interface=interface,
        form=form,
        health=interface_list.health(interface),
        lead_count=interfaces.lead_count(interface),
        address=interfaces.form_url(interface),
        public_url=public_url,
        loader=f"{public_url}/embed.js",
        loader_version=f"{public_url}{embed_address()}",
        body=shlex.quote(answers),
        answers=answers,
        trap=visitor.TRAP,
        refused=refused_sites.listed(interface),
        preview=LeadForm.of(interface),
        look=form_look.stylesheet_name(interface),
    )
