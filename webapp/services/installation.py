"""The installation as a whole: its operator, and what commands and the first run create in one step."""

from sqlalchemy import select

from webapp.extensions import db
from webapp.models import Authentication, Interface, User
from webapp.services import api_keys
from webapp.services.interfaces import interfaces


def operator() -> User | None:
    """The first owner. None if there is no owner yet."""
    return db.session.scalar(select(User).where(User.is_operator))


def create_interface(
    account_id: int, name: str, *, url: str | None, token_name: str | None, automatic_retries: bool = True
) -> tuple[Interface, str | None]:
    """Creates an interface with its webhook, signed with the Shared Token of this name if one is given.

    A token that does not exist is created, and its secret is returned this once; otherwise the second value is None.
    Raises Refused for the same reasons as the services it calls.
    """
    interface = interfaces.create(account_id, name)
    token = secret = None
    if token_name is not None:
        token, secret = _token(account_id, token_name)
    interfaces.update_lead_generation(
        interface,
        url=url,
        authentication=Authentication.SHARED_TOKEN if token else Authentication.NONE,
        shared_token=token,
        automatic_retries=automatic_retries,
    )
    return interface, secret


def _token(account_id: int, name: str) -> tuple[str, str | None]:
    """The public id of the token with this name. Also its secret, if the token was created just now."""
    for token in api_keys.shared_tokens(account_id):
        if token.name == name.strip():
            return token.public_id, None
    created, secret = api_keys.create_shared_token(account_id, None, name)
    return created.public_id, secret
