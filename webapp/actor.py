"""Who acts, and from which address: the audit log stores this with every action, and finds it only here."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from flask import g, has_request_context, request
from flask_login import current_user


class Actor(NamedTuple):
    """A user's id and name, or only a name; `address` is the client's IP address, None outside requests."""

    user_id: int | None
    name: str
    address: str | None


LEADHOOK = Actor(None, "Leadhook", None)  # a worker, or the first run
OPERATOR = Actor(None, "Operator, on the command line", None)
NOT_SIGNED_IN = "Somebody not signed in"

_outside: ContextVar[Actor] = ContextVar("leadhook_actor", default=LEADHOOK)


def current() -> Actor:
    """In a request the API Key or the signed-in user, and the client's address (TRUSTED_PROXIES applies); otherwise the
    actor that `acting` set."""
    if not has_request_context():
        return _outside.get()
    address = (request.remote_addr or "")[:64] or None
    if key := g.get("api_key"):
        return Actor(None, f"API Key “{key}”", address)
    if not current_user.is_authenticated:
        return Actor(None, NOT_SIGNED_IN, address)
    return Actor(current_user.id, current_user.label, address)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Makes `actor` the actor of everything in the block that is done outside requests."""
    token = _outside.set(actor)
    try:
        yield
    finally:
        _outside.reset(token)
