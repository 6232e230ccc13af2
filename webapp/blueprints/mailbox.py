"""Mailbox: the mails of an account, for its owner and admins. Without an SMTP server, mails can be read only here."""

from flask import Blueprint, Response, render_template, request

from webapp.config import current_config
from webapp.ids import LARGEST_ROW
from webapp.models import Mail, MailState
from webapp.services.mail import mailbox, sealed
from webapp.web.busy import takes_turns
from webapp.web.frames import mail_html, with_frames
from webapp.web.query import number_in_query
from webapp.web.security import signed_in

blueprint = Blueprint("mailbox", __name__)

MAIL_ID = f"<int(max={LARGEST_ROW}):mail_id>"


@blueprint.get("/mailbox")
@takes_turns
def index() -> str:
    """One page of the mails that match the URL's query."""
    user, q, state = signed_in(), request.args.get("q", "").strip(), _state()
    page = mailbox.page(user, q, state, before=number_in_query("before"), after=number_in_query("after"))
    return render_template(
        "mailbox/index.html",
        page=page,
        q=q,
        state=state,
        any_mail=bool(page.rows) or mailbox.any_readable(user),
        states=[(each.value, Mail(state=each).status) for each in MailState],
        smtp=_sends(),
    )


@blueprint.get(f"/mailbox/{MAIL_ID}")
def show(mail_id: int) -> Response:
    """One mail: its headers, its text, its HTML in a frame."""
    mail = mailbox.get(signed_in(), mail_id)
    text = sealed.readable_bodies(mail).body_text
    return with_frames(render_template("mailbox/show.html", mail=mail, text=text, smtp=_sends()))


@blueprint.get(f"/mailbox/{MAIL_ID}/html")
def html(mail_id: int) -> Response:
    """The HTML of a mail, for the frame of its page."""
    return mail_html(sealed.readable_bodies(mailbox.get(signed_in(), mail_id)).body_html)


def _state() -> MailState | None:
    word = request.args.get("state", "")
    return MailState(word) if word in list(MailState) else None


def _sends() -> bool:
    return bool(current_config.mail_server)
