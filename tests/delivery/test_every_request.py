"""Requests at the receiver against attempts in the database, with connections cut at every stage: equal."""

from pathlib import Path

import pytest

from tests.conftest import AppMaker
from tests.support import on_record
from tests.support.cutting import cutting
from tests.support.factories import point_at
from tests.support.tls import Authority
from webapp.db.transactions import transaction
from webapp.models import Interface
from webapp.services.interfaces import interfaces
from webapp.services.people import users

LEADS = 250


@pytest.mark.parametrize(("encrypted", "at_once"), [(False, 1), (True, 3)], ids=["plain", "TLS, three at a time"])
def test_every_request_that_left_is_an_attempt(
    make_app: AppMaker, tmp_path: Path, encrypted: bool, at_once: int
) -> None:
    authority = Authority(tmp_path)
    with make_app(WEBHOOK_CA_FILE=authority.ca_file).app_context():
        interface = owned_interface()
        with cutting(authority.valid() if encrypted else None) as cutter:
            point_at(interface, cutter.url, automatic_retries=False, parallel_requests=at_once)
            on_record.send(interface, LEADS)
            on_record.check(cutter, LEADS)


def owned_interface() -> Interface:
    with transaction():
        owner = users.create_owner("alice@example.com", "correct horse battery", "Brightwater Solar")
        return interfaces.create(owner.account_id, "Contact sales")
