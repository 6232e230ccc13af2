"""The mail about a client certificate that ends soon: once for each certificate, to the account's owner."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from tests.support.factories import point_at
from webapp import jobs
from webapp.clock import utcnow
from webapp.db.transactions import read_autocommit, transaction
from webapp.delivery import sweep
from webapp.extensions import db
from webapp.models import Authentication, Interface, Mail, Webhook, WebhookState
from webapp.services.webhooks import connections
from webapp.services.webhooks.connections import Settled


def ends_in(interface: Interface, left: timedelta, **columns: object) -> None:
    point_at(interface, "https://crm.example.com/leads?key=a-secret", certificate_until=utcnow() + left, **columns)


def told() -> list[Mail]:
    """What the job wrote; it is rung only if there is something for it to do."""
    before = written()
    with read_autocommit() as connection:
        is_rung = sweep._may_forget(connection)
    jobs.forget()
    assert (len(written()) > len(before)) == is_rung
    return written()


def written() -> list[Mail]:
    db.session.rollback()
    found = list(db.session.scalars(select(Mail).where(Mail.kind == "certificate_ends").order_by(Mail.id)))
    db.session.rollback()
    return found


def test_the_owner_is_told_once_thirty_days_before(interface: Interface) -> None:
    ends_in(interface, timedelta(days=30, hours=1))
    assert told() == []
    ends_in(interface, timedelta(days=29, hours=1))
    [mail] = told()
    assert mail.recipients == ["alice@example.com"]
    assert mail.subject == "Client certificate ends soon: Contact sales"
    for body in (mail.body_text, mail.body_html):
        assert "The client certificate ends in 29 days, on" in " ".join(body.split())
        assert "a-secret" not in body
    assert [each.id for each in told()] == [mail.id]


def test_one_that_has_ended_is_told_too(interface: Interface) -> None:
    ends_in(interface, timedelta(days=-1))
    [mail] = told()
    assert mail.subject == "Client certificate ended: Contact sales"


def test_another_certificate_is_another_warning(interface: Interface) -> None:
    def give(until: datetime) -> None:
        with transaction():
            webhook = db.session.get_one(Webhook, interface.webhook.id)
            connections.apply(webhook, Settled(Authentication.NONE, {}, {"certificate": "PEM"}, until))

    soon = utcnow() + timedelta(days=5)
    point_at(interface, "https://crm.example.com/")
    give(soon)
    assert len(told()) == 1
    give(soon)  # saved again, with the same certificate
    assert len(told()) == 1
    give(soon + timedelta(days=1))
    assert len(told()) == 2


@pytest.mark.parametrize("case", ["shadow", "removed", "archived", "none"])
def test_no_mail_is_written_about_what_sends_nothing_that_counts(interface: Interface, case: str) -> None:
    ends_in(interface, timedelta(days=3))
    with transaction():
        webhook = db.session.get_one(Webhook, interface.webhook.id)
        if case == "shadow":
            webhook.is_shadow = True
        elif case == "removed":
            webhook.removed_at = utcnow()
        elif case == "archived":
            webhook.state = WebhookState.ARCHIVED
        else:
            webhook.certificate_until = None
    assert told() == []
