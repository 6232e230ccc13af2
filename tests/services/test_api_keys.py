"""Shared Tokens and API Keys: created, shown once, listed, revoked."""

import re

import pytest
from werkzeug.exceptions import NotFound

from webapp.db.transactions import transaction
from webapp.encryption import decrypt
from webapp.models import ApiKey, Authentication, Interface, KeyAccess, User
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.services.webhooks import editing, operational
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import Plan
from webapp.services.webhooks.operational import EventPlan
from webapp.webhooks.signing import decode_secret


def token(owner: User, name: str = "CRM production") -> ApiKey:
    with transaction():
        return api_keys.create_shared_token(owner.account_id, owner.id, name)[0]


def sign_with(interface: Interface, key: ApiKey) -> None:
    with transaction():
        interfaces.update_lead_generation(
            interface,
            url="https://crm.example.com/",
            authentication=Authentication.SHARED_TOKEN,
            shared_token=key.public_id,
        )


def test_a_shared_token_is_a_signing_secret_that_is_stored_encrypted(owner: User) -> None:
    with transaction():
        key, secret = api_keys.create_shared_token(owner.account_id, owner.id, "CRM production")
    assert len(decode_secret(secret)) == 43
    assert key.secret_encrypted
    assert secret.encode() not in key.secret_encrypted
    assert decrypt(key.secret_encrypted) == secret
    assert key.hint == f"whsec_…{secret.rstrip('=')[-4:]}"
    assert key.secret_hash is None


@pytest.mark.parametrize(("access", "prefix"), [(KeyAccess.PRIVATE, "lhk_"), (KeyAccess.PUBLIC, "lhp_")])
def test_an_api_key_is_stored_as_its_hash(owner: User, access: KeyAccess, prefix: str) -> None:
    with transaction():
        key, secret = api_keys.create_api_key(owner.account_id, None, "Nightly export", access)
    assert re.fullmatch(prefix + "[0-9A-Za-z]{43}", secret)
    assert key.secret_hash == api_keys.digest(secret)
    assert key.secret_encrypted is None
    assert key.access == access


def test_names_are_unique_in_an_account_and_free_again_after_revoking(owner: User) -> None:
    key = token(owner)
    with pytest.raises(Refused, match="There is already a key named “CRM production”") as refusal, transaction():
        api_keys.create_api_key(owner.account_id, owner.id, " CRM production ", KeyAccess.PRIVATE)
    assert refusal.value.field == "name"
    with transaction():
        other = users.create_owner("bob@example.com", "correct horse battery", "Bob's Boats")
    assert token(other), "another account may use the name"
    with transaction():
        api_keys.revoke(key)
    assert token(owner).id != key.id


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\x00b"])
def test_an_invalid_name_is_refused(owner: User, name: str) -> None:
    with pytest.raises(Refused) as refusal, transaction():
        api_keys.create_shared_token(owner.account_id, owner.id, name)
    assert refusal.value.field == "name"


def test_a_token_in_use_cannot_be_revoked_and_its_interfaces_are_named(owner: User, interface: Interface) -> None:
    key = token(owner)
    sign_with(interface, key)
    with pytest.raises(Refused, match="“Contact sales” signs with this Shared Token"), transaction():
        api_keys.revoke(key)
    assert key.revoked_at is None
    assert api_keys.used_by(owner.account_id) == {key.id: [interface]}


def test_a_deleted_interface_uses_no_token(owner: User, interface: Interface) -> None:
    key = token(owner)
    sign_with(interface, key)
    with transaction():
        interfaces.archive(interface)
    with transaction():
        api_keys.revoke(key)
    assert key.revoked_at
    assert api_keys.used_by(owner.account_id) == {}


def test_an_interface_whose_webhooks_share_a_token_is_named_once(owner: User, interface: Interface) -> None:
    """A webhook that was removed uses it no more; the account's webhook for events does."""
    key = token(owner)
    sign_with(interface, key)
    wanted = Wanted(Authentication.SHARED_TOKEN)
    with transaction():
        plans = [Plan(f"https://crm.example.com/{n}", shared_token=key.public_id, wanted=wanted) for n in range(2)]
        more = [editing.add(interface, plan) for plan in plans]
    assert list(api_keys.interfaces_using(key)) == [interface]
    assert api_keys.used_by(owner.account_id) == {key.id: [interface]}
    with transaction():
        interface.webhook.shared_token = None
        for webhook in more:
            editing.remove(webhook)
        operational.save(owner.account_id, EventPlan("https://events.example.com/", key.public_id))
    assert (list(api_keys.interfaces_using(key)), api_keys.used_by(owner.account_id)) == ([], {})
    with pytest.raises(Refused, match="events"), transaction():
        api_keys.revoke(key)


def test_revoking_twice_changes_nothing(owner: User) -> None:
    key = token(owner)
    with transaction():
        api_keys.revoke(key)
    first = key.revoked_at
    with transaction():
        api_keys.revoke(key)
    assert key.revoked_at == first
    assert api_keys.live(owner.account_id) == []


def test_lists_have_only_the_accounts_own_keys_sorted_by_name(owner: User) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", "correct horse battery", "Bob's Boats")
    token(other, "Not yours")
    names = ["Zapier", "CRM"]
    for name in names:
        token(owner, name)
    with transaction():
        api_keys.create_api_key(owner.account_id, owner.id, "Export", KeyAccess.PUBLIC)
    assert [key.name for key in api_keys.live(owner.account_id)] == ["CRM", "Export", "Zapier"]
    assert [key.name for key in api_keys.shared_tokens(owner.account_id)] == ["CRM", "Zapier"]


def test_a_key_of_another_account_is_not_found(owner: User) -> None:
    key = token(owner)
    assert api_keys.get(owner.account_id, key.public_id) is key
    for account_id, public_id in ((owner.account_id + 1, key.public_id), (owner.account_id, "key_unknown")):
        with pytest.raises(NotFound):
            api_keys.get(account_id, public_id)
