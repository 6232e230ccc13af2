"""Two hosts with one database, whose clocks differ: no lead goes to Spam for it, no session ends, no link dies early.

The second host is an app whose clock is moved with time-machine; the database keeps its own, except SQLite, which has
the host's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.conftest import METRICS_TOKEN, ON_POSTGRESQL, AppMaker, sign_in
from tests.support.factories import ADA, point_at
from tests.support.receiver import Receiver
from tests.support.uploads import PDF, ask_for_files, multipart, part
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.delivery import lanes
from webapp.extensions import db
from webapp.models import Field, File, Interface, Lead, Mail, MailState, User
from webapp.services.files import stored
from webapp.services.intake import visitor
from webapp.services.leads import forgetting
from webapp.services.mail import mails
from webapp.services.people import password_resets
from webapp.services.signs import metrics, start

on_another_clock = pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has the clock of its host")
HOUR = 3600.0
DAY = 24 * HOUR


@contextmanager
def host_with_clock(ahead: float) -> Iterator[None]:
    """Within the block this process is a host whose clock is ahead by so many seconds, and goes on."""
    with time_machine.travel(utcnow() + timedelta(seconds=ahead), tick=True):
        yield


def leads() -> list[Lead]:
    db.session.rollback()
    return list(db.session.query(Lead).order_by(Lead.id))


def shown_by_host(interface: Interface, ahead: float) -> str:
    """The token of a form that such a host shows now."""
    with host_with_clock(ahead):
        return visitor.new_token(interface.public_id)


@pytest.mark.parametrize("behind", [1, 5, 10, 30, 60, 600, 86_400, 86_400 * 400])
def test_a_form_shown_by_a_host_that_is_ahead_is_a_lead_and_delivered(
    client: FlaskClient, interface: Interface, receiver: Receiver, behind: float
) -> None:
    """The whole way, from the post to the receiver. The form seems to come from the future."""
    point_at(interface, receiver.url)
    sent = {**ADA, visitor.TOKEN: shown_by_host(interface, ahead=behind)}
    assert client.post(f"/f/{interface.public_id}", json=sent).status_code == 201
    [lead] = leads()
    assert (lead.spam, lead.fields["name"]) == (None, ADA["name"])
    webhook_id = lead.deliveries[0].webhook_id
    db.session.rollback()
    lanes.drain(webhook_id)
    assert b"Ada Lovelace" in receiver.requests[0].body


@pytest.mark.parametrize("ahead", [1, 60, 86_400])
def test_a_form_shown_by_a_host_that_is_behind_is_a_lead(
    client: FlaskClient, interface: Interface, ahead: float
) -> None:
    sent = {**ADA, visitor.TOKEN: shown_by_host(interface, ahead=-ahead)}
    assert client.post(f"/f/{interface.public_id}", json=sent).status_code == 201
    assert [lead.spam for lead in leads()] == [None]


@pytest.mark.parametrize(("age", "spam"), [(0.0, "too fast"), (0.29, "too fast"), (0.31, None), (-0.01, None)])
def test_too_fast_is_from_0_to_the_minimum(
    client: FlaskClient, interface: Interface, monkeypatch: pytest.MonkeyPatch, age: float, spam: str | None
) -> None:
    now = 1_800_000_000.0
    with monkeypatch.context() as patch:
        patch.setattr(visitor.time, "time", lambda: now)
        token = visitor.read_token(interface.public_id, visitor.new_token(interface.public_id))
        patch.setattr(visitor.time, "time", lambda: now + age)
        assert visitor.spam_reason(interface, {}, token, {}, None) == spam


@pytest.mark.parametrize("milliseconds", [0, 4, 5, 6, 9, 995, 999])
def test_a_robot_on_a_host_with_a_right_clock_is_still_too_fast(
    client: FlaskClient, interface: Interface, milliseconds: int
) -> None:
    """Also one that answers at once, at any moment of a second."""
    with time_machine.travel(utcnow().replace(microsecond=1000 * milliseconds), tick=False):
        sent = {**ADA, visitor.TOKEN: visitor.new_token(interface.public_id)}
        client.post(f"/f/{interface.public_id}", json=sent)
    assert [lead.spam for lead in leads()] == [visitor.TOO_FAST]


@pytest.mark.parametrize("ahead", [-86_400, -600, -2, 2, 600, 86_400])
def test_a_person_signed_in_by_one_host_is_signed_in_on_the_other(app: Flask, owner: User, ahead: float) -> None:
    """itsdangerous refuses signatures from the future."""
    with host_with_clock(ahead):
        browser = sign_in(app, "alice@example.com")
    assert browser.get("/interfaces").status_code == 200


def test_a_session_that_is_too_old_has_still_ended(app: Flask, owner: User) -> None:
    with host_with_clock(-86_400 * 32):
        browser = sign_in(app, "alice@example.com")
    assert browser.get("/interfaces").status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "e30.AAAAAA.x", "e30..", "....."])
def test_a_session_that_was_not_signed_is_none(client: FlaskClient, owner: User, cookie: str) -> None:
    client.set_cookie("leadhook", cookie)
    assert client.get("/interfaces").status_code == 303


@on_another_clock
@pytest.mark.parametrize("ahead", [-2 * HOUR, -600.0, 600.0, 2 * HOUR])
def test_a_link_for_a_new_password_lives_an_hour_on_every_host(app: Flask, owner: User, ahead: float) -> None:
    with host_with_clock(ahead), transaction():
        first = str(password_resets.create_link("alice@example.com")["link"])
    client = app.test_client()
    assert client.get(first).status_code == 200
    with transaction():
        second = str(password_resets.create_link("alice@example.com")["link"])
    with host_with_clock(ahead):
        assert client.get(second).status_code == 200


@on_another_clock
@pytest.mark.parametrize("ahead", [-86_400.0 * 400, 86_400.0 * 400])
def test_a_host_with_a_wrong_year_forgets_no_lead_too_early(
    interface: Interface, client: FlaskClient, ahead: float
) -> None:
    with transaction():
        db.session.get_one(Interface, interface.id).retention_days = 30
    client.post(f"/f/{interface.public_id}", json=ADA)
    db.session.rollback()
    with host_with_clock(ahead):
        forgetting.forget()
    assert len(leads()) == 1


@on_another_clock
@pytest.mark.parametrize("ahead", [-3 * DAY, -DAY, -HOUR, HOUR, DAY, 30 * DAY])
def test_files_that_wait_for_a_lead_and_links_to_files_live_as_long_on_every_host(
    client: FlaskClient, interface: Interface, ahead: float
) -> None:
    ask_for_files(interface, "cv")
    ask_for_files(interface, "letter")
    with transaction():
        db.session.execute(update(Field).where(Field.key == "cv").values(file_link_days=1))
    form = f"/f/{interface.public_id}"
    with host_with_clock(ahead):
        wrong = {**ADA, "email": "none", "letter": part(PDF, "letter.pdf")}
        assert client.post(form, **multipart(wrong)).status_code == 422
    assert client.post(form, **multipart({**ADA, "cv": part(PDF, "cv.pdf")})).status_code == 303
    link = leads()[0].fields["cv"][0]["url"].partition("/files/")[2]
    db.session.rollback()
    for clock in (ahead, 0.0):
        with host_with_clock(clock):
            assert stored.sweep(lambda: True)
            assert client.get(f"/files/{link}").status_code == 200
    assert db.session.query(File).count() == 2


@on_another_clock
@pytest.mark.parametrize("ahead", [-30 * DAY, -4 * DAY, 4 * DAY, 30 * DAY])
def test_a_mail_is_tried_for_three_days_on_every_host(make_app: AppMaker, interface: Interface, ahead: float) -> None:
    with make_app(MAIL_SERVER="127.0.0.1", MAIL_PORT="9").app_context():
        with transaction():
            link = "https://leads.example.com/x"
            mails.write("password_reset", recipients=["a@example.com"], account_id=None, signs_in=True, link=link)
        with host_with_clock(ahead):
            mails.deliver_due()
        db.session.rollback()
        mail = db.session.query(Mail).one()
        assert (mail.state, mail.tries) == (MailState.DUE, 1)


# The signs of it -----------------------------------------------------------------------------------------------------


@on_another_clock
@pytest.mark.parametrize("ahead", [-600.0, -31.0, 31.0, 600.0])
def test_a_wrong_clock_is_measured_and_warned_of_at_the_start(app: Flask, client: FlaskClient, ahead: float) -> None:
    with host_with_clock(ahead):
        assert client.get("/readyz").json["clock_offset_seconds"] == pytest.approx(ahead, abs=2)  # type: ignore[index]
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        [line] = [each for each in answer.text.splitlines() if each.startswith("leadhook_clock_offset_seconds ")]
        assert float(line.split()[1]) == pytest.approx(ahead, abs=2)
        with capture_logs() as logged:
            start.warn()
    [warning] = [each for each in logged if "clock" in each["event"]]
    assert warning["log_level"] == "warning"
    assert ("ahead" if ahead > 0 else "behind") in warning["event"]


@pytest.mark.parametrize("ahead", [-20.0, 0.0, 20.0])
def test_a_clock_that_is_nearly_right_brings_no_warning(app: Flask, ahead: float) -> None:
    with host_with_clock(ahead), capture_logs() as logged:
        start.warn()
    assert [each for each in logged if "clock" in each["event"]] == []


@on_another_clock
@pytest.mark.parametrize("ahead", [-600.0, 600.0, 86_400.0])
def test_the_age_of_the_oldest_delivery_does_not_depend_on_the_hosts_clock(
    client: FlaskClient, interface: Interface, ahead: float
) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    client.post(f"/f/{interface.public_id}", json=ADA)
    db.session.rollback()
    with host_with_clock(ahead):
        text = metrics.exposition().decode()
    [line] = [each for each in text.splitlines() if each.startswith("leadhook_deliveries_oldest_due_seconds ")]
    assert 0 <= float(line.split()[1]) < 60
