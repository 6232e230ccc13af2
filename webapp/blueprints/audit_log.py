"""My User Profile, Audit log: who did what, for owner and admins."""

from flask import Blueprint, render_template, request

from webapp.services import audit
from webapp.web.security import signed_in

blueprint = Blueprint("audit_log", __name__, url_prefix="/profile/audit-log")


@blueprint.get("")
def index() -> str:
    """A page of the entries that the URL asks for."""
    user, kind, person = signed_in(), _kind(), _number("person")
    page = audit.page(user, kind, person, before=_number("before"), after=_number("after"))
    return render_template(
        "audit_log/index.html",
        page=page,
        kind=kind,
        person=person,
        kinds=audit.KINDS,
        people=audit.people(user),
        words=audit.WORDS,
    )


def _kind() -> audit.Kind | None:
    word = request.args.get("kind", "")
    return audit.Kind(word) if word in list(audit.Kind) else None


def _number(name: str) -> int:
    word = request.args.get(name, "")
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else 0
