"""Who may do what: the one table of roles.

Every route is either `@public` (security.py) or has a row here, by its endpoint or, where all of a blueprint is alike
and not ours, by the blueprint. One that has neither keeps the application from starting, and so does a row without one.
"""

from flask import Flask

from webapp.models import User

OPERATOR = "operator"  # of the installation, whatever their role in the account

ONLY_OPERATOR = frozenset({OPERATOR})
OWNER = frozenset({"owner"})
ADMINS = OWNER | {"admin"}
EDITORS = ADMINS | {"editor"}
EVERYONE = EDITORS | {"leads-only"}

TABLE: dict[str, frozenset[str]] = {
    "auth.sign_out": EVERYONE,
    "interfaces.start": EVERYONE,
    "profile.show": EVERYONE,
    "profile.rename": EVERYONE,
    "profile.change_password": EVERYONE,
    "profile.sign_out_everywhere": EVERYONE,
    "leads.index": EVERYONE,
    "leads.csv": EVERYONE,
    "leads.show": EVERYONE,
    "leads.row": EVERYONE,
    "leads.retry": EVERYONE,
    "leads.not_spam": EVERYONE,
    "leads.retry_ticked": EVERYONE,
    "interfaces.index": EDITORS,
    "interfaces.new": EDITORS,
    "interfaces.general": EDITORS,
    "interfaces.preview": EDITORS,
    "interfaces.texts": EDITORS,
    "interfaces.close": EDITORS,
    "interfaces.reopen": EDITORS,
    "fields.index": EDITORS,
    "fields.new": EDITORS,
    "fields.edit": EDITORS,
    "fields.move": EDITORS,
    "fields.confirm_remove": EDITORS,
    "fields.remove": EDITORS,
    "fields.bring_back": EDITORS,
    "fields.preview": EDITORS,
    "interfaces.lead_generation": EDITORS,
    "embedding.settings": EDITORS,
    "interfaces.test": EDITORS,
    "interfaces.test_outcome": EDITORS,
    "interface_mails.edit": EDITORS,
    "interface_mails.preview": EDITORS,
    "interface_mails.send_test": EDITORS,
    "privacy.edit": EDITORS,
    "interfaces.pause": EDITORS,
    "interfaces.resume": EDITORS,
    "interfaces.confirm_delete": EDITORS,
    "interfaces.delete": EDITORS,
    "api_keys.index": ADMINS,
    "api_keys.new": ADMINS,
    "api_keys.rotate": ADMINS,
    "api_keys.revoke_previous": ADMINS,
    "api_keys.confirm_revoke": ADMINS,
    "api_keys.revoke": ADMINS,
    "users.index": ADMINS,
    "users.change_role": ADMINS,
    "users.confirm_remove": ADMINS,
    "users.remove": ADMINS,
    "users.transfer": OWNER,
    "invitations.new": ADMINS,
    "invitations.send_again": ADMINS,
    "invitations.withdraw": ADMINS,
    "audit_log.index": ADMINS,
    "mailbox.index": ADMINS | ONLY_OPERATOR,
    "mailbox.show": ADMINS | ONLY_OPERATOR,
    "mailbox.html": ADMINS | ONLY_OPERATOR,
    "queue.index": ONLY_OPERATOR,
    "rq_dashboard": ONLY_OPERATOR,
}


class IncompleteTable(Exception):
    """A route without an owner, or a row without a route."""


def of(endpoint: str) -> frozenset[str]:
    """Who may ask for an endpoint that is not public; nobody, where nothing is said."""
    return TABLE.get(endpoint) or TABLE.get(endpoint.partition(".")[0]) or frozenset()


def may(user: User, endpoint: str) -> bool:
    """Whether a signed-in user may ask for an endpoint that is not public."""
    allowed = of(endpoint)
    return user.role in allowed or (user.is_operator and OPERATOR in allowed)


def check(app: Flask) -> None:
    """IncompleteTable unless every route is public or in the table, not both, and every row is a route's."""
    public = {name for name, view in app.view_functions.items() if getattr(view, "is_public", False)} | {"static"}
    guarded = set(app.view_functions) - public
    faults = [f"{name} is neither public nor in the table of roles" for name in sorted(guarded) if not of(name)]
    faults += [f"{name} is public, and in the table of roles, too" for name in sorted(public) if of(name)]
    known = guarded | {name.partition(".")[0] for name in guarded}
    faults += [f"{row} is in the table of roles, and no route" for row in TABLE if row not in known]
    if faults:
        raise IncompleteTable("; ".join(faults))
