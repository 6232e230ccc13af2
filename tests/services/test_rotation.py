"""Rotation of a Shared Token: both secrets sign during the overlap, only the new one after it. New encryption keys."""

from datetime import timedelta

import pytest
import time_machine
from cryptography.fernet import Fernet
from flask import Flask
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from tests.conftest import KEYS, ON_POSTGRESQL, AppMaker
from tests.support.factories import point_at, sign, submit
from tests.support.receiver import Receiver
from webapp.clock import now_sql, utcnow
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.delivery.sweep import Sweep
from webapp.encryption import decrypt
from webapp.extensions import db
from webapp.models import ApiKey, AuditEntry, Authentication, Interface, KeyAccess, PreviousSecret, User, Webhook
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.webhooks import connections, editing
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan

DAY = timedelta(hours=24)


@pytest.fixture
def signed(interface: Interface, receiver: Receiver) -> tuple[ApiKey, str]:
    """The interface's token and its first secret. The interface sends its leads to the receiver."""
    point_at(interface, receiver.url)
    return sign(interface)


def rotated(key: ApiKey, overlap: timedelta = DAY, force: bool = False) -> str:
    with transaction():
        return api_keys.rotate(db.session.get_one(ApiKey, key.id), overlap, force)


def sent(interface: Interface, receiver: Receiver) -> tuple[bytes, dict[str, str]]:
    """The body and headers that the receiver gets for a new lead."""
    submit(interface)
    webhook_id = interface.webhook.id
    db.session.rollback()
    lanes.drain(webhook_id)
    got = receiver.requests[-1]
    return got.body, {name.lower(): value for name, value in got.headers.items()}


def verifies(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Verifier(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def end_overlap() -> None:
    with transaction():
        db.session.execute(db.update(PreviousSecret).values(until=now_sql() - 0.001))


def test_during_the_overlap_both_secrets_verify_newest_first(
    signed: tuple[ApiKey, str], interface: Interface, receiver: Receiver
) -> None:
    key, first = signed
    body, headers = sent(interface, receiver)
    assert len(headers["webhook-signature"].split()) == 1
    second = rotated(key)
    body, headers = sent(interface, receiver)
    assert verifies(first, body, headers)
    assert verifies(second, body, headers)
    newest, older = headers["webhook-signature"].split()
    assert verifies(second, body, {**headers, "webhook-signature": newest})
    assert verifies(first, body, {**headers, "webhook-signature": older})


def test_after_the_overlap_the_old_secret_does_not_sign_even_before_a_sweep(
    signed: tuple[ApiKey, str], interface: Interface, receiver: Receiver
) -> None:
    key, first = signed
    second = rotated(key)
    end_overlap()
    body, headers = sent(interface, receiver)
    assert verifies(second, body, headers)
    assert not verifies(first, body, headers)
    assert api_keys.previous(key) is None
    assert api_keys.previous_secrets(key.account_id) == {}


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has the clock of its host")
@pytest.mark.parametrize("ahead", [-86_400, -3700, -10, 10, 3700, 86_400])
def test_the_overlap_ends_by_the_databases_clock_whatever_the_workers_host_says(
    signed: tuple[ApiKey, str], interface: Interface, receiver: Receiver, ahead: float
) -> None:
    key, _ = signed
    rotated(key, timedelta(hours=1))
    with time_machine.travel(utcnow() + timedelta(seconds=ahead), tick=True):
        _, headers = sent(interface, receiver)
        assert len(headers["webhook-signature"].split()) == 2
        end_overlap()
        _, headers = sent(interface, receiver)
        assert len(headers["webhook-signature"].split()) == 1


def test_the_sweep_deletes_only_secrets_that_no_longer_sign(signed: tuple[ApiKey, str]) -> None:
    key, _ = signed
    rotated(key)
    db.session.rollback()
    sweep = Sweep()
    sweep.once()
    assert db.session.query(PreviousSecret).count() == 1
    end_overlap()
    sweep.once()
    assert db.session.query(PreviousSecret).count() == 0


def test_the_old_secret_is_stored_encrypted_and_keeps_its_hint(signed: tuple[ApiKey, str]) -> None:
    key, first = signed
    hint = key.hint
    second = rotated(key)
    before = api_keys.previous(key)
    assert before
    assert (before.hint, decrypt(before.secret_encrypted)) == (hint, first)
    assert first.encode() not in before.secret_encrypted
    assert decrypt(key.secret_encrypted or b"") == second
    assert key.hint != hint


def test_a_second_rotation_is_refused_unless_forced(signed: tuple[ApiKey, str]) -> None:
    key, _ = signed
    second = rotated(key)
    with pytest.raises(Refused, match="also still signs") as refusal:
        rotated(key)
    assert refusal.value.field == "force"
    assert decrypt(key.secret_encrypted or b"") == second
    rotated(key, force=True)
    before = api_keys.previous(key)
    assert before
    assert decrypt(before.secret_encrypted) == second, "the oldest has ended"


def test_without_an_overlap_or_when_revoked_the_old_secret_ends_at_once(signed: tuple[ApiKey, str]) -> None:
    key, _ = signed
    rotated(key, timedelta())
    assert db.session.query(PreviousSecret).count() == 0
    rotated(key)
    with transaction():
        api_keys.revoke_previous(key)
        api_keys.revoke_previous(key)
    assert db.session.query(PreviousSecret).count() == 0
    actions = [entry.action for entry in db.session.query(AuditEntry).filter_by(kind="key").order_by(AuditEntry.id)]
    assert actions == ["key.created", "key.rotated", "key.rotated", "key.previous_revoked"]


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_is_at_most_seven_days(signed: tuple[ApiKey, str], overlap: timedelta) -> None:
    with pytest.raises(Refused) as refusal:
        rotated(signed[0], overlap)
    assert refusal.value.field == "overlap"


def test_only_a_live_shared_token_rotates_and_revoking_ends_both_secrets(owner: User) -> None:
    with transaction():
        key, _ = api_keys.create_shared_token(owner.account_id, owner.id, "CRM")
        other, _ = api_keys.create_api_key(owner.account_id, owner.id, "Export", KeyAccess.PRIVATE)
    rotated(key)
    with transaction():
        api_keys.revoke(key)
    assert db.session.query(PreviousSecret).count() == 0
    for each in (key, other):
        with pytest.raises(Refused, match="Only a Shared Token"):
            rotated(each)


def restarted(make_app: AppMaker, *keys: str) -> Flask:
    """A new application on the same database, with these ENCRYPTION_KEYS."""
    db.session.rollback()
    return make_app(ENCRYPTION_KEYS=",".join(keys))


def test_every_secret_is_encrypted_with_the_newest_key_and_the_old_key_can_be_removed(
    make_app: AppMaker, signed: tuple[ApiKey, str]
) -> None:
    key, first = signed
    second = rotated(key)
    old, new = KEYS["ENCRYPTION_KEYS"], Fernet.generate_key().decode()
    with restarted(make_app, new, old).app_context(), transaction():
        assert api_keys.reencrypt_all() == {"secrets": 2, "reencrypted": 2, "unreadable": 0}
    with restarted(make_app, new, old).app_context(), transaction():
        assert api_keys.reencrypt_all() == {"secrets": 2, "reencrypted": 0, "unreadable": 0}
    with restarted(make_app, new).app_context():
        [row] = db.session.query(ApiKey)
        assert decrypt(row.secret_encrypted or b"") == second
        assert decrypt(row.previous.secret_encrypted if row.previous else b"") == first
    with restarted(make_app, Fernet.generate_key().decode()).app_context(), transaction():
        assert api_keys.reencrypt_all() == {"secrets": 2, "reencrypted": 0, "unreadable": 2}


def test_the_secrets_of_webhooks_are_encrypted_with_the_newest_key_too(
    make_app: AppMaker, interface: Interface
) -> None:
    interface_id = interface.id
    with transaction():
        wanted = Wanted(Authentication.BEARER, secrets={"token": "abc.def"})
        webhook_id = editing.add(interface, Plan("https://crm.example.com", wanted=wanted)).id
    old, new = KEYS["ENCRYPTION_KEYS"], Fernet.generate_key().decode()
    with restarted(make_app, new, old).app_context(), transaction():
        assert api_keys.reencrypt_all() == {"secrets": 1, "reencrypted": 1, "unreadable": 0}
    with restarted(make_app, new).app_context():
        webhook = db.session.get_one(Webhook, webhook_id)
        assert webhook.interface_id == interface_id
        assert connections.secrets_of(webhook) == {"authentication": {"token": "abc.def"}}
