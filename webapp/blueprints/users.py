"""My User Profile, Users: the account's users and their roles; removing a user, transferring ownership."""

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.forms.rules import add_refusal
from webapp.forms.user import RoleForm
from webapp.ids import LARGEST_ROW
from webapp.models import User
from webapp.services.errors import Refused
from webapp.services.people import invitations, users
from webapp.web.security import account_id, signed_in

blueprint = Blueprint("users", __name__, url_prefix="/profile/users")

USER_ID = f"<int(max={LARGEST_ROW}):user_id>"


@blueprint.get("")
def index() -> str:
    scope = account_id()
    return render_template("users/index.html", users=users.of_account(scope), pending=invitations.pending(scope))


@blueprint.route(f"/{USER_ID}/role", methods=["GET", "POST"])
def change_role(user_id: int) -> Response | str | tuple[str, int]:
    user = users.get(account_id(), user_id)
    form = RoleForm(role=user.role.value)
    if not form.validate_on_submit():
        return render_template("users/role.html", user=user, form=form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            users.change_role(user, form.chosen, by=signed_in())
    except Refused as refusal:
        add_refusal(form, refusal)
        return render_template("users/role.html", user=user, form=form), 422
    flash(f"{user.label} is now: {user.role.label}.", "ok")
    return redirect(url_for("users.index"), 303)


@blueprint.get(f"/{USER_ID}/remove")
def confirm_remove(user_id: int) -> str:
    """The dialog's text as a page, for browsers without JavaScript."""
    return render_template("users/remove.html", user=users.get(account_id(), user_id))


@blueprint.post(f"/{USER_ID}/remove")
def remove(user_id: int) -> Response | tuple[str, int]:
    user = users.get(account_id(), user_id)
    name = user.label
    try:
        with transaction():
            users.remove(user, by=signed_in())
    except Refused as refusal:
        return render_template("users/remove.html", user=user, refusal=str(refusal)), 422
    flash(f"{name} is removed, and signed out everywhere.", "ok")
    return redirect(url_for("users.index"), 303)


@blueprint.route(f"/{USER_ID}/transfer", methods=["GET", "POST"])
def transfer(user_id: int) -> Response | str | tuple[str, int]:
    """Transfers ownership of the account, after a confirmation page."""
    user = users.get(account_id(), user_id)
    form = RoleForm()  # only for its CSRF token
    if not form.is_submitted():
        return _transfer(user)
    try:
        with transaction():
            users.transfer_ownership(signed_in(), user)
    except Refused as refusal:
        return _transfer(user, str(refusal)), 422
    flash(f"{user.label} owns the account now. You are an admin of it.", "ok")
    return redirect(url_for("users.index"), 303)


def _transfer(user: User, refusal: str | None = None) -> str:
    return render_template("users/transfer.html", user=user, refusal=refusal)
