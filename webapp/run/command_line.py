"""What all operator commands share. JSON is printed as one line, last on stdout. Refused input exits 1 with one
sentence."""

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import OperationalError, ProgrammingError

from webapp.actor import OPERATOR, acting
from webapp.models import User
from webapp.services import installation
from webapp.services.errors import Refused


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Turns the expected errors into one sentence on stderr and exit code 1."""
    try:
        with acting(OPERATOR):
            yield
    except Refused as refusal:
        raise click.ClickException(str(refusal)) from None
    except (OperationalError, ProgrammingError) as error:
        if "no such table" in str(error.orig) or "does not exist" in str(error.orig):
            raise click.ClickException("The database has no tables yet. Run `flask --app webapp db upgrade`.") from None
        raise click.ClickException(f"The database does not answer: {error.orig}") from None


def operator() -> User:
    """The first owner, in whose account commands work; Refused if there is none."""
    found = installation.operator()
    if found is None:
        raise Refused("There is no owner yet. Create one with `flask --app webapp create-owner`.")
    return found


class RefusingCommand(click.Command):
    """A command that refuses wrong options like other wrong input: exit code 1, one sentence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise click.ClickException(error.format_message()) from None


class RefusingGroup(click.Group):
    """Commands of one kind; refuses the name of one that does not exist in the same way."""

    command_class = RefusingCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.ClickException(error.format_message()) from None


command = functools.partial(click.command, cls=RefusingCommand)


def print_json(answer: Mapping[str, Any]) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False))
