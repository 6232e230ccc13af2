"""The previous version serves, from its own code, while `db upgrade` of this one runs: no lead is lost or left out."""

import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from tests.support.site import ROOT, Site
from tests.support.waiting import wait_until
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface, Lead, User
from webapp.services.interfaces import interfaces
from webapp.services.leads import forgetting

VERSIONS = ("0008_files.py", "0011_hops.py")  # the newest migrations of versions before this one
SOME = 200  # leads, before the upgrade and after it


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False).stdout


@pytest.fixture(params=VERSIONS)
def newest(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def previous(tmp_path: Path, newest: str) -> Path:
    """The code of a previous version: where its newest migration was merged."""
    versions = "webapp/migrations/versions"
    commit = git("log", "-1", "--format=%H", "--", f"{versions}/{newest}").decode().strip()
    listed = git("ls-tree", "--name-only", commit, f"{versions}/").decode().split() if commit else [""]
    if listed[-1] != f"{versions}/{newest}":
        pytest.skip("the previous version is in the history of git, which is not here")
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as packed:
        packed.extractall(tmp_path / "previous", filter="data")
    return tmp_path / "previous"


@pytest.fixture
def forms(owner: User, interface: Interface, receiver: Receiver) -> list[str]:
    """The ids of a form with a webhook and of one without."""
    point_at(interface, receiver.url)
    with transaction():
        return [interface.public_id, interfaces.create(owner.account_id, "Newsletter").public_id]


@pytest.fixture
def site(app: Flask, previous: Path, newest: str, forms: list[str]) -> Iterator[Site]:
    """Web and workers of the previous version, on a database as it knows it."""
    db.session.remove()
    downgrade(revision=newest[:4])
    site = Site({**app.config["ENVIRON"], "FORM_RATE_LIMIT": ""}, code=previous)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def post(site: Site, form: str, email: str) -> int:
    body = urlencode({**ADA, "email": email}).encode()
    request = Request(f"{site.url}/f/{form}", body, {"Accept": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


@pytest.mark.timeout(300)
def test_every_lead_that_the_previous_version_takes_during_an_upgrade_is_delivered_or_marked(
    site: Site, forms: list[str], receiver: Receiver
) -> None:
    stop = threading.Event()
    codes: list[int] = []

    def visit(visitor: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            codes.append(post(site, forms[number % 2], f"v{visitor}.{number}@example.com"))

    visitors = [threading.Thread(target=visit, args=(each,)) for each in range(4)]
    for visitor in visitors:
        visitor.start()
    try:
        wait_until(lambda: len(codes) > SOME, "leads before the upgrade", timeout=60)
        upgrade()
        during = len(codes)
        wait_until(lambda: len(codes) > during + SOME, "leads after the upgrade", timeout=60)
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join(60)
    assert set(codes) == {201}
    wait_until(lambda: count(Delivery.state != DeliveryState.DELIVERED) == 0, "all deliveries", timeout=60)
    site.stop()
    forgetting.forget()
    assert count() == len(codes) == len(set(db.session.scalars(select(Lead.email))))
    for lead in db.session.scalars(select(Lead).options(selectinload(Lead.deliveries))):
        assert lead.no_webhook == (lead.delivery is None)
    assert len(receiver.requests) == count(Lead.no_webhook.is_(False))


def count(*conditions: Any) -> int:
    found = db.session.scalar(select(func.count()).select_from(Lead).outerjoin(Lead.deliveries).where(*conditions))
    db.session.rollback()
    return found or 0
