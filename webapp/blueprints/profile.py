"""My User Profile: the signed-in user's name, password and sessions."""

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask_login import login_user
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.extensions import limiter
from webapp.forms.profile import NameForm, PasswordForm
from webapp.forms.rules import add_refusal
from webapp.services.errors import Refused
from webapp.services.people import users
from webapp.web import known_browsers
from webapp.web.security import end_session, signed_in

blueprint = Blueprint("profile", __name__, url_prefix="/profile")

TOO_MANY = "The current password was wrong too often. Try again in 15 minutes."


@blueprint.get("")
def show() -> str:
    return _page()


@blueprint.post("")
def rename() -> Response | tuple[str, int]:
    form = NameForm()
    if not form.validate():
        return _page(name=form), 422
    with transaction():
        users.rename(signed_in(), form.name.data)
    flash("Saved.", "ok")
    return redirect(url_for("profile.show"), 303)


@blueprint.post("/password")
@limiter.limit(  # type: ignore[untyped-decorator]
    "10 per 15 minutes",
    key_func=lambda: f"password of {signed_in().id}",
    deduct_when=lambda response: response.status_code == 422,
    error_message=TOO_MANY,
)
def change_password() -> Response | tuple[str, int]:
    """Ends every other session. This one continues, for as long as it would have."""
    form = PasswordForm()
    stays = current_app.config["REMEMBER_COOKIE_NAME"] in request.cookies
    user_id = signed_in().id
    if not form.validate():
        return _page(password=form), 422
    try:
        with transaction():
            user = users.change_password(user_id, form.current.data, form.new.data)
    except Refused as refusal:
        add_refusal(form, refusal)
        return _page(password=form), 422
    login_user(user, remember=stays)
    known_browsers.remember(user)
    flash("Your password is changed. Other sessions are signed out.", "ok")
    return redirect(url_for("profile.show"), 303)


@blueprint.post("/sign-out-everywhere")
def sign_out_everywhere() -> Response:
    with transaction():
        users.sign_out_everywhere(signed_in())
    end_session()
    flash("You are signed out everywhere.", "ok")
    return redirect(url_for("auth.sign_in"), 303)


def _page(name: NameForm | None = None, password: PasswordForm | None = None) -> str:
    user = signed_in()
    name = name or NameForm(formdata=None, name=user.name)
    return render_template("profile/show.html", user=user, name=name, password=password or PasswordForm(formdata=None))
