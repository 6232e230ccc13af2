"""Users, invitations, forgotten passwords and the audit log, as pages."""

import re
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import PASSWORD, AppMaker, sign_in
from tests.support.people import as_user, join, last_mail, token_in
from webapp.blueprints import passwords
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Invitation, Mail, MailState, PasswordReset, Role, User
from webapp.services.mail import mails, sealed
from webapp.services.people import users

NEW = "another good one"


@pytest.fixture
def without_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the wait of forgotten passwords, which hides whether an address is known."""
    monkeypatch.setattr(passwords, "ANSWER_AFTER", 0)


def invite(client: FlaskClient, email: str = "dora@example.com", role: str = "editor") -> str:
    """Invites; returns the token of the mailed link."""
    answer = client.post("/profile/users/invite", data={"email": email, "role": role})
    assert (answer.status_code, answer.location) == (303, "/profile/users"), answer.text
    return token_in(last_mail())


def forget(client: FlaskClient, email: str = "alice@example.com") -> str:
    assert client.post("/forgot-password", data={"email": email}).status_code == 200
    return token_in(last_mail())


def test_a_user_is_invited_joins_and_is_listed(app: Flask, signed_in: FlaskClient) -> None:
    token = invite(signed_in)
    page = signed_in.get("/profile/users").text
    for words in ("dora@example.com", "Invited", "Editor", ">Send again", ">Withdraw"):
        assert words in page
    dora = app.test_client()
    page = dora.get(f"/invitations/{token}").text
    for words in ("Join <bdi>Brightwater Solar</bdi>", "dora@example.com", ">Name</label>", ">Password</label>"):
        assert words in page
    refused = dora.post(f"/invitations/{token}", data={"name": "Dora", "password": "short"})
    assert refused.status_code == 422
    assert "at least 8 characters" in refused.text
    joined = dora.post(f"/invitations/{token}", data={"name": "Dora", "password": PASSWORD})
    assert (joined.status_code, joined.location) == (303, "/")
    assert dora.get("/interfaces").status_code == 200
    assert "Dora" in signed_in.get("/profile/users").text
    assert sign_in(app, "dora@example.com").get("/profile").status_code == 200
    again = app.test_client().get(f"/invitations/{token}")
    assert again.status_code == 404
    assert "This link has expired" in again.text


def test_a_get_does_not_use_up_a_link(app: Flask, signed_in: FlaskClient, without_wait: None) -> None:
    for path in (f"/invitations/{invite(signed_in)}", f"/reset-password/{forget(signed_in)}"):
        assert [app.test_client().get(path).status_code for _ in range(3)] == [200] * 3
        assert app.test_client().head(path).status_code == 200


@pytest.mark.parametrize("path", ["/invitations/nonsense", "/reset-password/nonsense", "/reset-password/%ff%00"])
def test_an_invalid_link_says_so(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    if "%" not in path:
        assert "This link has expired" in answer.text
        assert client.post(path, data={"new": NEW, "again": NEW, "name": "x", "password": NEW}).status_code == 404


def test_an_invitation_can_be_sent_again_and_withdrawn(app: Flask, signed_in: FlaskClient) -> None:
    first = invite(signed_in)
    invitation_id = db.session.query(Invitation).one().id
    assert signed_in.post(f"/profile/users/invitations/{invitation_id}/send-again").status_code == 303
    second = token_in(last_mail())
    codes = [app.test_client().get(f"/invitations/{token}").status_code for token in (first, second)]
    assert codes == [404, 200]
    assert signed_in.post(f"/profile/users/invitations/{invitation_id}/withdraw").status_code == 303
    assert "is withdrawn" in signed_in.get("/profile/users").text
    assert app.test_client().get(f"/invitations/{second}").status_code == 404


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"email": "", "role": "editor"}, "Enter an email address."),
        ({"email": "nonsense", "role": "editor"}, "is not an e-mail address"),
        ({"email": "ALICE@example.com", "role": "editor"}, "is already a user of this account."),
        ({"email": "dora@example.com", "role": "owner"}, "Choose Admin, Editor or Leads only."),
        ({"email": "dora@example.com", "role": ""}, "Choose Admin, Editor or Leads only."),
    ],
)
def test_a_refused_invitation_says_why(signed_in: FlaskClient, sent: dict[str, str], words: str) -> None:
    answer = signed_in.post("/profile/users/invite", data=sent)
    assert answer.status_code == 422
    assert words in answer.text
    assert db.session.query(Invitation).count() == db.session.query(Mail).count() == 0


def test_invitations_are_limited_to_thirty_an_hour(signed_in: FlaskClient) -> None:
    invite(signed_in)
    again = f"/profile/users/invitations/{db.session.query(Invitation).one().id}/send-again"
    assert [signed_in.post(again).status_code for _ in range(30)] == [303] * 29 + [429]


def test_a_role_is_changed_and_a_user_removed(app: Flask, signed_in: FlaskClient, owner: User) -> None:
    emil = join(owner, Role.EDITOR, "emil@example.com", name="Emil")
    theirs, own = as_user(app, emil), f"/profile/users/{emil.id}"
    assert 'value="editor" checked' in signed_in.get(f"{own}/role").text
    assert signed_in.post(f"{own}/role", data={"role": "nonsense"}).status_code == 422
    assert signed_in.post(f"{own}/role", data={"role": "leads-only"}).status_code == 303
    assert theirs.get("/interfaces").status_code == 403, "from the next click on"
    assert "Remove <bdi>Emil</bdi>?" in signed_in.get(f"{own}/remove").text
    assert signed_in.post(f"{own}/remove").status_code == 303
    assert theirs.get("/leads").status_code == 303, "signed out everywhere"
    assert signed_in.get(f"{own}/role").status_code == 404
    page = signed_in.get("/profile/audit-log").text
    for words in ("Removed a user", "Emil", "Editor → Leads only"):
        assert words in page


def test_an_admin_cannot_touch_the_owner(app: Flask, owner: User) -> None:
    admin = as_user(app, join(owner, Role.ADMIN))
    own = f"/profile/users/{owner.id}"
    for path, sent in ((f"{own}/role", {"role": "editor"}), (f"{own}/remove", {})):
        answer = admin.post(path, data=sent)
        assert answer.status_code == 422
        assert "The owner stays the owner" in answer.text
    assert admin.post(f"{own}/transfer").status_code == 403
    db.session.refresh(owner)
    assert owner.role == Role.OWNER


def test_an_owner_transfers_the_account(app: Flask, signed_in: FlaskClient, owner: User) -> None:
    heir = join(owner, Role.EDITOR)
    assert "you become an admin." in signed_in.get(f"/profile/users/{heir.id}/transfer").text
    assert signed_in.post(f"/profile/users/{heir.id}/transfer").status_code == 303
    db.session.expire_all()
    assert (owner.role, heir.role) == (Role.ADMIN, Role.OWNER)
    assert signed_in.post(f"/profile/users/{heir.id}/transfer").status_code == 403


def test_a_forgotten_password_is_replaced_by_a_mailed_link(
    app: Flask, signed_in: FlaskClient, without_wait: None
) -> None:
    client = app.test_client()
    assert 'href="/forgot-password"' in client.get("/login").text
    token = forget(client, " Alice@Example.com")
    path = f"/reset-password/{token}"
    assert "alice@example.com" in client.get(path).text
    assert client.post(path, data={"new": NEW, "again": "different"}).status_code == 422
    assert client.post(path, data={"new": "short", "again": "short"}).status_code == 422
    done = client.post(path, data={"new": NEW, "again": NEW})
    assert (done.status_code, done.location) == (303, "/login")
    assert "Your password is changed." in client.get("/login").text
    assert client.get("/profile").status_code == 303, "the link alone does not sign in: the password is needed too"
    assert signed_in.get("/profile").status_code == 303, "every session has ended"
    assert users.authenticate("alice@example.com", NEW)
    assert client.post(path, data={"new": PASSWORD, "again": PASSWORD}).status_code == 404


def test_the_link_uses_public_url_for_any_host_header(make_app: AppMaker, without_wait: None, owner: User) -> None:
    db.session.rollback()
    client = make_app(PUBLIC_URL="https://leads.example.com").test_client()
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    client.post("/forgot-password", data={"email": "alice@example.com"}, headers=headers)
    mail = last_mail()
    bodies = sealed.bodies(mail)
    assert "https://leads.example.com/reset-password/" in bodies.body_text
    assert "evil.example" not in "".join(bodies)


def test_the_answer_and_its_time_are_the_same_for_an_unknown_address(client: FlaskClient, owner: User) -> None:
    def asked(email: str) -> tuple[str, float]:
        begun = time.monotonic()
        page = client.post("/forgot-password", data={"email": email}).text
        took = time.monotonic() - begun
        return re.sub(r'"X-CSRFToken": "[^"]+"', "", page).replace(email, ""), took

    known, known_took = asked("alice@example.com")
    unknown, unknown_took = asked("unknown@example.com")
    assert known == unknown
    assert "belongs to a user, a link" in known
    assert known_took >= passwords.ANSWER_AFTER
    assert unknown_took >= passwords.ANSWER_AFTER
    assert db.session.query(PasswordReset).count() == 1


@pytest.mark.parametrize("email", ["alice@example.com", "unknown@example.com"])
def test_reset_requests_are_limited_by_typed_address_and_by_client(
    client: FlaskClient, owner: User, without_wait: None, email: str
) -> None:
    codes = [client.post("/forgot-password", data={"email": email}).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    others = [client.post("/forgot-password", data={"email": f"{n}@example.com"}).status_code for n in range(16)]
    assert others[-1] == 429


@pytest.mark.parametrize("sent", [{}, {"email": ""}, {"email": "\x00"}, {"email": "🎣" * 500}])
def test_bad_input_is_answered_with_a_page(client: FlaskClient, without_wait: None, sent: dict[str, str]) -> None:
    assert client.post("/forgot-password", data=sent).status_code in (200, 422)


def test_only_the_operator_sees_links_in_the_mailbox(
    app: Flask, signed_in: FlaskClient, stranger: FlaskClient, owner: User, without_wait: None
) -> None:
    tokens = [invite(signed_in), forget(signed_in, "charlie@example.org"), invite(stranger, "emil@example.org")]
    ids = [mail.id for mail in db.session.query(Mail).order_by(Mail.id)]
    admin = as_user(app, join(owner, Role.ADMIN))
    for mail_id, token in zip(ids, tokens, strict=True):
        assert token in signed_in.get(f"/mailbox/{mail_id}").text
        for client in (admin, stranger):
            assert client.get(f"/mailbox/{mail_id}").status_code == 404
            assert client.get(f"/mailbox/{mail_id}/html").status_code == 404
            assert "Choose a new password" not in client.get("/mailbox").text


def test_with_a_mail_server_the_operator_cannot_read_them_either(
    make_app: AppMaker, owner: User, without_wait: None
) -> None:
    db.session.rollback()
    app = make_app(MAIL_SERVER="127.0.0.1")
    client = sign_in(app, "alice@example.com")
    token = forget(client)
    mail = last_mail()
    assert mail.state == MailState.DUE
    assert client.get(f"/mailbox/{mail.id}").status_code == 404
    db.session.refresh(mail)
    claimed = mails.Claimed(*(getattr(mail, name) for name in mails.Claimed._fields))
    accepted = mails.Handover(answers={"alice@example.com": ""}, error="", broken=False)
    db.session.rollback()
    with app.app_context(), transaction():
        mails._record(claimed, accepted)
    mail = last_mail()
    assert mail.state == MailState.SENT
    assert token not in "".join(sealed.bodies(mail)), "once sent, the link is kept nowhere"
    assert mails.LINK_REMOVED in client.get(f"/mailbox/{mail.id}").text


def test_signing_out_everywhere_ends_every_session(app: Flask, signed_in: FlaskClient) -> None:
    staying = app.test_client()
    staying.post("/login", data={"email": "alice@example.com", "password": PASSWORD, "remember": "y"})
    assert ">Sign out everywhere</button>" in signed_in.get("/profile").text
    answer = signed_in.post("/profile/sign-out-everywhere")
    assert (answer.status_code, answer.location) == (303, "/login")
    for client in (signed_in, staying):
        assert client.get("/profile").status_code == 303
    again = sign_in(app, "alice@example.com")
    again.post("/profile/sign-out-everywhere")
    assert "You are signed out everywhere." in again.get("/login").text


def test_the_audit_log_is_filtered_by_kind_and_person(app: Flask, signed_in: FlaskClient, owner: User) -> None:
    emil = join(owner, Role.ADMIN, "emil@example.com", name='<script>alert("Emil")</script>')
    theirs = as_user(app, emil)
    theirs.post("/profile/api-keys/new", data={"type": "shared", "name": "CRM production"})
    theirs.get("/leads.csv?q=Ada+Lovelace&status=failed", buffered=True)
    app.test_client().post("/login", data={"email": "alice@example.com", "password": "wrong"})
    page = signed_in.get("/profile/audit-log").text
    for words in ("Made a key", "CRM production", "Exported leads", "Sign-in failed", "127.0.0.1", "&lt;script&gt;"):
        assert words in page
    assert "<script>alert" not in page
    assert "Lovelace" not in page, "what was searched for may be a visitor's"
    assert "Exported leads" not in signed_in.get("/profile/audit-log?kind=key").text
    by_person = signed_in.get(f"/profile/audit-log?person={emil.id}").text
    assert "Made a key" in by_person
    assert "Sign-in failed" not in by_person
    assert "Nothing matches" in signed_in.get(f"/profile/audit-log?kind=interface&person={emil.id}").text
    for nonsense in ("kind=x", "person=-1", "person=9" + "9" * 30, "before=x&after=%00"):
        assert signed_in.get(f"/profile/audit-log?{nonsense}").status_code == 200


def test_no_secret_is_in_the_audit_log(signed_in: FlaskClient, without_wait: None) -> None:
    page = signed_in.post("/profile/api-keys/new", data={"type": "shared", "name": "CRM"}).text
    secrets = [*re.findall(r'<code id="secret">([^<]+)</code>', page), invite(signed_in), forget(signed_in)]
    signed_in.post("/login", data={"email": "alice@example.com", "password": "not my password"})
    log = " ".join(str(vars(entry)) for entry in db.session.query(AuditEntry))
    for secret in [*secrets, PASSWORD, "not my password"]:
        assert secret not in log


def test_over_https_cookies_are_secure_and_bound_to_the_host(make_app: AppMaker, owner: User) -> None:
    db.session.rollback()
    app = make_app(PUBLIC_URL="https://leads.example.com")
    sent = {"email": "alice@example.com", "password": PASSWORD, "remember": "y"}
    answer = app.test_client().post("/login", data=sent, base_url="https://leads.example.com")
    cookies = {line.split("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}
    assert set(cookies) == {"__Host-leadhook", "__Host-leadhook-remember", "__Host-leadhook-known"}
    for line in cookies.values():
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
        assert not any(part.startswith("domain") for part in attributes)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in make_app().test_client().get("/login").headers


def test_sign_in_keeps_nothing_of_an_earlier_session(make_app: AppMaker, owner: User) -> None:
    """An attacker who planted a session with its CSRF token gains nothing once a user signs in with it."""
    db.session.rollback()
    client = make_app(csrf=True).test_client()
    planted = re.findall(r'name="csrf_token" value="([^"]+)"', client.get("/login").text)[0]
    sent = {"email": "alice@example.com", "password": PASSWORD, "csrf_token": planted}
    assert client.post("/login", data=sent).status_code == 303
    assert client.post("/profile", data={"name": "Mallory", "csrf_token": planted}).status_code == 400


@pytest.mark.parametrize("path", ["/forgot-password", "/profile/users/invite", "/profile/sign-out-everywhere"])
def test_forms_cannot_be_forged(make_app: AppMaker, owner: User, path: str) -> None:
    db.session.rollback()
    app = make_app(csrf=True)
    client = as_user(app, owner)
    sent = {"email": "dora@example.com", "role": "admin"}
    assert client.post(path, data=sent).status_code == 400
    assert client.post(path, data=sent, headers={"Sec-Fetch-Site": "cross-site"}).status_code in (400, 403)
