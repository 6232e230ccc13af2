"""`flask leads`: the leads of the operator's account from a shell."""

from collections.abc import Iterable, Sequence

import click
from flask.cli import with_appcontext

from webapp.db.transactions import transaction
from webapp.run.command_line import RefusingGroup, errors_as_sentences, operator, print_json
from webapp.services.errors import Refused
from webapp.services.leads import from_shell

INTERFACE = click.option("--interface", default="", help="Only leads of the interface with this id: if_…")
SINCE = click.option("--since", type=click.Choice(from_shell.RECEIVED), default=None, help="Only leads that new.")


@click.group(cls=RefusingGroup)
def leads() -> None:
    """Lists leads, and sends them again."""


@leads.command("list")
@INTERFACE
@click.option("--status", type=click.Choice(from_shell.STATUSES), help="Only leads with this Webhook Status.")
@SINCE
@click.option("--limit", default=25, type=click.IntRange(1, 1000), show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@with_appcontext
def list_leads(interface: str, status: str | None, since: str | None, limit: int, as_json: bool) -> None:
    """The newest leads: id, time in UTC, interface, status with the last codes, name and address."""
    with errors_as_sentences():
        wanted = from_shell.chosen(operator().account_id, status or "", interface, since or "")
        found = from_shell.listed(wanted, limit)
    if as_json:
        print_json({"data": found})
    elif found:
        click.echo("\n".join(map(from_shell.line, found)))


@leads.command("retry")
@click.argument("public_ids", metavar="[LEAD]...", nargs=-1)
@click.option("--webhook", "webhooks", multiple=True, help="Only to the webhook with this id. Repeatable.")
@click.option("--status", type=click.Choice(from_shell.RETRIED), help="Instead of ids: all leads with this status.")
@INTERFACE
@SINCE
@with_appcontext
def retry_leads(
    public_ids: Sequence[str], webhooks: Sequence[str], status: str | None, interface: str, since: str | None
) -> None:
    """Sends leads again: the same bytes and webhook-id, to the webhooks that did not take them.

    Prints how many are queued now, how many are left, and why the first of these is. Exit code 1 if none is queued of
    those that were named.
    """
    with errors_as_sentences():
        if bool(public_ids) == bool(status):
            raise Refused("Name the leads by their ids, or choose them with --status, one of the two.")
        if public_ids and (interface or since):
            raise Refused("--interface and --since go with --status.")
        account_id = operator().account_id
        named = [list(dict.fromkeys(public_ids))]
        wanted = from_shell.chosen(account_id, status, interface, since or "") if status else None
        queued, left, why = _retry(account_id, from_shell.batches(wanted) if wanted else named, webhooks)
        if public_ids and not queued:
            raise Refused(why or "They are being sent right now.")
    print_json({"queued": queued, "left": left, "why": why or None})


def _retry(account_id: int, batches: Iterable[Sequence[str]], webhooks: Sequence[str]) -> tuple[int, int, str]:
    queued, left, why = 0, 0, ""
    for ids in batches:
        with transaction():
            done = from_shell.retry(account_id, ids, webhooks)
        queued, left, why = queued + done.queued, left + done.left, why or done.why
    return queued, left, why
