"""Operator commands. JSON is printed as one line, last on stdout. Refused input exits 1 with one sentence."""

import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from webapp.config import current_config
from webapp.db.transactions import transaction
from webapp.models import KeyAccess, Scope
from webapp.models.api_key import ACCESS_WORDS, ENDS, LIMITED, SCOPE_WORDS
from webapp.run import leads_commands
from webapp.run.command_line import command as _command
from webapp.run.command_line import errors_as_sentences as _errors_as_sentences
from webapp.run.command_line import operator as _operator
from webapp.run.command_line import print_json as _print
from webapp.services import api_keys, installation
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.key_access import Grant
from webapp.services.people import password_resets, users
from webapp.services.signs import checks
from webapp.services.webhooks import from_shell, webhooks
from webapp.web.sign_in_limits import sign_in_limits
from webapp.webhooks.formats.choices import FORMATS

SCOPES = click.Choice([scope.value for scope in Scope])
ALLOWS = "; ".join(f"{scope.capitalize()}: {words}" for scope, words in SCOPE_WORDS.items())
KEYS = sorted(ACCESS_WORDS.items(), reverse=True)  # what the option gives, then what is without it


def init_app(app: Flask) -> None:
    """Adds the commands to `flask --app webapp`."""
    for command in (create_owner, create_interface, create_webhook, create_api_key, reset_password):
        app.cli.add_command(command)
    for command in (rotate_encryption, receive, doctor, seed_leads, leads_commands.leads):
        app.cli.add_command(command)


FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@_command("create-owner")
@click.option("--email", required=True, help="The owner's address, to sign in with.")
@click.option("--password", help="Default: a random one, printed.")
@click.option("--account", help="The account's name. Default: the part after the @.")
@with_appcontext
def create_owner(email: str, password: str | None, account: str | None) -> None:
    """Creates an account and its owner. The first owner is also the operator."""
    given = password
    password = password or secrets.token_urlsafe(12)
    with _errors_as_sentences(), transaction():
        owner = users.create_owner(email, password, account or email.partition("@")[2])
        answer = {"id": owner.id, "email": owner.email, "account": owner.account.name, "operator": owner.is_operator}
    _print({**answer, "password": None if given else password})


@_command("create-interface")
@click.option("--name", required=True, help="Its name on the Interfaces page.")
@click.option("--webhook-url", help="The URL its leads are sent to.")
@click.option("--shared-token", help="The name of the Shared Token that signs; created if it does not exist.")
@click.option("--no-retries", is_flag=True, help="Send each lead only once, without retries.")
@with_appcontext
def create_interface(name: str, webhook_url: str | None, shared_token: str | None, no_retries: bool) -> None:
    """Creates an interface in the operator's account."""
    with _errors_as_sentences():
        warning = webhooks.check_reachable(webhook_url)
        with transaction():
            interface, secret = installation.create_interface(
                _operator().account_id, name, url=webhook_url, token_name=shared_token, automatic_retries=not no_retries
            )
            answer = {"id": interface.public_id, "form_url": interfaces.form_url(interface), "shared_token": secret}
    if warning:
        click.echo(warning, err=True)
    _print(answer)


@_command("create-webhook")
@click.option("--interface", "interface_id", required=True, help="The id of its interface: if_…")
@click.option("--url", required=True, help="The URL leads are sent to.")
@click.option("--name", default="", help="Its name in lists and mails.")
@click.option("--auth", type=click.Choice(from_shell.AUTHENTICATIONS), help="How it proves who sends.")
@click.option("--preset", default="", help="The settings of a service, such as slack, or github with --auth signature.")
@click.option("--secret-file", type=FILE, help="Holds the secret, or a JSON object of the authentication's settings.")
@click.option("--client-cert-file", type=FILE, help="A client certificate with its key: PEM, or PFX.")
@click.option("--format", "format_", type=click.Choice(tuple(FORMATS)), help="The payload format.")
@click.option("--template-file", type=FILE, help="A template of the payload.")
@click.option("--condition", default="", help="Which leads it gets: 'country is DE and newsletter is yes'.")
@with_appcontext
def create_webhook(
    interface_id: str,
    url: str,
    secret_file: Path | None,
    client_cert_file: Path | None,
    template_file: Path | None,
    format_: str | None,
    auth: str | None,
    **typed: Any,
) -> None:
    """Adds a webhook to an interface of the operator's account. A secret that Leadhook makes is printed, this once."""
    with _errors_as_sentences():
        options = from_shell.Options(
            url,
            **typed,
            auth=auth or "",
            format=format_ or "",
            secret=_text_of(secret_file),
            template=_text_of(template_file),
            certificate=client_cert_file.read_bytes() if client_cert_file else None,
        )
        warning = webhooks.check_reachable(url)
        with transaction():
            webhook, made = installation.create_webhook(_operator().account_id, interface_id, options)
            answer = {"id": webhook.public_id, "interface": interface_id, "url": webhook.url}
    if warning:
        click.echo(warning, err=True)
    _print({**answer, "secret": made} if made else answer)


def _text_of(file: Path | None) -> str:
    try:
        return file.read_text(encoding="utf-8-sig") if file else ""
    except UnicodeDecodeError:
        raise Refused("The file is not text in UTF-8.") from None


@_command("create-api-key")
@click.option("--name", required=True, help="Its name on the API Keys page.")
@click.option("--public", is_flag=True, help=" ".join(f"{each.capitalize()}: {says}." for each, says in KEYS))
@click.option("--scope", "scopes", multiple=True, type=SCOPES, help=f"{ALLOWS}. Default: all. Repeatable.")
@click.option("--expires-in-days", "days", type=int, help=f"{ENDS} Default: never.")
@click.option("--interface", "only", multiple=True, help=f"The id of one. {LIMITED} Default: all. Repeatable.")
@with_appcontext
def create_api_key(name: str, public: bool, scopes: Sequence[str], days: int | None, only: Sequence[str]) -> None:
    """Creates an API Key in the operator's account and prints it, only this once. /docs/api explains what it opens."""
    access = KeyAccess.PUBLIC if public else KeyAccess.PRIVATE
    lasts = None if days is None else timedelta(days=min(max(days, 0), 10**6))
    grant = Grant([Scope(each) for each in scopes] or None, lasts, only or None)
    with _errors_as_sentences(), transaction():
        key, secret = api_keys.create_api_key(_operator().account_id, None, name, access, grant)
        answer = {"id": key.public_id, "name": key.name, "key": secret}
    _print(answer)


@_command("reset-password")
@click.option("--email", required=True, help="The user's address.")
@click.option("--password", help="The new password. Default: prints a link to choose one.")
@with_appcontext
def reset_password(email: str, password: str | None) -> None:
    """For a user who cannot sign in and cannot get mail: prints a link valid for one hour, or sets a password."""
    with _errors_as_sentences(), transaction():
        if password is None:
            answer = password_resets.create_link(email)
        else:
            answer = {"email": users.set_password(email, password).email, "link": None, "expires_at": None}
    if password is not None:
        sign_in_limits.forget_account(email)
    _print(answer)


@_command("rotate-encryption")
@with_appcontext
def rotate_encryption() -> None:
    """Encrypts every secret with the newest of ENCRYPTION_KEYS, so that you can remove the older ones."""
    with _errors_as_sentences(), transaction():
        answer = api_keys.reencrypt_all()
    _print(answer)
    if answer["unreadable"]:
        raise click.ClickException(
            f"{answer['unreadable']} of {answer['secrets']} secrets cannot be read: ENCRYPTION_KEYS lacks their key. "
            "Add the old key after the new one, then run this again."
        )


@_command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Checks the installation. Says what is wrong, why, and what to do. Exit code 1 if something is to be mended."""
    found = checks.all_checks()
    if as_json:
        _print(checks.as_json(found))
    else:
        click.echo("\n".join(checks.as_lines(found)))
    if any(check.ok is False for check in found):
        raise click.exceptions.Exit(1)


@_command("seed-leads")
@click.option("--count", required=True, type=click.IntRange(1, 10_000_000), help="How many leads.")
@click.option("--interfaces", "number", default=20, type=click.IntRange(1, 1000), show_default=True)
@click.option("--failed", default=0.02, type=click.FloatRange(0, 0.9), show_default=True, help="Share that failed.")
@with_appcontext
def seed_leads(count: int, number: int, failed: float) -> None:
    """Fills a database that has no leads with made-up ones, for measuring: with deliveries, attempts and mails."""
    from webapp.services.leads import seeding

    with _errors_as_sentences():
        with transaction():
            seed = seeding.begin(_operator(), count, number, failed)
        for first in range(0, count, seeding.BATCH):
            with transaction():
                seeding.store(seed, range(first, min(first + seeding.BATCH, count)))
    _print({"leads": count, "interfaces": number, "account": seed.operator[0]})


@_command("receive")
@click.option("--port", default=9000, type=click.IntRange(1, 65535), show_default=True)
@click.option("--shared-token", help="Verify only with the token of this name. Default: with every token.")
@click.option(
    "--status", default=200, type=click.IntRange(200, 599), show_default=True, help="The code to answer with."
)
@click.option("--delay", default=0.0, type=click.FloatRange(0, 3600), help="Seconds to wait before answering.")
@click.option("--forward", help="Follow a feed instead, and post what comes to this address.")
@click.option("--from", "source", help="With --forward: the Leadhook to follow. Default: PUBLIC_URL.")
@click.option("--key-file", type=FILE, help="With --forward: holds the API Key. Default: LEADHOOK_API_KEY.")
@click.option("--webhook", help="With --forward: the id of the webhook, where the key reaches several.")
@click.option("--after", help="With --forward: the cursor to go on after. Default: what comes from now on.")
@with_appcontext
def receive(port: int, shared_token: str | None, status: int, delay: float, **following: Any) -> None:
    """A receiver to test webhooks with: prints and verifies what arrives, or forwards it."""
    from webapp.run import forwarding, receiver

    url, source, key_file = following["forward"], following["source"], following["key_file"]
    with _errors_as_sentences():
        if url is None:
            receiver.run(port, shared_token, status, delay)
        else:
            key = _text_of(key_file) or os.environ.get("LEADHOOK_API_KEY", "")
            forwarding.run(
                url, source or current_config.public_url, key.strip(), following["webhook"], following["after"]
            )
