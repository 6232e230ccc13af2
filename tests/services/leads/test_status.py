"""A lead's status is one and the same in its row, the filters, the counts and the export."""

import csv
import io
from collections.abc import Iterator
from itertools import product

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from tests.support.factories import point_at, submit
from webapp.clock import now_sql
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lead, Status
from webapp.models.status import delivery_rules
from webapp.services.leads import lead_counts, lead_export, lead_list
from webapp.services.leads.lead_list import Filter

# Every combination that a delivery can have; only a cancelled one is never clicked.
KINDS = [
    (state, tries, clicked)
    for state, tries, clicked in product(DeliveryState, (0, 1, 8), (False, True))
    if not (clicked and state == DeliveryState.CANCELLED)
]


def exported(interface: Interface, status: Status | None = None) -> Iterator[tuple[str, str]]:
    """The leads of the CSV: id and Webhook Status."""
    text = "".join(lead_export.lines(Filter(interface.account_id, status))).removeprefix(lead_export.BOM)
    for row in csv.DictReader(io.StringIO(text)):
        yield row["Lead"], row["Webhook Status"]


@pytest.mark.parametrize(("state", "tries", "clicked"), KINDS)
def test_one_rule_applies(state: DeliveryState, tries: int, clicked: bool) -> None:
    assert sum(delivery_rules(clicked, not clicked, state, tries).values()) == 1


def test_row_filter_count_and_export_agree_on_every_delivery(interface: Interface) -> None:
    point_at(interface, "https://crm.example/hook")
    for state, tries, clicked in KINDS:
        lead = submit(interface)
        with transaction():
            changed = update(Delivery).where(Delivery.lead_id == lead.id)
            retry_at = now_sql() if clicked else None
            db.session.execute(changed.values(state=state, tries=tries, retry_at=retry_at))
    point_at(interface, "")
    submit(interface)  # no webhook
    spam = submit(interface)
    with transaction():
        db.session.execute(update(Lead).where(Lead.id == spam.id).values(spam="honeypot", no_webhook=False))
    db.session.expire_all()
    rows = {lead.public_id: lead.status for lead in db.session.query(Lead)}
    assert set(rows.values()) == set(Status)
    counts = lead_counts.counts(Filter(interface.account_id))
    for status in Status:
        wanted = {public_id for public_id, its in rows.items() if its == status}
        listed = lead_list.page(Filter(interface.account_id, status), size=100).rows
        assert {lead.public_id for lead in listed} == wanted, status
        assert counts[status].least == len(wanted), status
        assert dict(exported(interface, status)) == dict.fromkeys(wanted, status.value)
    assert dict(exported(interface)) == {key: its.value for key, its in rows.items() if its != Status.SPAM}


def test_a_failed_lead_that_was_just_clicked_is_queued_everywhere(signed_in: FlaskClient, interface: Interface) -> None:
    point_at(interface, "https://crm.example/hook")
    lead = submit(interface)
    with transaction():
        db.session.execute(update(Delivery).values(state=DeliveryState.FAILED, tries=8))
    signed_in.post(f"/leads/{lead.public_id}/retry")
    assert "Queued" in signed_in.get(f"/leads/{lead.public_id}/row", headers={"HX-Request": "true"}).text
    assert lead.public_id in signed_in.get("/leads?status=queued").text
    assert lead.public_id not in signed_in.get("/leads?status=failed").text
    assert dict(exported(interface)) == {lead.public_id: "Queued"}
    numbers = lead_counts.counts(Filter(interface.account_id))
    assert (numbers[Status.QUEUED].least, numbers[Status.FAILED].least) == (1, 0)
