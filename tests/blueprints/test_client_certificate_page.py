"""A webhook's client certificate on its page: pasted or uploaded, its end shown, a warning before, a sentence for each
fault."""

from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.counterparts import issued, openssl, self_made_authority
from tests.support.webhook_pages import add, error_at, path, save
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Webhook


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Certificate and key."""
    return issued(tmp_path, "leadhook", self_made_authority(tmp_path, "authority"))


def ending(webhook: Webhook, left: timedelta) -> None:
    with transaction():
        db.session.get_one(Webhook, webhook.id).certificate_until = utcnow() + left
    db.session.expire_all()


def test_a_certificate_is_pasted_its_end_is_shown_and_people_are_warned(
    signed_in: FlaskClient, interface: Interface, files: tuple[Path, Path]
) -> None:
    webhook = add(interface)
    pasted = files[1].read_text() + files[0].read_text()
    assert save(signed_in, webhook, certificate=pasted).status_code == 303
    page = signed_in.get(path(webhook)).text
    assert "leadhook" in page
    assert "The client certificate ends in 19 days, on " in page
    assert "PRIVATE KEY" not in page
    assert "MII" not in page
    ending(webhook, timedelta(days=31))
    assert "The client certificate ends" not in signed_in.get(path(webhook)).text
    ending(webhook, timedelta(days=-1))
    assert "The client certificate ended on " in signed_in.get(path(webhook)).text


def test_a_pfx_file_is_uploaded_with_its_pass_phrase(
    signed_in: FlaskClient, interface: Interface, files: tuple[Path, Path], tmp_path: Path
) -> None:
    webhook, file = add(interface), tmp_path / "leadhook.pfx"
    openssl("pkcs12", "-export", "-in", files[0], "-inkey", files[1], "-passout", "pass:open", "-out", file)

    def upload(passphrase: str) -> Any:
        return save(
            signed_in, webhook, certificate_file=(BytesIO(file.read_bytes()), "leadhook.pfx"), passphrase=passphrase
        )

    for wrong, said in (("", "The PFX file has a pass phrase. Enter it, too."), ("shut", "does not open the PFX file")):
        answer = upload(wrong)
        assert answer.status_code == 422
        assert said in error_at(answer.text, "certificate")
    assert db.session.get_one(Webhook, webhook.id).certificate_until is None
    assert upload("open").status_code == 303
    assert db.session.get_one(Webhook, webhook.id).certificate_until is not None


def test_a_fault_is_said_at_the_control(signed_in: FlaskClient, interface: Interface, files: tuple[Path, Path]) -> None:
    webhook = add(interface)
    answer = save(signed_in, webhook, certificate=files[0].read_text())
    assert error_at(answer.text, "certificate").startswith("This is a certificate, but not its private key.")
