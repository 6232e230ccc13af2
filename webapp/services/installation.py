"""What belongs to the installation: its operator, and what commands and the first run set up in one go."""

from sqlalchemy import select

from webapp.extensions import db
from webapp.models import Authentication, Interface, User
from webapp.services import api_keys
from webapp.services.interfaces import interfaces


def operator() -> User | None:
    """The first owner; None before there is one."""
    return db.session.scalar(select(User).where(User.is_operator))


def create_interface(
    account_id: int, name: str, *, url: str | None, token_name: str | None, automatic_retries: bool = True
) -> tuple[Interface, str | None]:
    """A new interface, its webhook set, signed with the Shared Token of that name where one is named.

    A token that does not exist is made; its secret is returned that once, else None. Refused as its parts are.
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
    """The public id of the token of that name; its secret if it was made just now."""
    for token in api_keys.shared_tokens(account_id):
        if token.name == name.strip():
            return token.public_id, None
    made, secret = api_keys.create_shared_token(account_id, None, name)
    return made.public_id, secret
