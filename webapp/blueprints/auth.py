"""Sign-in and sign-out. Answers are the same for known and unknown addresses: same words, same limits, same time."""

import math

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.forms.sign_in import SignInForm
from webapp.services import audit
from webapp.services.people import users
from webapp.web.security import begin_session, end_session, local_path, public, signed_in
from webapp.web.sign_in_limits import sign_in_limits

blueprint = Blueprint("auth", __name__)


@blueprint.route("/login", methods=["GET", "POST"])
@public
def sign_in() -> Response | str | tuple[str, int]:
    target = local_path(request.args.get("next")) or url_for("interfaces.start")
    form = SignInForm()
    if request.method == "GET":
        return redirect(target, 303) if current_user.is_authenticated else _page(form)
    if wait := sign_in_limits.seconds_to_wait(form.email.data or ""):
        return _too_many(form, wait)
    if form.validate():
        with transaction():
            user = users.sign_in(form.email.data, form.password.data)
        if user:
            begin_session(user, remember=form.remember.data)
            return redirect(target, 303)
        form.form_errors = ["This email and password do not belong together."]
    sign_in_limits.count(form.email.data or "")
    return _page(form), 422


@blueprint.post("/logout")
def sign_out() -> Response:
    with transaction():
        audit.record("session.signed_out", signed_in().account_id, signed_in().label)
    end_session()
    return redirect(url_for("auth.sign_in"), 303)


def _too_many(form: SignInForm, wait: int) -> Response:
    """The sign-in page, which says when to try again."""
    minutes = max(math.ceil((wait - 1) / 60), 1)
    form.form_errors = [
        f"Too many attempts to sign in. Try again in {minutes} {'minute' if minutes == 1 else 'minutes'}."
    ]
    response = make_response(_page(form), 429)
    response.headers["Retry-After"] = str(wait)
    return response


def _page(form: SignInForm) -> str:
    return render_template("auth/sign_in.html", form=form, next=local_path(request.args.get("next")))
