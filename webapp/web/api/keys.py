"""Which key calls: `Authorization: Bearer <API key>`. No cookie counts here, so a forged request gains nothing."""

import re

from flask import g, request
from werkzeug.exceptions import NotFound

from webapp.db.transactions import transaction
from webapp.models import KeyAccess, Scope
from webapp.models.api_key import HEADER
from webapp.services import key_access
from webapp.services.key_access import Caller, NoAccess
from webapp.web.api import rates
from webapp.web.api.problems import Problem
from webapp.web.limits import network

NO_KEY = f"Send your API Key in the header: {HEADER}"
_BEARER = re.compile(r"Bearer +(lh[kp]_[0-9A-Za-z]{43}) *", re.IGNORECASE)


def admit(scope: Scope, of_account: bool = False) -> None:
    """Lets the request's key in, as `caller()`: 401 without a valid key, 429 over its limit, 403 without the scope.

    `of_account`: 403, too, where the key is limited to some interfaces.
    """
    identify()
    check_scope(scope)
    if of_account and caller().interfaces is not None:
        raise Problem(403, "This is about the whole account, and this key is limited to some interfaces.")


def identify() -> None:
    """Finds out whose key it is, but not what it may do: 401 without a valid key, 429 over its limit."""
    g.caller = found = caller_of(request.headers.get("Authorization"))
    g.api_key = found.name  # for the audit log: actor.py
    by_client = (network(),) if found.access == KeyAccess.PUBLIC else ()
    rates.count(found.public_id, *by_client)
    if not found.is_noted:
        with transaction():
            key_access.note_use(found)


def check_scope(scope: Scope) -> None:
    """403 where the key does not have the scope."""
    found = caller()
    if scope not in found.scopes:
        has = ", ".join(found.scopes)
        raise Problem(
            403, f"This needs a key with the scope {scope}. This key has: {has}.", more={"scope": scope.value}
        )


def caller_of(header: str | None, oldest: float = 0.0) -> Caller:
    """Who calls with this header Authorization; 401 where it opens nothing. `oldest` as in key_access.caller_of."""
    if header is None:
        raise _unauthorized(NO_KEY)
    sent = _BEARER.fullmatch(header.strip())
    if sent is None:
        raise _unauthorized(NO_KEY, error="invalid_token")
    try:
        return key_access.caller_of(sent[1], oldest)
    except NoAccess as reason:
        raise _unauthorized(str(reason), error="invalid_token") from None


def _unauthorized(words: str, error: str = "") -> Problem:
    asks = f'Bearer realm="Leadhook", error="{error}"' if error else 'Bearer realm="Leadhook"'
    return Problem(401, words, headers={"WWW-Authenticate": asks})


def caller() -> Caller:
    """The key of this request. Only for operations: `admit` made sure that there is one."""
    found: Caller = g.caller
    return found


def account_id() -> int:
    """The account that every query of this request is limited to."""
    return caller().account_id


def check_reach(interface: str) -> None:
    """404 where the key is limited to other interfaces than the one with this public id, and for what is no id."""
    if "\0" in interface or not caller().reaches(interface):  # PostgreSQL refuses to look for it
        raise NotFound
