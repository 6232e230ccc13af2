"""My User Profile, Audit log: who did what, for the owner and admins."""

from flask import Blueprint, render_template, request

from webapp.services import audit
from webapp.web.query import number_in_query
from webapp.web.security import signed_in

blueprint = Blueprint("audit_log", __name__, url_prefix="/profile/audit-log")


@blueprint.get("")
def index() -> str:
    """One page of the entries that match the URL's query."""
    user, kind, person = signed_in(), _kind(), number_in_query("person")
    page = audit.page(user, kind, person, before=number_in_query("before"), after=number_in_query("after"))
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
