"""Who may do what: the one table of roles.

Every route is either `@public` or `@takes_key` (security.py), or has a row here: for its endpoint, or for its blueprint
where the blueprint is not ours and all its routes are alike. The application does not start with a route that has none
of these, or with a row that has no route.
"""

from flask import Flask

from webapp.models import User

OPERATOR = "operator"  # of the installation; independent of their role in the account

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
    "files.of_lead": EVERYONE,
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
    "fields.add_undeclared": EDITORS,
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
    "interfaces.try_now": EDITORS,
    "interfaces.confirm_delete": EDITORS,
    "interfaces.delete": EDITORS,
    "webhooks.new": EDITORS,
    "webhooks.show": EDITORS,
    "webhooks.try_on_leads": EDITORS,
    "webhooks.test": EDITORS,
    "webhooks.pause": EDITORS,
    "webhooks.resume": EDITORS,
    "webhooks.try_now": EDITORS,
    "webhooks.plan_maintenance": EDITORS,
    "webhooks.end_maintenance": EDITORS,
    "webhooks.find_way": EDITORS,
    "webhooks.rotate": EDITORS,
    "webhooks.end_previous": EDITORS,
    "webhooks.confirm_remove": EDITORS,
    "webhooks.remove": EDITORS,
    "webhook_desk.examination": EDITORS,
    "webhook_desk.examine": EDITORS,
    "webhook_desk.confirm_switch_over": EDITORS,
    "webhook_desk.switch_over": EDITORS,
    "api_keys.index": ADMINS,
    "api_keys.new": ADMINS,
    "api_keys.rotate": ADMINS,
    "api_keys.revoke_previous": ADMINS,
    "api_keys.confirm_revoke": ADMINS,
    "api_keys.revoke": ADMINS,
    "events.edit": ADMINS,
    "events.test": ADMINS,
    "events.resume": ADMINS,
    "events.remove": ADMINS,
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
    """A route without a row, or a row without a route."""


def of(endpoint: str) -> frozenset[str]:
    """Who may call an endpoint that is not public; an empty set if the table has no row for it."""
    return TABLE.get(endpoint) or TABLE.get(endpoint.partition(".")[0]) or frozenset()


def may(user: User, endpoint: str) -> bool:
    """Whether a signed-in user may call an endpoint that is not public."""
    allowed = of(endpoint)
    return user.role in allowed or (user.is_operator and OPERATOR in allowed)


def check(app: Flask) -> None:
    """Raises IncompleteTable unless every route is either public or in the table, and every row has a route."""
    views = app.view_functions
    public = {name for name, view in views.items() if getattr(view, "is_public", False)} | {"static"}
    guarded = {name for name, view in views.items() if not getattr(view, "takes_key", False)} - public
    faults = [f"{name} is not public and not in the table of roles" for name in sorted(guarded) if not of(name)]
    faults += [f"{name} is public and also in the table of roles" for name in sorted(public) if of(name)]
    known = guarded | {name.partition(".")[0] for name in guarded}
    faults += [f"{row} is in the table of roles but is not a route" for row in TABLE if row not in known]
    if faults:
        raise IncompleteTable("; ".join(faults))
