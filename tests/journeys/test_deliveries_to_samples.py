"""From a lead to each sample receiver of /docs/webhooks: a receiver that is down, a retry, a rotation, a repeat."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.factories import ADA, delivery_of, point_at, sign, submit
from tests.support.receiver import free_port
from tests.support.samples import KINDS, NAMES, Sample
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Interface, Lead

pytestmark = pytest.mark.once

EMOJI = {
    "name": "Zoë 🧑🏽‍🚀",
    "email": "zoe@example.com",
    "phone": "",
    "message": "Hi 👋🏽\nname <b>&</b> \"x\" \\ 'y' \u2028",
}
RIGHT_TO_LEFT = {"name": "עדה לאבלייס", "email": "ada@example.com", "phone": "", "message": "مرحبا \u200fשלום 42 (abc)"}


@pytest.mark.parametrize("name", NAMES)
def test_every_lead_arrives_once_through_a_retry_a_rotation_and_a_repeat(
    name: str, signed_in: FlaskClient, interface: Interface, tmp_path: Path
) -> None:
    key, token = sign(interface)
    address, port = f"/profile/api-keys/{key.public_id}/rotate", free_port()
    point_at(interface, f"http://127.0.0.1:{port}{KINDS[name].path}")
    webhook_id = interface.webhook.id

    def deliver(lead: Lead) -> list[tuple[int, str]]:
        db.session.rollback()
        lanes.drain(webhook_id)
        newest_first = delivery_of(lead).attempts
        return [(each.code, each.response if each.code == 200 else "") for each in reversed(newest_first)]

    def retry(lead: Lead) -> None:
        assert signed_in.post(f"/leads/{lead.public_id}/retry").status_code == 303

    def rotate(**form: str) -> None:
        assert "whsec_" in signed_in.post(address, data=form).text

    emoji = submit(interface, EMOJI)
    assert deliver(emoji) == [(999, "")], "the receiver is down"
    sample = Sample(name, tmp_path, token=token, port=port)
    try:
        retry(emoji)
        assert deliver(emoji) == [(999, ""), (200, "received")]
        ordinary = submit(interface, ADA)
        assert deliver(ordinary) == [(200, "received")]

        rotate(overlap="24")
        rotated = submit(interface, RIGHT_TO_LEFT)
        assert deliver(rotated) == [(200, "received")], "its second signature is of the token that the sample knows"
        retry(ordinary)
        assert deliver(ordinary) == [(200, "received"), (200, "already received")]

        rotate(overlap="0", force="y")
        unknown = submit(interface, ADA)
        assert deliver(unknown) == [(KINDS[name].refuses_with, "")], "the sample does not know the new token"
    finally:
        sample.stop()
    leads = [(emoji, EMOJI), (ordinary, ADA), (rotated, RIGHT_TO_LEFT)]
    db.session.rollback()
    assert sample.received() == [("lead.created", lead.public_id, fields) for lead, fields in leads]
