"""All functions that a worker may run. Arguments are ids only; each is safe to run twice and late."""

from webapp.db.transactions import end_transaction, read_only, transaction
from webapp.delivery import examining, lanes, serving, threaded_worker
from webapp.services.leads import examining as examined_leads
from webapp.services.leads import forgetting
from webapp.services.mail import mails
from webapp.services.reports import reports
from webapp.services.webhooks import certificate_warnings


def drain(webhook_id: int) -> None:
    """Sends what is due for one webhook."""
    lanes.drain(webhook_id, stopping=threaded_worker.is_stopping, returns=True)


def serve() -> None:
    """Serves all lanes that captures rang, for some seconds."""
    serving.serve(stopping=threaded_worker.is_stopping)


def send_mail() -> None:
    """Writes the reports that are due, then sends the due mails to the SMTP server."""
    reports.compile_due(stopping=threaded_worker.is_stopping)
    mails.deliver_due(stopping=threaded_worker.is_stopping)


def forget() -> None:
    """Deletes and anonymises leads, according to their interfaces' privacy settings. Before that, tells owners of
    client certificates that end soon: this job runs once a minute if there is something for it to do."""
    with transaction():
        certificate_warnings.write_due()
    forgetting.forget(stopping=threaded_worker.is_stopping)


def examine(webhook_id: int) -> None:
    """Sends the eight test leads that show whether a receiver verifies signatures."""
    with read_only():
        letters = examined_leads.letters_of(webhook_id)
        end_transaction()
    if letters:
        examining.examine(webhook_id, letters)
