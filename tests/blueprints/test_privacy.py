"""The Privacy tab, and which data a submission then stores."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from tests.support.factories import ADA, point_at, submit
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Delivery, Interface, IpAddresses, Lead

VISITOR = {"REMOTE_ADDR": "203.0.113.7"}


def tab(interface: Interface) -> str:
    return f"/interfaces/{interface.public_id}/edit/privacy"


def kept(interface: Interface) -> tuple[IpAddresses, int | None, bool]:
    db.session.rollback()
    found = db.session.get_one(Interface, interface.id, populate_existing=True)
    return found.ip_addresses, found.retention_days, found.anonymises


def test_settings_are_saved_and_audited(signed_in: FlaskClient, interface: Interface) -> None:
    assert kept(interface) == (IpAddresses.WHOLE, None, False)
    page = signed_in.get(tab(interface)).text
    assert "Keep its network" in page
    sent = {"ip_addresses": "cut", "retention_days": " 90 ", "anonymises": "y"}
    answer = signed_in.post(tab(interface), data=sent)
    assert (answer.status_code, answer.location) == (303, tab(interface))
    assert kept(interface) == (IpAddresses.CUT, 90, True)
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert entry.detail == "Privacy: addresses cut, kept 90 days, anonymised"
    assert 'value="90"' in signed_in.get(tab(interface)).text
    signed_in.post(tab(interface), data={"ip_addresses": "none", "retention_days": ""})
    assert kept(interface) == (IpAddresses.NONE, None, False)


@pytest.mark.parametrize("days", ["0", "-1", "3651", "99999999", "1.5", "ten", "٣"])
def test_an_invalid_number_of_days_is_refused_with_a_sentence(
    signed_in: FlaskClient, interface: Interface, days: str
) -> None:
    answer = signed_in.post(tab(interface), data={"ip_addresses": "whole", "retention_days": days})
    assert answer.status_code == 422
    assert "whole number of days, from 1 to 3,650" in answer.text
    assert kept(interface)[1] is None


def test_an_unknown_choice_is_refused(signed_in: FlaskClient, interface: Interface) -> None:
    answer = signed_in.post(tab(interface), data={"ip_addresses": "all of it"})
    assert (answer.status_code, "Choose one of these." in answer.text) == (422, True)


def test_a_setting_that_deletes_leads_at_once_must_be_confirmed(signed_in: FlaskClient, interface: Interface) -> None:
    for _ in range(2):
        submit(interface)
    with transaction():
        db.session.execute(update(Lead).values(received_at=utcnow() - timedelta(days=31)))
    sent = {"ip_addresses": "whole", "retention_days": "30"}
    asked = signed_in.post(tab(interface), data=sent)
    assert asked.status_code == 422
    assert "2 leads are older than 30 days" in asked.text
    assert "Save and delete 2 leads" in asked.text
    assert kept(interface)[1] is None
    other = signed_in.post(tab(interface), data={**sent, "retention_days": "20", "confirmed": "30"})
    assert "2 leads are older than 20 days" in other.text
    assert kept(interface)[1] is None
    assert signed_in.post(tab(interface), data={**sent, "confirmed": "30"}).status_code == 303
    assert kept(interface)[1] == 30
    assert signed_in.post(tab(interface), data=sent).status_code == 303  # saving the same again needs no confirmation


@pytest.mark.parametrize(
    ("how", "ip"), [(IpAddresses.WHOLE, "203.0.113.7"), (IpAddresses.CUT, "203.0.113.0"), (IpAddresses.NONE, None)]
)
def test_a_submission_stores_only_the_allowed_part_of_its_address(
    client: FlaskClient, interface: Interface, how: IpAddresses, ip: str | None
) -> None:
    point_at(interface, "https://hooks.example.com/leads")
    with transaction():
        interface.ip_addresses = how
    answer = client.post(f"/f/{interface.public_id}", data=ADA, environ_base=VISITOR)
    assert answer.status_code == 303
    lead = db.session.scalars(select(Lead)).one()
    assert lead.source["ip"] == ip
    payload = db.session.scalars(select(Delivery.payload)).one()
    assert (b"203.0.113.7" in payload) == (how == IpAddresses.WHOLE)


def test_another_account_finds_nothing(stranger: FlaskClient, interface: Interface) -> None:
    assert stranger.get(tab(interface)).status_code == 404
    assert stranger.post(tab(interface), data={"ip_addresses": "none"}).status_code == 404
    assert kept(interface)[0] == IpAddresses.WHOLE
