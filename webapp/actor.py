"""Who acts, and from where: what the audit log writes beside every deed. Here alone it is looked up."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from flask import has_request_context, request
from flask_login import current_user


class Actor(NamedTuple):
    """A user by id and name, or a name alone; `address` is the client's, None outside of requests."""

    user_id: int | None
    name: str
    address: str | None


LEADHOOK = Actor(None, "Leadhook", None)  # a worker, or the first run
OPERATOR = Actor(None, "Operator, on the command line", None)
SOMEBODY = "Somebody not signed in"

_outside: ContextVar[Actor] = ContextVar("leadhook_actor", default=LEADHOOK)


def current() -> Actor:
    """In a request whoever is signed in, by the address that TRUSTED_PROXIES lets through; else whom `acting` named."""
    if not has_request_context():
        return _outside.get()
    address = (request.remote_addr or "")[:64] or None
    if not current_user.is_authenticated:
        return Actor(None, SOMEBODY, address)
    return Actor(current_user.id, current_user.label, address)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Within the block, what is done outside of requests is done by `actor`."""
    token = _outside.set(actor)
    try:
        yield
    finally:
        _outside.reset(token)
