"""Every function a worker may run: ids only as arguments, safe to run twice and late."""

from webapp.delivery import lanes, worker
from webapp.services import forgetting, mails, reports


def drain(webhook_id: int) -> None:
    """Sends what is due for one webhook."""
    lanes.drain(webhook_id, stopping=worker.is_stopping)


def send_mail() -> None:
    """Writes the reports that are due, then hands due mail to SMTP."""
    reports.compile_due(stopping=worker.is_stopping)
    mails.deliver_due(stopping=worker.is_stopping)


def forget() -> None:
    """Deletes and anonymises leads, as their interfaces ask."""
    forgetting.forget(stopping=worker.is_stopping)
