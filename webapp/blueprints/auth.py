"""Sign-in and sign-out. Answers are the same for known and unknown addresses: same words, same limits, same time."""

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.exceptions import TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from webapp.db.transactions import transaction
from webapp.extensions import limiter
from webapp.forms.sign_in import SignInForm
from webapp.services import audit
from webapp.services.people import users
from webapp.web.limits import network, typed_account
from webapp.web.security import begin_session, end_session, local_path, public, signed_in

blueprint = Blueprint("auth", __name__)

V = TypeVar("V", bound=Callable[..., Any])


def _failed(response: Response) -> bool:
    return response.status_code == 422


# These count failed attempts only. The first limit stops one network that guesses at one account, the second many
# networks that guess at one account, the third one network that guesses at many accounts. An attacker can lock an
# owner out only from several networks at once.
LIMITS = (
    ("10 per 15 minutes", lambda: f"{typed_account()} {network()}"),
    ("100 per hour", typed_account),
    ("50 per 15 minutes", network),
)


def _limited(view: V) -> V:
    for limit, key in LIMITS:
        view = limiter.limit(limit, key_func=key, methods=["POST"], deduct_when=_failed)(view)
    return view


@blueprint.route("/login", methods=["GET", "POST"])
@public
@_limited
def sign_in() -> BaseResponse | str | tuple[str, int]:
    target = local_path(request.args.get("next")) or url_for("interfaces.start")
    form = SignInForm()
    if request.method == "GET":
        return redirect(target, 303) if current_user.is_authenticated else _page(form)
    if form.validate():
        with transaction():
            user = users.sign_in(form.email.data, form.password.data)
        if user:
            begin_session(user, remember=form.remember.data)
            return redirect(target, 303)
        form.form_errors = ["This email and password do not belong together."]
    return _page(form), 422


@blueprint.post("/logout")
def sign_out() -> BaseResponse:
    with transaction():
        audit.record("session.signed_out", signed_in().account_id, signed_in().label)
    end_session()
    return redirect(url_for("auth.sign_in"), 303)


@blueprint.errorhandler(429)
def too_many(error: TooManyRequests) -> tuple[str, int]:
    """The sign-in page, which says when to try again; error_pages.py adds Retry-After."""
    limit = limiter.current_limit
    minutes = max(math.ceil((int(limit.reset_at - time.time()) - 1) / 60), 1) if limit else 15
    form = SignInForm()
    form.form_errors = [
        f"Too many attempts to sign in. Try again in {minutes} {'minute' if minutes == 1 else 'minutes'}."
    ]
    return _page(form), 429


def _page(form: SignInForm) -> str:
    return render_template("auth/sign_in.html", form=form, next=local_path(request.args.get("next")))
