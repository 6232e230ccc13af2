"""From a lead to a receiver in JavaScript that has only the parsed body, and a key that is text, as in n8n."""

import json
import re
import subprocess
from typing import Any

from flask.testing import FlaskClient

from tests.support.factories import ADA, delivery_of
from tests.support.receiver import Received, Receiver, answering
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import ApiKey, FieldType, Interface, Lead
from webapp.services.interfaces import fields

VERIFY = """
const { createHmac } = require("crypto");
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map(({ key, id, at, signatures, body }) => {
  const parsed = JSON.parse(body); // all that the tool keeps
  const fits = createHmac("sha256", key).update(`${id}.${at}.${JSON.stringify(parsed)}`).digest("base64");
  return signatures.split(" ").indexOf(`v1,${fits}`);
})));
"""
ODD = {"10": 0.00001, "z": {"2": 1.5e-7, "1": [0.5, True]}, "9": "😀 שלום", "size": 100000.0, "4294967295": "a"}


def which_signature(asked: list[tuple[str, Received]]) -> Any:
    """For each key and request, the place of the signature that fits: 0 is the first, -1 none."""
    sent = [
        {
            "key": key,
            "id": request.headers["webhook-id"],
            "at": request.headers["webhook-timestamp"],
            "signatures": request.headers["webhook-signature"],
            "body": request.body.decode(),
        }
        for key, request in asked
    ]
    done = subprocess.run(["node", "-e", VERIFY], input=json.dumps(sent), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def key_on(page: str) -> str:
    [key] = re.findall(r'<code id="key-text">([A-Za-z0-9_-]{43})</code>', page)
    return str(key)


def test_it_verifies_each_request_of_a_lead_with_odd_numbers_and_names_before_and_after_a_rotation(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, receiver: Receiver
) -> None:
    first = key_on(signed_in.post("/profile/api-keys/new", data={"name": "n8n", "type": "shared"}).text)
    token = db.session.query(ApiKey).one().public_id
    with transaction():
        fields.add(interface, FieldType.NUMBER, {"label": "Rate", "key": "rate"})
    settings = {"webhook_url": receiver.url, "authentication": "shared", "shared_token": token}
    more = {"parallel_requests": "1", "sends_undeclared": "y"}
    address = f"/interfaces/{interface.public_id}/edit/lead-generation"
    assert signed_in.post(address, data={**settings, **more}).status_code == 303
    receiver.queue(answering(500))
    posted = client.post(f"/f/{interface.public_id}", json={**ADA, "rate": 0.0000012, **ODD})
    assert posted.status_code == 201, posted.text

    def drain() -> None:
        webhook_id = interface.webhook.id
        db.session.rollback()
        lanes.drain(webhook_id)

    drain()
    second = key_on(signed_in.post(f"/profile/api-keys/{token}/rotate", data={"overlap": "24"}).text)
    lead = db.session.query(Lead).one()
    assert signed_in.post(f"/leads/{lead.public_id}/retry").status_code == 303
    drain()
    before, after = receiver.wait_for(2)
    assert before.body == after.body
    kept = json.loads(after.body)["data"]["lead"]
    assert (kept["undeclared"], kept["fields"]["rate"]) == (ODD, 0.0000012)
    assert before.headers["user-agent"] == "Leadhook/1.0 (sends leads)"
    asked = [(first, before), (second, after), (first, after), (second, before)]
    assert which_signature(asked) == [0, 0, 1, -1]
    assert sorted(attempt.code for attempt in delivery_of(lead).attempts) == [200, 500]
