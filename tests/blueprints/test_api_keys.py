"""My User Profile, API Keys."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.encryption import decrypt
from webapp.extensions import db
from webapp.models import ApiKey, Authentication, Interface, Role, User
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.webhooks.signing import decode_secret, generate_secret

SECRET = re.compile(r'<code id="secret">([^<]+)</code>')


def save(client: FlaskClient, name: str = "CRM production", kind: str = "shared", **more: str) -> tuple[int, str]:
    answer = client.post("/profile/api-keys/new", data={"type": kind, "name": name, **more})
    return answer.status_code, answer.text


def only_key() -> ApiKey:
    return db.session.query(ApiKey).one()


def test_an_empty_list_says_the_next_step(signed_in: FlaskClient) -> None:
    page = signed_in.get("/profile/api-keys").text
    assert "No keys yet" in page
    assert page.count("New</a>") == 1


def test_new_asks_for_type_access_and_name(signed_in: FlaskClient) -> None:
    page = signed_in.get("/profile/api-keys/new").text
    for words in (
        ">Shared Token<",
        ">API Key<",
        'value="shared" checked',
        "when-api",
        ">Name</label>",
        ">Save</button>",
    ):
        assert words in page


def test_a_shared_token_is_shown_once_and_never_again(signed_in: FlaskClient, owner: User) -> None:
    answer = signed_in.post("/profile/api-keys/new", data={"type": "shared", "name": "CRM production"})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    (secret,) = SECRET.findall(answer.text)
    assert "Copy</button>" in answer.text
    key = only_key()
    assert decrypt(key.secret_encrypted or b"") == secret
    for path in ("/profile/api-keys", "/profile/api-keys/new", f"/profile/api-keys/{key.public_id}/revoke"):
        assert secret not in signed_in.get(path).text
    assert key.created_by_id == owner.id
    session = signed_in.get_cookie("leadhook")
    assert session
    assert secret not in session.value


@pytest.mark.parametrize(("access", "prefix"), [("private", "lhk_"), ("public", "lhp_")])
def test_an_api_key_is_private_or_public(signed_in: FlaskClient, access: str, prefix: str) -> None:
    code, page = save(signed_in, "Nightly export", "api", access=access)
    assert code == 200
    (secret,) = SECRET.findall(page)
    assert secret.startswith(prefix)
    assert only_key().secret_hash == api_keys.digest(secret)


def test_a_key_gets_the_scopes_the_end_and_the_interfaces_that_were_chosen(
    signed_in: FlaskClient, interface: Interface
) -> None:
    page = signed_in.get("/profile/api-keys/new").text
    ticked = re.findall(r'<input[^>]* checked[^>]* name="scopes"', page)
    assert len(ticked) == 3, "private: read and change, unless narrowed"
    assert "Contact sales" in page
    chosen = {"scopes": ["", "read"], "expires": "90", "interfaces": [interface.public_id]}
    answer = signed_in.post(
        "/profile/api-keys/new", data={"type": "api", "access": "private", "name": "Reports", **chosen}
    )
    assert answer.status_code == 200
    assert "This key: read, until" in " ".join(answer.text.split())
    key = only_key()
    assert (key.scopes, key.only_interfaces) == (["read"], [interface.public_id])
    assert key.expires_at
    assert timedelta(days=89) < key.expires_at - utcnow() <= timedelta(days=90)
    listed = " ".join(signed_in.get("/profile/api-keys").text.split())
    for words in ("REST, private", "read, 1 interface only", "Expires"):
        assert words in listed
    with transaction():
        only_key().expires_at = utcnow() - timedelta(days=1)
    assert "Expired" in signed_in.get("/profile/api-keys").text


def test_a_public_key_can_only_capture_even_if_more_is_ticked(signed_in: FlaskClient) -> None:
    assert save(signed_in, "Site", "api", access="public", scopes="write")[0] == 200
    assert only_key().allowed == ["capture"]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"scopes": ""}, "Choose at least one scope."),
        ({"scopes": "root"}, "Choose at least one scope."),
        ({"expires": "7"}, "Choose when the key expires."),
        ({"expires": "never"}, "Choose when the key expires."),
        ({"interfaces": "if_nothing"}, "There is no interface “if_nothing”."),
        ({"interfaces": "\0"}, "There is no interface"),
    ],
)
def test_what_a_key_cannot_have_is_said_at_its_control(
    signed_in: FlaskClient, interface: Interface, sent: dict[str, str], words: str
) -> None:
    code, page = save(signed_in, "Wrong", "api", access="private", **sent)
    assert code == 422
    assert words in page
    assert "field-error" in page
    assert db.session.query(ApiKey).count() == 0


def test_a_program_that_knows_no_scopes_gets_a_key_with_all(signed_in: FlaskClient) -> None:
    assert save(signed_in, "From before", "api", access="private")[0] == 200
    assert only_key().allowed == ["read", "write", "capture"]


def test_an_interface_of_another_account_is_not_offered_and_not_taken(
    signed_in: FlaskClient, stranger: FlaskClient, interface: Interface
) -> None:
    assert "Contact sales" not in stranger.get("/profile/api-keys/new").text
    assert save(stranger, "Sly", "api", access="private", interfaces=interface.public_id)[0] == 422


def test_a_second_click_creates_no_second_key_and_says_so(signed_in: FlaskClient) -> None:
    save(signed_in)
    code, page = save(signed_in)
    assert code == 422
    assert "There is already a key named “CRM production”." in page
    assert only_key()


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "shared", "name": ""},
        {"type": "shared", "name": "x" * 101},
        {"type": "shared", "name": "a\x00b"},
        {"type": "shared", "name": "a\r\nb"},
        {"type": "nonsense", "name": "CRM"},
        {"type": "api", "access": "root", "name": "CRM"},
        {"name": "\u200b"},
    ],
)
def test_bad_input_creates_no_key(signed_in: FlaskClient, sent: dict[str, str]) -> None:
    answer = signed_in.post("/profile/api-keys/new", data=sent)
    assert answer.status_code == 422
    assert "field-error" in answer.text
    assert db.session.query(ApiKey).count() == 0


@pytest.mark.parametrize("name", ["🔑 Clés", "مفتاح", '<script>alert("x")</script>'])
def test_any_name_is_shown_as_it_was_typed(signed_in: FlaskClient, name: str) -> None:
    assert save(signed_in, name)[0] == 200
    page = signed_in.get("/profile/api-keys").text
    assert "<script>alert" not in page
    assert only_key().name == name


def test_the_list_shows_each_keys_type_and_uses(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in)
    save(signed_in, "Website counter", "api", access="public")
    key = db.session.query(ApiKey).filter_by(name="CRM production").one()
    with transaction():
        interfaces.update_lead_generation(
            interface, url=None, authentication=Authentication.SHARED_TOKEN, shared_token=key.public_id
        )
    page = signed_in.get("/profile/api-keys").text
    for words in ("CRM production", key.hint, "Shared Token", "Contact sales", "API Key", "REST, public", "Never"):
        assert words in page


def test_a_key_is_revoked_from_the_dialog_or_the_page(signed_in: FlaskClient) -> None:
    save(signed_in)
    key = only_key()
    words = "Everything that uses it stops working. This cannot be undone."
    assert words in signed_in.get("/profile/api-keys").text
    assert words in signed_in.get(f"/profile/api-keys/{key.public_id}/revoke").text
    for _ in range(2):  # a double click
        answer = signed_in.post(f"/profile/api-keys/{key.public_id}/revoke")
        assert (answer.status_code, answer.location) == (303, "/profile/api-keys")
    page = signed_in.get("/profile/api-keys").text
    assert "“CRM production” is revoked." in page
    assert key.hint not in page


def test_a_token_in_use_is_kept_and_its_interface_named(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in)
    key = only_key()
    with transaction():
        interfaces.update_lead_generation(
            interface, url=None, authentication=Authentication.SHARED_TOKEN, shared_token=key.public_id
        )
    assert "Contact sales" in signed_in.get(f"/profile/api-keys/{key.public_id}/revoke").text
    answer = signed_in.post(f"/profile/api-keys/{key.public_id}/revoke")
    assert answer.status_code == 422
    assert "It was not revoked" in answer.text
    assert "Contact sales" in answer.text
    db.session.refresh(key)
    assert key.revoked_at is None


def test_a_key_of_another_account_is_not_found(signed_in: FlaskClient, stranger: FlaskClient) -> None:
    save(signed_in)
    path = f"/profile/api-keys/{only_key().public_id}/revoke"
    assert stranger.get(path).status_code == 404
    assert stranger.post(path).status_code == 404
    assert "CRM production" not in stranger.get("/profile/api-keys").text
    assert signed_in.post("/profile/api-keys/key_%00/revoke").status_code == 404
    assert only_key().revoked_at is None


@pytest.mark.parametrize(("role", "code"), [(Role.ADMIN, 200), (Role.EDITOR, 403), (Role.LEADS_ONLY, 403)])
def test_keys_are_for_owner_and_admin(app: Flask, signed_in: FlaskClient, owner: User, role: Role, code: int) -> None:
    with transaction():
        owner.role = role
    answers = [signed_in.get("/profile/api-keys"), signed_in.get("/profile/api-keys/new")]
    assert [answer.status_code for answer in answers] == [code] * 2
    assert save(signed_in)[0] == code
    assert db.session.query(ApiKey).count() == (code == 200)


def test_keys_need_sign_in(client: FlaskClient) -> None:
    for answer in (client.get("/profile/api-keys"), client.post("/profile/api-keys/new")):
        assert answer.status_code == 303


def test_a_token_is_rotated_and_its_old_secret_ends(signed_in: FlaskClient) -> None:
    save(signed_in)
    key = only_key()
    own, old = f"/profile/api-keys/{key.public_id}", key.hint
    assert '<option selected value="24">' in signed_in.get(f"{own}/rotate").text
    page = signed_in.post(f"{own}/rotate", data={"overlap": "24"}).text
    (secret,) = SECRET.findall(page)
    db.session.refresh(key)
    assert decrypt(key.secret_encrypted or b"") == secret
    assert f'<span class="mono">{old}</span>, also signs until' in page
    listed = signed_in.get("/profile/api-keys").text
    assert secret not in listed
    assert f"{old}</span> also signs" in listed
    refused = signed_in.post(f"{own}/rotate", data={"overlap": "24"})
    assert refused.status_code == 422
    assert "also still signs" in refused.text
    assert SECRET.findall(signed_in.post(f"{own}/rotate", data={"overlap": "0", "force": "y"}).text)
    assert "also signs" not in signed_in.get("/profile/api-keys").text


def test_the_old_secret_is_revoked_at_once(signed_in: FlaskClient) -> None:
    save(signed_in)
    own = f"/profile/api-keys/{only_key().public_id}"
    signed_in.post(f"{own}/rotate", data={"overlap": "168"})
    assert "Revoke the old one now" in signed_in.get(f"{own}/rotate").text
    assert signed_in.post(f"{own}/revoke-previous").status_code == 303
    assert "also signs" not in signed_in.get("/profile/api-keys").text


@pytest.mark.parametrize("overlap", ["", "-1", "169", "x", "1e3"])
def test_only_the_offered_overlaps_are_accepted(signed_in: FlaskClient, overlap: str) -> None:
    save(signed_in)
    hint = only_key().hint
    answer = signed_in.post(f"/profile/api-keys/{only_key().public_id}/rotate", data={"overlap": overlap})
    assert answer.status_code == 422
    assert "Choose how long the old secret keeps signing." in answer.text
    assert only_key().hint == hint


def test_an_api_key_is_not_rotated(signed_in: FlaskClient) -> None:
    save(signed_in, "Export", "api", access="private")
    assert "Rotate…" not in signed_in.get("/profile/api-keys").text
    answer = signed_in.post(f"/profile/api-keys/{only_key().public_id}/rotate", data={"overlap": "24"})
    assert answer.status_code == 422
    assert "Only a Shared Token" in answer.text


def test_the_key_of_a_new_secret_is_shown_as_text_once(signed_in: FlaskClient) -> None:
    pages = [signed_in.post("/profile/api-keys/new", data={"name": "n8n", "type": "shared"}).text]
    rotation = {"overlap": "24"}
    pages.append(signed_in.post(f"/profile/api-keys/{only_key().public_id}/rotate", data=rotation).text)
    for page in pages:
        (secret,), (key_text,) = SECRET.findall(page), re.findall(r'<code id="key-text">([^<]+)</code>', page)
        assert decode_secret(secret) == key_text.encode()
        assert "Key as text" in page
        assert key_text not in signed_in.get("/profile/api-keys").text


def test_an_api_key_has_no_key_as_text(signed_in: FlaskClient) -> None:
    page = signed_in.post("/profile/api-keys/new", data={"name": "Sync", "type": "api", "access": "private"}).text
    assert SECRET.search(page)
    assert "Key as text" not in page


def test_a_secret_that_receivers_have_already_is_imported_and_never_shown(signed_in: FlaskClient) -> None:
    secret, form = generate_secret(), {"type": "shared", "name": "From before", "access": "private"}
    for wrong in ("short", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64", secret.removeprefix("whsec_")):
        answer = signed_in.post("/profile/api-keys/new", data={**form, "existing": wrong})
        assert answer.status_code == 422
        assert 'id="existing-error"' in answer.text
    answer = signed_in.post("/profile/api-keys/new", data={**form, "existing": f" {secret}\n"}, follow_redirects=True)
    assert "“From before” is imported." in answer.text
    assert secret not in answer.text
    [token] = db.session.query(ApiKey)
    assert decrypt(token.secret_encrypted or b"") == secret
