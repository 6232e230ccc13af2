"""The same as tests/delivery/test_every_request.py over 10,000 leads."""

from pathlib import Path

import pytest

from tests.conftest import AppMaker
from tests.delivery.test_every_request import owned_interface
from tests.support import on_record
from tests.support.cutting import cutting
from tests.support.factories import point_at
from tests.support.tls import Authority

LEADS = 2500


@pytest.mark.timeout(600)
@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_every_request_of_10_000_leads_is_an_attempt(
    make_app: AppMaker, tmp_path: Path, encrypted: bool, at_once: int
) -> None:
    authority = Authority(tmp_path)
    with make_app(WEBHOOK_CA_FILE=authority.ca_file).app_context():
        interface = owned_interface()
        with cutting(authority.valid() if encrypted else None, seed=at_once, every=0.25) as cutter:
            point_at(interface, cutter.url, automatic_retries=False, parallel_requests=at_once)
            on_record.send(interface, LEADS)
            on_record.check(cutter, LEADS)
