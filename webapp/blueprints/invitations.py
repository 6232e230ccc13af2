"""Invitations: the owner and admins send, resend and withdraw them; the person with the link accepts."""

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from webapp.db.transactions import transaction
from webapp.extensions import limiter
from webapp.forms.rules import add_refusal
from webapp.forms.user import AcceptForm, InvitationForm
from webapp.ids import LARGEST_ROW
from webapp.services.errors import Refused
from webapp.services.people import invitations
from webapp.web.security import account_id, begin_session, public, signed_in

blueprint = Blueprint("invitations", __name__)

INVITATION_ID = f"<int(max={LARGEST_ROW}):invitation_id>"

# Each one sends a mail to an address that a user typed.
mailed = limiter.shared_limit(
    "30 per hour",
    scope="invitations",
    key_func=lambda: f"invitations of {account_id()}",
    methods=["POST"],
    deduct_when=lambda response: response.status_code == 303,
    error_message="You can send 30 invitations an hour. Try again later.",
)


@blueprint.route("/profile/users/invite", methods=["GET", "POST"])
@mailed  # type: ignore[untyped-decorator]
def new() -> Response | str | tuple[str, int]:
    form = InvitationForm(role="editor")
    if not form.validate_on_submit():
        return render_template("invitations/new.html", form=form), 422 if form.is_submitted() else 200
    try:
        with transaction():
            email = invitations.invite(signed_in(), form.email.data, form.chosen).email
    except Refused as refusal:
        add_refusal(form, refusal)
        return render_template("invitations/new.html", form=form), 422
    flash(f"{email} is invited.", "ok")
    return redirect(url_for("users.index"), 303)


@blueprint.post(f"/profile/users/invitations/{INVITATION_ID}/send-again")
@mailed  # type: ignore[untyped-decorator]
def send_again(invitation_id: int) -> Response:
    with transaction():
        invitation = invitations.get(account_id(), invitation_id)
        invitations.send_again(invitation, signed_in())
        email = invitation.email
    flash(f"{email} is invited again. The earlier link no longer works.", "ok")
    return redirect(url_for("users.index"), 303)


@blueprint.post(f"/profile/users/invitations/{INVITATION_ID}/withdraw")
def withdraw(invitation_id: int) -> Response:
    with transaction():
        invitation = invitations.get(account_id(), invitation_id)
        email = invitation.email
        invitations.withdraw(invitation)
    flash(f"The invitation of {email} is withdrawn.", "ok")
    return redirect(url_for("users.index"), 303)


@blueprint.route("/invitations/<token>", methods=["GET", "POST"])
@public
def accept(token: str) -> Response | str | tuple[str, int]:
    """A GET does not use up the link, because mail scanners open every link."""
    form = AcceptForm()
    try:
        if not form.validate_on_submit():
            return _page(token, form), 422 if form.is_submitted() else 200
        try:
            with transaction():
                user = invitations.accept(token, form.name.data, form.password.data)
        except Refused as refusal:
            add_refusal(form, refusal)
            return _page(token, form), 422
    except NotFound as gone:
        return render_template("auth/link_gone.html", words=gone.description, again=None), 404
    begin_session(user)  # replaces the session of any other user in this browser
    return redirect(url_for("interfaces.start"), 303)


def _page(token: str, form: AcceptForm) -> str:
    invitation = invitations.of_token(token)
    taken = invitations.is_taken(invitation)
    return render_template("invitations/accept.html", invitation=invitation, taken=taken, token=token, form=form)
