"""Roles given, users removed, accounts handed over; invitations and password resets, each link good once."""

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
    """The token of an invitation that was mailed."""
    with transaction():
        invitations.invite(owner, email, role)
    return token_in(last_mail())


def ask(email: str) -> str:
    with transaction():
        password_resets.ask(email)
    return token_in(last_mail())


def deeds() -> list[str]:
    return list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def age(model: type[Invitation] | type[PasswordReset], by: timedelta) -> None:
    with transaction():
        db.session.execute(update(model).values(expires_at=utcnow() - by))


def test_an_invitation_makes_the_user_it_was_for_once(owner: User) -> None:
    token = invite(owner)
    with transaction():
        user = invitations.accept(token, "Dora", PASSWORD)
    assert (user.email, user.role, user.account_id) == ("dora@example.com", Role.EDITOR, owner.account_id)
    assert users.authenticate("dora@example.com", PASSWORD)
    assert invitations.pending(owner.account_id) == []
    with pytest.raises(NotFound):
        invitations.accept(token, "Mallory", PASSWORD)
    assert deeds() == ["user.created", "user.invited", "user.joined"]


def test_a_link_is_kept_as_a_hash_and_its_mail_is_marked(owner: User) -> None:
    for token, row in ((invite(owner), Invitation), (ask(owner.email), PasswordReset)):
        stored = db.session.query(row).one()
        assert token not in str(vars(stored))
        assert len(token) >= 43, "256 bits"
        assert last_mail().signs_in


def test_an_invitation_ends_after_seven_days_and_another_can_be_sent(owner: User) -> None:
    token = invite(owner)
    [invitation] = invitations.pending(owner.account_id)
    assert timedelta(days=6, hours=23) < invitation.expires_at - utcnow() <= timedelta(days=7)
    age(Invitation, timedelta(seconds=1))
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


def test_a_withdrawn_invitation_lets_nobody_in(owner: User) -> None:
    token = invite(owner)
    with transaction():
        invitations.withdraw(invitations.of_token(token))
    with pytest.raises(NotFound):
        invitations.accept(token, "Dora", PASSWORD)


@pytest.mark.parametrize(
    ("email", "role", "field"),
    [
        ("nobody", Role.EDITOR, "email"),
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


def test_whether_an_address_signs_in_elsewhere_is_told_to_its_reader_alone(owner: User) -> None:
    with transaction():
        users.create_owner("bob@example.com", PASSWORD, "Bob's Boats")
    token = invite(owner, "bob@example.com")
    assert invitations.is_taken(invitations.of_token(token))
    with pytest.raises(Refused, match="already"), transaction():
        invitations.accept(token, "Bob", NEW)
    assert users.authenticate("bob@example.com", PASSWORD)
    assert invitations.of_token(token), "nothing was used up"


def test_a_refused_password_or_name_leaves_the_link_good(owner: User) -> None:
    token = invite(owner)
    for name, password, field in (("Dora", "short", "password"), ("", PASSWORD, "name"), ("a\nb", PASSWORD, "name")):
        with pytest.raises(Refused) as refusal, transaction():
            invitations.accept(token, name, password)
        assert refusal.value.field == field
    with transaction():
        assert invitations.accept(token, "Dora", PASSWORD)


def test_an_account_has_a_hundred_open_invitations_at_most(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MOST_OPEN", 1)
    invite(owner)
    with pytest.raises(Refused, match="are open"), transaction():
        invitations.invite(owner, "emil@example.com", Role.EDITOR)


def test_a_role_is_changed_and_said_in_the_log(owner: User) -> None:
    user = join(owner, Role.EDITOR)
    with transaction():
        users.change_role(user, Role.ADMIN, by=owner)
        users.change_role(user, Role.ADMIN, by=owner)
    assert user.role == Role.ADMIN
    [entry] = db.session.query(AuditEntry).filter_by(action="user.role_changed")
    assert (entry.target, entry.detail) == ("editor@example.com", "Editor → Admin")


def test_an_admin_touches_neither_the_owner_nor_themselves_and_makes_no_owner(owner: User) -> None:
    admin, editor = join(owner, Role.ADMIN), join(owner, Role.EDITOR)
    for deed in (
        lambda: users.change_role(owner, Role.EDITOR, by=admin),
        lambda: users.remove(owner, by=admin),
        lambda: users.change_role(admin, Role.EDITOR, by=admin),
        lambda: users.remove(admin, by=admin),
        lambda: users.change_role(editor, Role.OWNER, by=admin),
        lambda: users.transfer_ownership(admin, admin),
    ):
        with pytest.raises(Refused), transaction():
            deed()
    assert [user.role for user in (owner, admin, editor)] == [Role.OWNER, Role.ADMIN, Role.EDITOR]


def test_a_removed_user_is_gone_but_their_name_stays(owner: User) -> None:
    user = join(owner, Role.EDITOR, "emil@example.com", name="Emil")
    token, session_before = ask(user.email), user.get_id()
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
def test_nobody_comes_in_by_an_invitation_of_who_may_not_invite_any_more(owner: User, role: Role | None) -> None:
    admin = join(owner, Role.ADMIN)
    token, other = invite(admin, "another.address.of.theirs@example.com", Role.ADMIN), invite(owner)
    with transaction():
        if role:
            users.change_role(admin, role, by=owner)
        else:
            users.remove(admin, by=owner)
    with pytest.raises(NotFound):
        invitations.accept(token, "Back", PASSWORD)
    assert invitations.of_token(other), "somebody else's stays"
    [entry] = db.session.query(AuditEntry).filter_by(action="user.uninvited")
    assert (entry.target, entry.detail) == ("another.address.of.theirs@example.com", "Admin")


def test_the_operator_stays(owner: User) -> None:
    heir = join(owner, Role.ADMIN)
    with transaction():
        users.transfer_ownership(owner, heir)
    assert (owner.role, heir.role, owner.is_operator) == (Role.ADMIN, Role.OWNER, True)
    with pytest.raises(Refused, match="operates the installation"), transaction():
        users.remove(owner, by=heir)
    with pytest.raises(Refused, match="do not own"), transaction():
        users.transfer_ownership(owner, heir)
    assert deeds()[-1] == "user.ownership_transferred"


def test_an_account_is_handed_to_its_own_users_only(owner: User) -> None:
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
    earlier, token = ask(owner.email), ask(" ALICE@example.com ")
    before = owner.get_id()
    assert password_resets.user_of(earlier) is owner, "an hour is an hour, whoever asks meanwhile"
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
    assert deeds() == ["user.created", "session.reset_asked", "session.reset_asked", "session.password_reset"]


def test_any_new_password_ends_the_links_to_one(owner: User) -> None:
    def changed() -> None:
        users.change_password(owner.id, PASSWORD, NEW)

    def set_by_the_operator() -> None:
        users.set_password(owner.email, PASSWORD)

    for deed in (changed, set_by_the_operator):
        token = ask(owner.email)
        with transaction():
            deed()
        with pytest.raises(NotFound):
            password_resets.use(token, "a third good one")


def used_meanwhile(monkeypatch: pytest.MonkeyPatch, use: Callable[[], object]) -> None:
    """`use` comes in while the next password is hashed: after the link was found good, before it is used up."""
    hashed = users.new_hash

    def slowly(*given: str) -> str:
        monkeypatch.setattr(users, "new_hash", hashed)
        with transaction():
            use()
        return hashed(*given)

    monkeypatch.setattr(users, "new_hash", slowly)


def test_of_two_clicks_at_once_on_a_link_one_does_it(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for links in (1, 2):
        tokens = [ask(owner.email) for _ in range(links)]
        used_meanwhile(monkeypatch, partial(password_resets.use, tokens[0], NEW))
        with pytest.raises(NotFound):
            password_resets.use(tokens[-1], "a third good one")
        assert users.authenticate(owner.email, NEW)
    invited = invite(owner)
    used_meanwhile(monkeypatch, partial(invitations.accept, invited, "Dora", NEW))
    with pytest.raises(NotFound):
        invitations.accept(invited, "Mallory", "a third good one")
    assert users.authenticate("dora@example.com", NEW)


def test_a_reset_link_ends_after_an_hour(owner: User) -> None:
    token = ask(owner.email)
    [reset] = db.session.query(PasswordReset)
    assert timedelta(minutes=59) < reset.expires_at - utcnow() <= timedelta(hours=1)
    age(PasswordReset, timedelta(seconds=1))
    with pytest.raises(NotFound):
        password_resets.use(token, NEW)


def test_an_unknown_address_is_mailed_nothing(owner: User) -> None:
    with transaction():
        password_resets.ask("nobody@example.com")
        password_resets.ask("\x00")
    assert db.session.query(Mail).count() == db.session.query(PasswordReset).count() == 0


def test_signing_in_and_failing_to_are_written_down_with_the_same_work(owner: User) -> None:
    for email, password in ((owner.email, PASSWORD), (owner.email, "wrong"), ("nobody@example.com", "wrong")):
        with transaction():
            users.sign_in(email, password)
    found = db.session.query(AuditEntry).filter_by(kind="session").order_by(AuditEntry.id)
    assert [(entry.action, entry.account_id, entry.user_id, entry.target) for entry in found] == [
        ("session.signed_in", owner.account_id, owner.id, ""),
        ("session.failed", owner.account_id, None, "alice@example.com"),
        ("session.failed", None, None, "an unknown address"),
    ]
