"""A thief of the database finds no link that signs someone in: mails with such links are encrypted until they are sent
or their link is too old.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask, current_app
from flask_migrate import downgrade, upgrade
from sqlalchemy import bindparam, inspect, select, text, update

from tests.conftest import KEYS, PASSWORD, AppMaker, sign_in
from tests.support.factories import sign, submit
from tests.support.mailing import make_due, notify
from tests.support.people import last_mail, last_token, token_in
from tests.support.smtp import MailServer
from webapp.clock import UTCDateTime, utcnow
from webapp.db.transactions import transaction
from webapp.delivery.rings import MAIL, queues
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import Interface, Mail, MailState, Role, User
from webapp.models.mail import LINKS_LIVE
from webapp.services import api_keys
from webapp.services.leads import forgetting
from webapp.services.mail import mails, sealed
from webapp.services.people import invitations, password_resets, users
from webapp.services.signs import checks

CLOSED = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": "9"}  # nothing listens there


def stolen(home: Path) -> bytes:
    """All that a copy of the database has: every value, and the bytes of the files."""
    db.session.rollback()
    found = []
    for table in inspect(db.engine).get_table_names():
        found += [f"{[*row]}".encode() for row in db.session.execute(text(f'SELECT * FROM "{table}"'))]
    db.session.rollback()
    return b"\n".join([*found, *(path.read_bytes() for path in home.glob("leadhook.sqlite3*"))])


def is_in(token: str, copy: bytes) -> bool:
    """Whether half of the token, or of what it is in other encodings, is in the copy."""
    forms = [token.encode(), base64.b64encode(token.encode()), token.encode().hex().encode()]
    return any(form[start : start + 20] in copy for form in forms for start in (0, len(form) - 20))


def invite(owner: User, email: str = "dora@example.com") -> str:
    with transaction():
        invitations.invite(owner, email, Role.EDITOR)
    return last_token()


def reset(owner: User) -> str:
    with transaction():
        password_resets.send_link(owner.email)
    return last_token()


def invite_again(owner: User) -> str:
    invite(owner)
    with transaction():
        [invitation] = invitations.pending(owner.account_id)
        invitations.send_again(invitation, owner)
    return last_token()


def without_recipient(owner: User) -> str:
    with transaction():
        context = {"token": "t" * 43, "email": owner.email}
        mails.write("password_reset", recipients=["nonsense"], account_id=None, signs_in=True, **context)
    return last_token()


def refused_for_now(owner: User) -> str:
    token = reset(owner)
    mails.deliver_due()
    return token


@contextmanager
def another_app(make_app: AppMaker, owner: User, **environ: str) -> Iterator[User]:
    """Within the block the database is used by another app, with other settings. The owner, as it has them."""
    owner_id = owner.id
    db.session.rollback()
    with make_app(**environ).app_context():
        yield db.session.get_one(User, owner_id)
        db.session.rollback()


@pytest.mark.parametrize("ask", [invite, reset, invite_again, without_recipient, refused_for_now])
@pytest.mark.parametrize("environ", [{}, CLOSED], ids=["no mail server", "a mail server that is away"])
def test_a_copy_of_the_database_has_no_link_that_opens_an_account(
    make_app: AppMaker, owner: User, tmp_path: Path, ask: Callable[[User], str], environ: dict[str, str]
) -> None:
    with another_app(make_app, owner, **environ) as them:
        token = ask(them)
        assert len(token) == 43
        bodies = sealed.bodies(last_mail())
        assert token in bodies.body_text
        assert token in bodies.body_html
        assert not is_in(token, stolen(tmp_path))
        assert is_in(token, f"a {token} b".encode()), "the search finds one where it is"


def test_the_operator_reads_the_link_and_it_opens(make_app: AppMaker, owner: User, tmp_path: Path) -> None:
    app = make_app()
    signed_in = sign_in(app, "alice@example.com")
    answer = signed_in.post("/profile/users/invite", data={"email": "dora@example.com", "role": "editor"})
    assert answer.status_code == 303
    mail = last_mail()
    page, frame = (signed_in.get(f"/mailbox/{mail.id}{more}").text for more in ("", "/html"))
    token = token_in(mail)
    assert f"/invitations/{token}" in page
    assert f"/invitations/{token}" in frame
    assert not is_in(token, stolen(tmp_path))
    joined = app.test_client().post(f"/invitations/{token}", data={"name": "Dora", "password": PASSWORD})
    assert joined.status_code == 303
    assert "dora@example.com" in signed_in.get("/profile/users").text


def test_a_mail_server_gets_the_link_and_nothing_is_left(make_app: AppMaker, owner: User, tmp_path: Path) -> None:
    with MailServer() as server, another_app(make_app, owner, **server.environ) as them:
        token = reset(them)
        assert not is_in(token, stolen(tmp_path))
        mails.deliver_due()
        [received] = server.received
        assert f"/reset-password/{token}" in received.text
        assert f"/reset-password/{token}" in received.html
        mail = last_mail()
        assert (mail.state, mail.body_encrypted, mail.body_text) == (MailState.SENT, None, mails.LINK_REMOVED)
        assert password_resets.user_of(token).email == them.email


def test_a_link_that_is_refused_for_good_is_removed(make_app: AppMaker, owner: User) -> None:
    with MailServer() as server, another_app(make_app, owner, **server.environ) as them:
        server.refused["alice@example.com"] = "550 No such user"
        reset(them)
        mails.deliver_due()
        mail = last_mail()
        assert (mail.state, mail.body_encrypted, mail.body_html) == (MailState.FAILED, None, mails.LINK_REMOVED)


def test_other_mails_are_kept_as_they_are(interface: Interface) -> None:
    submit(notify(interface, "sales@example.com"))
    mail = last_mail()
    assert mail.body_encrypted is None
    assert "Ada Lovelace" in mail.body_text


# Keys -----------------------------------------------------------------------------------------------------------------


def test_new_keys_read_the_mails_and_the_old_key_can_be_removed(
    make_app: AppMaker, owner: User, interface: Interface
) -> None:
    sign(interface)
    tokens = [invite(owner), reset(owner)]
    old, new = KEYS["ENCRYPTION_KEYS"], Fernet.generate_key().decode()
    with another_app(make_app, owner, ENCRYPTION_KEYS=f"{new},{old}"):
        for reencrypted in (3, 0):
            db.session.rollback()
            ran = current_app.test_cli_runner().invoke(args=["rotate-encryption"])
            answer = json.loads(ran.stdout.splitlines()[-1])
            assert answer == {"secrets": 3, "reencrypted": reencrypted, "unreadable": 0}
    with another_app(make_app, owner, ENCRYPTION_KEYS=new):
        assert [token_in(mail) for mail in db.session.scalars(select(Mail).order_by(Mail.id))] == tokens


def test_without_the_key_the_doctor_counts_them_and_the_page_says_so(make_app: AppMaker, owner: User) -> None:
    token = invite(owner)
    mail_id = last_mail().id
    db.session.rollback()
    app = make_app(ENCRYPTION_KEYS=Fernet.generate_key().decode())
    with app.app_context():
        found = checks.secrets()
        assert found.ok is False
        assert found.found == "No key of ENCRYPTION_KEYS reads 1 of the 1 secrets in the database."
        assert "invitations" in str(found.do)
        db.session.rollback()
        ran = app.test_cli_runner().invoke(args=["rotate-encryption"])
        assert ran.exit_code == 1
        assert json.loads(ran.stdout.splitlines()[-1]) == {"secrets": 1, "reencrypted": 0, "unreadable": 1}
    signed_in = sign_in(app, "alice@example.com")
    for more in ("", "/html"):
        page = signed_in.get(f"/mailbox/{mail_id}{more}")
        assert page.status_code == 200
        assert sealed.UNREADABLE in page.text
        assert token not in page.text


def test_without_the_key_a_mail_waits_and_is_sent_when_the_key_is_back(make_app: AppMaker, owner: User) -> None:
    with MailServer() as server:
        with another_app(make_app, owner, **server.environ) as them:
            token = reset(them)
        with another_app(make_app, owner, **server.environ, ENCRYPTION_KEYS=Fernet.generate_key().decode()):
            mails.deliver_due()
            mail = last_mail()
            assert (server.received, mail.state, mail.last_error) == ([], MailState.DUE, sealed.UNREADABLE)
            make_due()
        with another_app(make_app, owner, **server.environ):
            mails.deliver_due()
            assert token in server.received[0].text


@pytest.mark.parametrize("value", [b"", b"not a token", b"\x00\xff", b"gAAAAAB" + b"x" * 100])
def test_what_no_key_reads_is_a_sentence(owner: User, value: bytes) -> None:
    invite(owner)
    with transaction():
        db.session.execute(update(Mail).values(body_encrypted=value))
    mail = last_mail()
    assert set(sealed.readable_bodies(mail)) == {sealed.UNREADABLE}
    assert api_keys.count_secrets() == (1, 1)


# Mails of earlier versions, and old links -----------------------------------------------------------------------------


def as_before(token: str, **values: object) -> int:
    """A mail as the previous version wrote it; its id."""
    with transaction():
        mail = Mail(account_id=None, kind="invitation", message_id=f"<{token}>", recipients=["dora@example.com"])
        mail.subject, mail.signs_in, mail.state = "Join", True, MailState.KEPT
        mail.body_text, mail.body_html = f"Open /invitations/{token}\n", f"<a href='/invitations/{token}'>Open</a>"
        for name, value in values.items():
            setattr(mail, name, value)
        db.session.add(mail)
        db.session.flush()
        return mail.id


def mail_of(mail_id: int) -> Mail:
    db.session.rollback()
    return db.session.get_one(Mail, mail_id, populate_existing=True)


OF_0009 = text(
    "INSERT INTO mails (kind, message_id, recipients, subject, body_text, body_html, signs_in, created_at, state, "
    "due_at, tries, last_error, answers) VALUES ('invitation', :token, '[]', 'Join', :body, :body, :signs_in, "
    ":created_at, :state, 0, 0, '', '{}')"
)


def written_by_0009(token: str, state: str = "kept", signs_in: bool = True, days: int = 0) -> None:
    body, created_at = f"Open /invitations/{token}", utcnow() - timedelta(days=days)
    row = {"token": token, "body": body, "signs_in": signs_in, "created_at": created_at, "state": state}
    with transaction():
        db.session.execute(OF_0009.bindparams(bindparam("created_at", type_=UTCDateTime())), row)


def test_the_migration_encrypts_the_mails_that_are_there(app: Flask, tmp_path: Path) -> None:
    kept, due, old, ordinary = "k" * 43, "d" * 43, "o" * 43, "n" * 43
    db.session.remove()
    downgrade(revision="0009")
    written_by_0009(kept)
    written_by_0009(due, state="due")
    written_by_0009(old, days=8)
    written_by_0009(ordinary, signs_in=False)
    assert f"/invitations/{kept}".encode() in stolen(tmp_path)
    db.session.remove()
    upgrade()
    copy = stolen(tmp_path)
    assert not any(f"/invitations/{token}".encode() in copy for token in (kept, old))
    found = {mail.message_id: mail for mail in db.session.scalars(select(Mail))}
    assert [token_in(found[token]) for token in (kept, due, ordinary)] == [kept, due, ordinary]
    assert [found[token].body_encrypted is None for token in (kept, due, old, ordinary)] == [False, True, True, True]
    assert "removed" in found[old].body_text
    db.session.remove()
    downgrade(revision="0009")
    upgrade()
    again = {mail.message_id: mail for mail in db.session.scalars(select(Mail))}
    assert [token_in(again[token]) for token in (kept, due, ordinary)] == [kept, due, ordinary], "down and up again"
    db.session.rollback()


@pytest.mark.parametrize("days", [0, 6, 8])
def test_a_mail_that_waits_is_encrypted_after_the_migration_so_that_a_worker_of_before_can_send_it(
    app: Flask, days: int
) -> None:
    token = "w" * 43
    db.session.remove()
    downgrade(revision="0009")
    written_by_0009(token, state="due", days=days)
    db.session.remove()
    upgrade()
    # The columns that a worker of the previous version reads, sends, and writes.
    read = text("SELECT body_text, body_html FROM mails WHERE state = 'due'")
    assert [list(row) for row in db.session.execute(read)] == [[f"Open /invitations/{token}"] * 2]
    db.session.rollback()
    forgetting.forget()
    mail = db.session.scalars(select(Mail)).one()
    assert (mail.body_encrypted is not None) == (days < 7), "the new workers encrypt it while its link works"
    assert token_in(mail) == token
    db.session.rollback()


def _bodies() -> list[bytes]:
    signs_in = text("SELECT body_text, body_html, body_encrypted FROM mails WHERE signs_in")
    found = [f"{[*row]}".encode() for row in db.session.execute(signs_in)]
    db.session.rollback()
    return found


def swept(sweeper: Sweep) -> bool:
    """Lets the sweeper look whether there is something to forget; whether it rang for it."""
    db.session.rollback()
    queues.redis.flushall()
    sweeper.forgets_at = 0.0
    sweeper.once()
    return "forget" in [job.partition("-")[0] for job in queues.get(MAIL).get_job_ids()]


@pytest.mark.parametrize("state", [MailState.KEPT, MailState.DUE])
def test_a_mail_that_the_previous_version_wrote_meanwhile_is_encrypted_by_the_sweep(
    app: Flask, owner: User, state: MailState
) -> None:
    token = "p" * 43
    mail_id, sweeper = as_before(token, state=state), Sweep()
    assert swept(sweeper)
    forgetting.forget()
    assert not any(is_in(token, body) for body in _bodies())
    assert token_in(mail_of(mail_id)) == token
    assert not swept(sweeper), "nothing is left to do"


def test_a_link_that_is_too_old_to_work_is_removed(owner: User) -> None:
    invite(owner)
    sweeper = Sweep()
    assert not swept(sweeper)
    with transaction():
        db.session.execute(update(Mail).values(created_at=utcnow() - LINKS_LIVE - timedelta(hours=1)))
    assert swept(sweeper)
    forgetting.forget()
    mail = last_mail()
    assert (mail.body_encrypted, mail.body_text, mail.state) == (None, sealed.REMOVED, MailState.KEPT)
    assert api_keys.count_secrets() == (0, 0), "so a lost key is no trouble for ever"
    assert not swept(sweeper)


def test_a_mail_that_is_still_to_be_sent_keeps_its_link(owner: User) -> None:
    token = invite(owner)
    with transaction():
        old = utcnow() - LINKS_LIVE - timedelta(hours=1)
        db.session.execute(update(Mail).values(created_at=old, state=MailState.DUE))
    forgetting.forget()
    assert token_in(last_mail()) == token


def test_links_are_kept_as_long_as_any_works() -> None:
    assert max(invitations.LIFETIME, password_resets.LIFETIME) <= LINKS_LIVE


def test_the_mailbox_is_searched_and_listed_without_reading_bodies(owner: User, app: Flask) -> None:
    invite(owner)
    with transaction():
        db.session.execute(update(Mail).values(body_encrypted=b"unreadable", state=MailState.KEPT))
    signed_in = sign_in(app, "alice@example.com")
    assert "dora@example.com" in signed_in.get("/mailbox?q=dora").text
    assert users.authenticate("alice@example.com", PASSWORD)
