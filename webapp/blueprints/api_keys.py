"""My User Profile, API Keys: list, create, show the secret once, rotate, revoke."""

from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.forms.api_key import ApiKeyForm, RotateForm
from webapp.forms.rules import add_refusal
from webapp.models import ApiKey, KeyAccess, KeyType
from webapp.models import api_key as key_words
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.web.api.operations import BASE
from webapp.web.security import account_id, signed_in
from webapp.webhooks.signing import key_as_text

blueprint = Blueprint("api_keys", __name__, url_prefix="/profile/api-keys")


@blueprint.get("")
def index() -> str:
    scope = account_id()
    return render_template(
        "api_keys/index.html",
        keys=api_keys.live(scope),
        used_by=api_keys.used_by(scope),
        previous=api_keys.previous_secrets(scope),
        now=utcnow(),
    )


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> str | tuple[str, int] | Response:
    """Answers a post with the secret, without a redirect: so it is not stored anywhere, and a reload cannot show it."""
    form = ApiKeyForm(interfaces=interfaces.all_of(account_id()))
    if not form.validate_on_submit():
        return _new(form), 422 if form.is_submitted() else 200
    user = signed_in()
    existing = (form.existing.data or "").strip() if form.type.data == "shared" else ""
    try:
        with transaction():
            if form.type.data == "shared":
                key, secret = api_keys.create_shared_token(user.account_id, user.id, form.name.data, existing)
            else:
                access = KeyAccess(form.access.data)
                key, secret = api_keys.create_api_key(user.account_id, user.id, form.name.data, access, form.grant)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _new(form), 422
    if existing:
        flash(f"“{key.name}” is imported. Choose it in an interface.", "ok")
        return redirect(url_for("api_keys.index"), 303)
    return _shown_once(key, secret)


@blueprint.route("/<public_id>/rotate", methods=["GET", "POST"])
def rotate(public_id: str) -> str | tuple[str, int]:
    """Makes a new secret, and answers with it as `new` does."""
    key, form = api_keys.get(account_id(), public_id), RotateForm()
    if not form.validate_on_submit():
        return _rotate(key, form), 422 if form.is_submitted() else 200
    overlap = timedelta(hours=int(form.overlap.data))
    try:
        with transaction():
            secret = api_keys.rotate(key, overlap, force=form.force.data)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _rotate(key, form), 422
    return _shown_once(key, secret, before=api_keys.previous(key), rotated=True)


def _shown_once(key: ApiKey, secret: str, **more: object) -> str:
    key_text = key_as_text(secret) if key.type == KeyType.SHARED_TOKEN else None
    base = f"{current_config.public_url}{BASE}"
    return render_template("api_keys/created.html", key=key, secret=secret, key_text=key_text, base=base, **more)


def _new(form: ApiKeyForm) -> str:
    return render_template("api_keys/new.html", form=form, words=key_words)


@blueprint.post("/<public_id>/revoke-previous")
def revoke_previous(public_id: str) -> Response:
    key = api_keys.get(account_id(), public_id)
    with transaction():
        api_keys.revoke_previous(key)
    flash(f"The old secret of “{key.name}” no longer signs.", "ok")
    return redirect(url_for("api_keys.index"), 303)


@blueprint.get("/<public_id>/revoke")
def confirm_revoke(public_id: str) -> str:
    """The dialog's text as a page, for browsers without JavaScript."""
    key = api_keys.get(account_id(), public_id)
    return render_template("api_keys/revoke.html", key=key, users=api_keys.interfaces_using(key))


@blueprint.post("/<public_id>/revoke")
def revoke(public_id: str) -> Response | tuple[str, int]:
    key = api_keys.get(account_id(), public_id)
    try:
        with transaction():
            api_keys.revoke(key)
    except Refused as refusal:
        users = api_keys.interfaces_using(key)
        return render_template("api_keys/revoke.html", key=key, users=users, refusal=str(refusal)), 422
    flash(f"“{key.name}” is revoked.", "ok")
    return redirect(url_for("api_keys.index"), 303)


def _rotate(key: ApiKey, form: RotateForm) -> str:
    users, before = api_keys.interfaces_using(key), api_keys.previous(key)
    return render_template("api_keys/rotate.html", key=key, form=form, users=users, before=before)
