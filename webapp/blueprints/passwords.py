"""Password resets. Answers are the same for known and unknown addresses: same words, same limits, same time."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.extensions import limiter
from webapp.forms.rules import add_refusal
from webapp.forms.user import ForgotForm, NewPasswordForm
from webapp.services.errors import Refused
from webapp.services.people import password_resets
from webapp.web.limits import IPV6, network, typed_account
from webapp.web.security import public
from webapp.web.sign_in_limits import sign_in_limits

blueprint = Blueprint("passwords", __name__)

V = TypeVar("V", bound=Callable[..., Any])

# Seconds until the answer. For a user's address a mail is written in this time, which takes some hundredths of a
# second. Without the wait an attacker could measure that, and learn which addresses are users.
ANSWER_AFTER = 0.5
TOO_MANY = "Too many requests. Check your e-mail, or try again in an hour."
# By the typed address, so that no mailbox is flooded; and by the client's network.
LIMITS = (
    ("5 per hour", typed_account),
    *((f"{20 * times} per hour", partial(network, bits)) for bits, times in IPV6.items()),
)


def _limited(view: V) -> V:
    for limit, key in LIMITS:
        view = limiter.limit(limit, key_func=key, methods=["POST"], error_message=TOO_MANY)(view)
    return view


@blueprint.route("/forgot-password", methods=["GET", "POST"])
@public
@_limited
def forgot() -> str | tuple[str, int]:
    form = ForgotForm()
    if not form.validate_on_submit():
        return render_template("auth/forgot.html", form=form), 422 if form.is_submitted() else 200
    begun = time.monotonic()
    with transaction():
        password_resets.send_link(form.email.data)
    time.sleep(max(begun + ANSWER_AFTER - time.monotonic(), 0))
    return render_template("auth/forgot.html", form=form, asked=True)


@blueprint.route("/reset-password/<token>", methods=["GET", "POST"])
@public
def reset(token: str) -> Response | str | tuple[str, int]:
    """A GET does not use up the link, because mail scanners open every link."""
    form = NewPasswordForm()
    try:
        user = password_resets.user_of(token)
        if not form.validate_on_submit():
            code = 422 if form.is_submitted() else 200
            return render_template("auth/reset.html", form=form, token=token, email=user.email), code
        email = user.email
        try:
            with transaction():
                password_resets.use(token, form.new.data)
            sign_in_limits.forget(email)
        except Refused as refusal:
            add_refusal(form, refusal)
            return render_template("auth/reset.html", form=form, token=token, email=email), 422
    except NotFound as gone:
        again = url_for("passwords.forgot")
        return render_template("auth/link_gone.html", words=gone.description, again=again), 404
    flash("Your password is changed. Sign in with it.", "ok")
    return redirect(url_for("auth.sign_in"), 303)
