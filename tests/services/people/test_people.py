"""Roles, removed users and transfers of ownership; invitations and password resets, whose links work once."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select, update
from werkzeug.exceptions import NotFound

from tests.conftest import PASSWORD
from tests.support.people import join, last_mail, token_in
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import AuditEntry, Invitation, Mail, PasswordReset, Role, User
from webapp.services.errors import Refused
from webapp.services.people import invitations, password_resets, users

NEW = "another good one"


def invite(owner: User, email: str = "dora@example.com", role: Role = Role.EDITOR) -> str:
    """Invites an address; returns the token in its mail."""
    with transaction():
        invitations.invite(owner, email, role)
    return token_in(last_mail())


def request_reset(email: str) -> str:
    """Asks for a password reset; returns the token in its mail."""
    with transaction():
        password_resets.send_link(email)
    return token_in(last_mail())


def audit_actions() -> list[str]:
    return list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def expire(model: type[Invitation] | type[PasswordReset], by: timedelta) -> None:
    with transaction():
        db.session.execute(update(model).values(expires_at=utcnow() - by))


def test_an_invitation_creates_its_user_once(owner: User) -> None:
    token = invite(owner)
    with transaction():
        user = invitations.accept(token, "Dora", PASSWORD)
    assert (user.email, user.role, user.account_id) == ("dora@example.com", Role.EDITOR, owner.account_id)
    assert users.authenticate("dora@example.com", PASSWORD)
    assert invitations.pending(owner.account_id) == []
    with pytest.raises(NotFound):
        invitations.accept(token, "Mallory", PASSWORD)
    assert audit_actions() == ["user.created", "user.invited", "user.joined"]


def test_only_the_hash_of_a_link_is_stored_and_its_mail_is_marked(owner: User) -> None:
    for token, row in ((invite(owner), Invitation), (request_reset(owner.email), PasswordReset)):
        stored = db.session.query(row).one()
        assert token not in str(vars(stored))
        assert len(token) >= 43, "256 bits"
        assert last_mail().signs_in


def test_an_invitation_ends_after_seven_days_and_another_can_be_sent(owner: User) -> None:
    token = invite(owner)
    [invitation] = invitations.pending(owner.account_id)
    assert timedelta(days=6, hours=23) < invitation.expires_at - utcnow() <= timedelta(days=7)
    expire(Invitation, timedelta(seconds=1))
    assert invitation.status == "Expired"
    with pytest.raises(NotFound):
        invitations.accept(token, "Dora", PASSWORD)
    with transaction():
        invitations.send_again(invitation, owner)
    again = token_in(last_mail())
    assert again != token
    with pytest.raises(NotFound):
        invitations.of_token(token)
    assert invitations.of_token(again) is invitation


def test_a_withdrawn_invitation_lets_no_one_in(owner: User) -> None:
    token = invite(owner)
    with transaction():
        invitations.withdraw(invitations.of_token(token))
    with pytest.raises(NotFound):
        invitations.accept(token, "Dora", PASSWORD)


@pytest.mark.parametrize(
    ("email", "role", "field"),
    [
        ("nonsense", Role.EDITOR, "email"),
        ("a@example.com\nBcc: b@example.com", Role.EDITOR, "email"),
        ("ALICE@example.com", Role.EDITOR, "email"),
        ("twice@example.com", Role.EDITOR, "email"),
        ("dora@example.com", Role.OWNER, "role"),
    ],
)
def test_an_invitation_is_refused_with_a_sentence(owner: User, email: str, role: Role, field: str) -> None:
    invite(owner, "twice@example.com")
    with pytest.raises(Refused) as refusal, transaction():
        invitations.invite(owner, email, role)
    assert refusal.value.field == field
    assert db.session.query(Mail).count() == 1


def test_only_the_reader_of_a_mail_learns_that_the_address_has_another_account(owner: User) -> None:
    with transaction():
        users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
    token = invite(owner, "bob@example.com")
    assert invitations.is_taken(invitations.of_token(token))
    with pytest.raises(Refused, match="already"), transaction():
        invitations.accept(token, "Bob", NEW)
    assert users.authenticate("bob@example.com", PASSWORD)
    assert invitations.of_token(token), "the link stays valid"


def test_a_refused_password_or_name_leaves_the_link_valid(owner: User) -> None:
    token = invite(owner)
    for name, password, field in (("Dora", "short", "password"), ("", PASSWORD, "name"), ("a\nb", PASSWORD, "name")):
        with pytest.raises(Refused) as refusal, transaction():
            invitations.accept(token, name, password)
        assert refusal.value.field == field
    with transaction():
        assert invitations.accept(token, "Dora", PASSWORD)


def test_an_account_has_at_most_a_hundred_open_invitations(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_OPEN", 1)
    invite(owner)
    with pytest.raises(Refused, match="are open"), transaction():
        invitations.invite(owner, "emil@example.com", Role.EDITOR)


def test_a_changed_role_is_recorded_in_the_audit_log(owner: User) -> None:
    user = join(owner, Role.EDITOR)
    with transaction():
        users.change_role(user, Role.ADMIN, by=owner)
        users.change_role(user, Role.ADMIN, by=owner)
    assert user.role == Role.ADMIN
    [entry] = db.session.query(AuditEntry).filter_by(action="user.role_changed")
    assert (entry.target, entry.detail) == ("editor@example.com", "Editor → Admin")


def test_an_admin_cannot_change_the_owner_or_themselves_or_create_an_owner(owner: User) -> None:
    admin, editor = join(owner, Role.ADMIN), join(owner, Role.EDITOR)
    for change in (
        lambda: users.change_role(owner, Role.EDITOR, by=admin),
        lambda: users.remove(owner, by=admin),
        lambda: users.change_role(admin, Role.EDITOR, by=admin),
        lambda: users.remove(admin, by=admin),
        lambda: users.change_role(editor, Role.OWNER, by=admin),
        lambda: users.transfer_ownership(admin, admin),
    ):
        with pytest.raises(Refused), transaction():
            change()
    assert [user.role for user in (owner, admin, editor)] == [Role.OWNER, Role.ADMIN, Role.EDITOR]


def test_a_removed_user_is_gone_but_their_name_stays(owner: User) -> None:
    user = join(owner, Role.EDITOR, "emil@example.com", name="Emil")
    token, session_before = request_reset(user.email), user.get_id()
    with transaction():
        users.remove(user, by=owner)
    assert (user.label, user.get_id() == session_before) == ("Emil", False)
    for address in ("emil@example.com", user.email):
        assert users.authenticate(address, users.NO_PASSWORD) is None
    with pytest.raises(NotFound):
        password_resets.use(token, NEW)
    with pytest.raises(NotFound):
        users.get(owner.account_id, user.id)
    assert users.of_account(owner.account_id) == [owner]
    assert invite(owner, "emil@example.com"), "the address is free again"


@pytest.mark.parametrize("role", [None, Role.EDITOR, Role.LEADS_ONLY])
def test_invitations_end_when_the_inviter_may_no_longer_invite(owner: User, role: Role | None) -> None:
    admin = join(owner, Role.ADMIN)
    token, other = invite(admin, "another.address.of.theirs@example.com", Role.ADMIN), invite(owner)
    with transaction():
        if role:
            users.change_role(admin, role, by=owner)
        else:
            users.remove(admin, by=owner)
    with pytest.raises(NotFound):
        invitations.accept(token, "Back", PASSWORD)
    assert invitations.of_token(other), "the invitation by another user stays"
    [entry] = db.session.query(AuditEntry).filter_by(action="user.uninvited")
    assert (entry.target, entry.detail) == ("another.address.of.theirs@example.com", "Admin")


def test_the_operator_cannot_be_removed(owner: User) -> None:
    heir = join(owner, Role.ADMIN)
    with transaction():
        users.transfer_ownership(owner, heir)
    assert (owner.role, heir.role, owner.is_operator) == (Role.ADMIN, Role.OWNER, True)
    with pytest.raises(Refused, match="operates the installation"), transaction():
        users.remove(owner, by=heir)
    with pytest.raises(Refused, match="do not own"), transaction():
        users.transfer_ownership(owner, heir)
    assert audit_actions()[-1] == "user.ownership_transferred"


def test_ownership_goes_only_to_users_of_the_account(owner: User) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
    gone = join(owner, Role.EDITOR)
    with transaction():
        users.remove(gone, by=owner)
    for to in (other, gone, owner):
        with pytest.raises(Refused), transaction():
            users.transfer_ownership(owner, to)
    assert owner.role == Role.OWNER


def test_a_reset_link_changes_the_password_once_and_ends_sessions_and_other_links(owner: User) -> None:
    earlier, token = request_reset(owner.email), request_reset(" ALICE@example.com ")
    before = owner.get_id()
    assert password_resets.user_of(earlier) is owner, "a second request does not end the first link"
    with pytest.raises(Refused), transaction():
        password_resets.use(token, "short")
    with transaction():
        password_resets.use(token, NEW)
    db.session.refresh(owner)
    assert owner.get_id() != before
    assert users.authenticate(owner.email, NEW)
    for used in (token, earlier, "", "nonsense", "\ud800"):
        with pytest.raises(NotFound):
            password_resets.use(used, PASSWORD)
    assert audit_actions() == [
        "user.created",
        "session.reset_asked",
        "session.reset_asked",
        "session.password_reset",
    ]


def test_every_new_password_ends_the_reset_links(owner: User) -> None:
    def change() -> None:
        users.change_password(owner.id, PASSWORD, NEW)

    def set_as_operator() -> None:
        users.set_password(owner.email, PASSWORD)

    for set_password in (change, set_as_operator):
        token = request_reset(owner.email)
        with transaction():
            set_password()
        with pytest.raises(NotFound):
            password_resets.use(token, "a third good one")


def use_during_hash(monkeypatch: pytest.MonkeyPatch, use: Callable[[], object]) -> None:
    """Calls `use` while the next password is hashed: after the link was found valid, before it is used."""
    hashed = users.new_hash

    def slowly(*given: str) -> str:
        monkeypatch.setattr(users, "new_hash", hashed)
        with transaction():
            use()
        return hashed(*given)

    monkeypatch.setattr(users, "new_hash", slowly)


def test_if_a_link_is_used_twice_at_once_one_use_succeeds(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for links in (1, 2):
        tokens = [request_reset(owner.email) for _ in range(links)]
        use_during_hash(monkeypatch, partial(password_resets.use, tokens[0], NEW))
        with pytest.raises(NotFound):
            password_resets.use(tokens[-1], "a third good one")
        assert users.authenticate(owner.email, NEW)
    invited = invite(owner)
    use_during_hash(monkeypatch, partial(invitations.accept, invited, "Dora", NEW))
    with pytest.raises(NotFound):
        invitations.accept(invited, "Mallory", "a third good one")
    db.session.rollback()
    assert users.authenticate("dora@example.com", NEW)


def test_a_reset_link_ends_after_an_hour(owner: User) -> None:
    token = request_reset(owner.email)
    [reset] = db.session.query(PasswordReset)
    assert timedelta(minutes=59) < reset.expires_at - utcnow() <= timedelta(hours=1)
    expire(PasswordReset, timedelta(seconds=1))
    with pytest.raises(NotFound):
        password_resets.use(token, NEW)


def test_an_unknown_address_gets_no_mail(owner: User) -> None:
    with transaction():
        password_resets.send_link("unknown@example.com")
        password_resets.send_link("\x00")
    assert db.session.query(Mail).count() == db.session.query(PasswordReset).count() == 0


def test_sign_ins_and_failed_sign_ins_are_recorded(owner: User) -> None:
    for email, password in ((owner.email, PASSWORD), (owner.email, "wrong"), ("unknown@example.com", "wrong")):
        with transaction():
            users.sign_in(email, password)
    found = db.session.query(AuditEntry).filter_by(kind="session").order_by(AuditEntry.id)
    assert [(entry.action, entry.account_id, entry.user_id, entry.target) for entry in found] == [
        ("session.signed_in", owner.account_id, owner.id, ""),
        ("session.failed", owner.account_id, None, "alice@example.com"),
        ("session.failed", None, None, "an unknown address"),
    ]
