"""The sample receivers of /docs/webhooks, run unchanged against what Leadhook really sends."""

import os
import runpy
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from tests.support.receiver import free_port
from tests.support.samples import HERE, KINDS, NAMES, Sample, lay
from webapp.webhooks.payload import lead_payload
from webapp.webhooks.signing import generate_secret, sign

pytestmark = pytest.mark.once

PLAIN = ("python", "node", "go", "ruby", "java")  # the frameworks take the token as these do
BY_REQUEST = ("php", "shell")  # they read the token anew for each request
FIELDS = {"name": "Ada Lovelace 👋🏽", "email": "ada@example.com", "phone": "", "message": 'שלום "you"\n\u0000<b>&\\'}


def payload(fields: dict[str, str] = FIELDS, event: Any = "lead.created") -> bytes:
    return lead_payload(
        event=event,
        lead_id="lead_01kyb9",
        received_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        fields=fields,
        interface_id="if_8Kx2vQ4mTz",
        interface_name="Contact sales",
        source={},
        consents=(),
    )


@pytest.fixture(scope="module", params=NAMES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    sample = Sample(request.param, tmp_path_factory.mktemp(request.param))
    yield sample
    sample.stop()


@pytest.fixture
def before(sample: Sample) -> int:
    """The number of leads that the sample had stored when the test started."""
    return len(sample.received())


def test_a_signed_lead_is_received_as_it_was_sent(sample: Sample, before: int) -> None:
    outcome = sample.deliver(payload())
    assert (outcome.code, outcome.body) == (200, "received")
    assert sample.received()[before:] == [("lead.created", "lead_01kyb9", FIELDS)]


def test_a_test_lead_is_received_and_marked_as_a_test(sample: Sample, before: int) -> None:
    assert sample.deliver(payload(event="lead.test")).code == 200
    assert [kind for kind, _, _ in sample.received()[before:]] == ["lead.test"]


def test_a_long_message_is_received_whole(sample: Sample, before: int) -> None:
    fields = FIELDS | {"message": "🦊" * 10_000}
    assert sample.deliver(payload(fields)).code == 200
    assert sample.received()[before][2] == fields


def test_a_repeated_delivery_succeeds_and_is_stored_once(sample: Sample, before: int) -> None:
    now = time.time()
    answers = [sample.deliver(payload(), "msg_again", sent_at=now + seconds) for seconds in (0, 5, 9)]
    assert [(answer.code, answer.body) for answer in answers] == [(200, "received")] + [(200, "already received")] * 2
    assert len(sample.received()) == before + 1


@pytest.mark.parametrize("place", [0, 1])
def test_during_a_rotation_either_of_two_signatures_is_accepted(sample: Sample, before: int, place: int) -> None:
    tokens = [generate_secret()]
    tokens.insert(place, sample.token)
    assert sample.deliver(payload(), tokens=tokens).code == 200
    assert len(sample.received()) == before + 1


def test_a_tampered_body_is_refused(sample: Sample, before: int) -> None:
    body, now = payload(), int(time.time())
    signature = sign([sample.token], "msg_1", now, body)
    headers = {"webhook-timestamp": str(now), "webhook-signature": signature}
    outcome = sample.send("msg_1", body.replace(b"Ada", b"Eve"), headers)
    assert (outcome.code, outcome.body) == (401, "the signature does not fit")
    assert len(sample.received()) == before


def test_another_token_is_refused(sample: Sample, before: int) -> None:
    outcome = sample.deliver(payload(), tokens=[generate_secret(), generate_secret()])
    assert (outcome.code, outcome.body) == (401, "the signature does not fit")
    assert len(sample.received()) == before


@pytest.mark.parametrize("seconds", [-301, 310])
def test_a_timestamp_more_than_five_minutes_off_is_refused(sample: Sample, before: int, seconds: int) -> None:
    outcome = sample.deliver(payload(), sent_at=time.time() + seconds)
    assert (outcome.code, outcome.body) == (401, "webhook-timestamp is more than 5 minutes off")
    assert len(sample.received()) == before


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_small_clock_difference_is_accepted(sample: Sample, seconds: int) -> None:
    assert sample.deliver(payload(), sent_at=time.time() + seconds).code == 200


def test_a_timestamp_that_was_changed_is_refused(sample: Sample, before: int) -> None:
    outcome = sample.deliver(payload(), sent_at=time.time() - 3600, timestamp=str(int(time.time())))
    assert (outcome.code, outcome.body) == (401, "the signature does not fit")
    assert len(sample.received()) == before


@pytest.mark.parametrize("timestamp", ["soon", "-5", "1e9", "٣", "9" * 5000])
def test_a_timestamp_that_is_not_a_number_is_refused(sample: Sample, before: int, timestamp: str) -> None:
    assert sample.deliver(payload(), timestamp=timestamp.encode().decode("latin-1")).code in (400, 401)
    assert len(sample.received()) == before


@pytest.mark.parametrize("signature", ["v1,", "v1", "v2,abc", " ", "v1,é", "v1,AAAA v1,BBBB", "v1," + "A" * 44])
def test_an_invalid_signature_is_refused(sample: Sample, before: int, signature: str) -> None:
    assert sample.deliver(payload(), signature=signature).code in (400, 401)
    assert len(sample.received()) == before


@pytest.mark.parametrize("name", ["timestamp", "signature", "id"])
def test_a_missing_header_is_named_to_the_sender(sample: Sample, before: int, name: str) -> None:
    outcome = sample.deliver(payload(), **{name: "" if name == "id" else None})
    assert outcome.code == 400
    assert f"webhook-{name}" in outcome.body
    assert len(sample.received()) == before


def test_a_body_without_end_is_refused(sample: Sample, before: int) -> None:
    outcome = sample.deliver(b"x" * (1024 * 1024 + 1))
    assert outcome.code in (413, 999)  # 999 if it closed the connection while the body was being sent
    assert len(sample.received()) == before
    assert sample.deliver(payload()).code == 200


@pytest.mark.parametrize("token", ["", "whsec_", "whsec_AAAA", "whsec_!!!", "secret"])
@pytest.mark.parametrize("name", [name for name in NAMES if name in PLAIN])
def test_without_a_token_it_does_not_start(name: str, token: str, tmp_path: Path) -> None:
    lay(tmp_path / "site")
    command = [part.format(port=free_port()) for part in KINDS[name].command]
    environ = {**os.environ, "LEADHOOK_SHARED_TOKEN": token}
    ended = subprocess.run(
        command, cwd=tmp_path / "site", env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "Set LEADHOOK_SHARED_TOKEN" in ended.stderr


@pytest.mark.parametrize("name", [name for name in NAMES if name in BY_REQUEST])
@pytest.mark.parametrize("token", ["whsec_", "secret"])
def test_without_a_token_a_sample_that_starts_with_each_request_accepts_nothing(
    name: str, token: str, tmp_path: Path
) -> None:
    sample = Sample(name, tmp_path, token=token)
    try:
        outcome = sample.deliver(payload(), tokens=[generate_secret()])
    finally:
        sample.stop()
    assert (outcome.code, sample.received()) == (500, [])


def test_the_python_library_sample_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    token, now = generate_secret(), int(time.time())
    monkeypatch.setenv("LEADHOOK_SHARED_TOKEN", token)
    lead_of = runpy.run_path(str(HERE / "library.py"))["lead_of"]
    body = payload()
    headers = {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(now),
        "Webhook-Signature": sign([token], "msg_1", now, body),
    }
    assert lead_of(body, headers)["fields"] == FIELDS
    with pytest.raises(WebhookVerificationError):
        lead_of(body.replace(b"Ada", b"Eve"), headers)


def test_the_node_library_sample_parses() -> None:
    """Its npm package is not installed here. Without it, the test can only check that the sample parses."""
    subprocess.run(["node", "--check", str(HERE / "library.mjs")], check=True, timeout=30)
