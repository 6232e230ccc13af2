"""Operator commands. Those that print JSON print one line of it, last on stdout; refused input exits 1, a sentence."""

import functools
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click
from flask import Flask
from flask.cli import with_appcontext
from sqlalchemy.exc import OperationalError, ProgrammingError

from webapp.actor import OPERATOR, acting
from webapp.db.transactions import transaction
from webapp.models import KeyAccess, User
from webapp.services import api_keys, installation
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces, webhooks
from webapp.services.people import password_resets, users


def init_app(app: Flask) -> None:
    """Adds the commands to `flask --app webapp`."""
    for command in (create_owner, create_interface, create_api_key, reset_password, rotate_encryption, receive):
        app.cli.add_command(command)


@contextmanager
def _plainly() -> Iterator[None]:
    """Turns what may go wrong into a sentence on stderr and exit code 1."""
    try:
        with acting(OPERATOR):
            yield
    except Refused as refusal:
        raise click.ClickException(str(refusal)) from None
    except (OperationalError, ProgrammingError) as error:
        if "no such table" in str(error.orig) or "does not exist" in str(error.orig):
            raise click.ClickException("The database has no tables yet: run `flask --app webapp db upgrade`.") from None
        raise click.ClickException(f"The database does not answer: {error.orig}") from None


def _operator() -> User:
    operator = installation.operator()
    if operator is None:
        raise Refused("There is no owner yet: make one with `flask --app webapp create-owner`.")
    return operator


class _Command(click.Command):
    """A command whose wrong options are refused as wrong input is: exit code 1, one sentence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise click.ClickException(error.format_message()) from None


_command = functools.partial(click.command, cls=_Command)


@_command("create-owner")
@click.option("--email", required=True, help="Who signs in.")
@click.option("--password", help="By default a random one, printed.")
@click.option("--account", help="The account's name; by default what follows the @.")
@with_appcontext
def create_owner(email: str, password: str | None, account: str | None) -> None:
    """Makes an account and its owner; the first is the operator, too."""
    given = password
    password = password or secrets.token_urlsafe(12)
    with _plainly(), transaction():
        owner = users.create_owner(email, password, account or email.partition("@")[2])
        answer = {"id": owner.id, "email": owner.email, "account": owner.account.name, "operator": owner.is_operator}
    _print({**answer, "password": None if given else password})


@_command("create-interface")
@click.option("--name", required=True, help="What it is called on the Interfaces page.")
@click.option("--webhook-url", help="Where its leads are pushed.")
@click.option("--shared-token", help="The name of the Shared Token that signs; made if there is none.")
@click.option("--no-retries", is_flag=True, help="Try each lead once, not for days.")
@with_appcontext
def create_interface(name: str, webhook_url: str | None, shared_token: str | None, no_retries: bool) -> None:
    """Makes an interface in the operator's account."""
    with _plainly():
        warning = webhooks.vet(webhook_url)
        with transaction():
            interface, secret = installation.create_interface(
                _operator().account_id, name, url=webhook_url, token_name=shared_token, automatic_retries=not no_retries
            )
            answer = {"id": interface.public_id, "form_url": interfaces.form_url(interface), "shared_token": secret}
    if warning:
        click.echo(warning, err=True)
    _print(answer)


@_command("create-api-key")
@click.option("--name", required=True, help="What it is called on the API Keys page.")
@click.option("--public", is_flag=True, help="For browsers: it may only submit leads.")
@with_appcontext
def create_api_key(name: str, public: bool) -> None:
    """Makes an API Key in the operator's account and prints it this once."""
    access = KeyAccess.PUBLIC if public else KeyAccess.PRIVATE
    with _plainly(), transaction():
        key, secret = api_keys.create_api_key(_operator().account_id, None, name, access)
        answer = {"id": key.public_id, "name": key.name, "key": secret}
    _print(answer)


@_command("reset-password")
@click.option("--email", required=True, help="Whose password.")
@click.option("--password", help="The new one; by default a link to choose one is printed.")
@with_appcontext
def reset_password(email: str, password: str | None) -> None:
    """For who cannot sign in and cannot be mailed: prints a link of one hour, or sets a password."""
    with _plainly(), transaction():
        if password is None:
            answer = password_resets.link(email)
        else:
            answer = {"email": users.set_password(email, password).email, "link": None, "expires_at": None}
    _print(answer)


@_command("rotate-encryption")
@with_appcontext
def rotate_encryption() -> None:
    """Encrypts every secret with the newest of ENCRYPTION_KEYS, so that the older ones can be dropped."""
    with _plainly(), transaction():
        answer = api_keys.reencrypt_all()
    _print(answer)


@_command("receive")
@click.option("--port", default=9000, type=click.IntRange(1, 65535), show_default=True)
@click.option("--shared-token", help="Verify with the token of this name only; by default with any that exists.")
@click.option(
    "--status", default=200, type=click.IntRange(200, 599), show_default=True, help="The code to answer with."
)
@click.option("--delay", default=0.0, type=click.FloatRange(0, 3600), help="Seconds to wait before answering.")
@with_appcontext
def receive(port: int, shared_token: str | None, status: int, delay: float) -> None:
    """A receiver to try webhooks with: prints and verifies what arrives."""
    from webapp.run import receiver

    with _plainly():
        receiver.run(port, shared_token, status, delay)


def _print(answer: Mapping[str, object]) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False))
