"""The E-mail tab: texts are validated, previewed and sent as a test; with and without htmx."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.mailing import notify
from webapp.extensions import db
from webapp.models import AuditEntry, Interface, Mail
from webapp.services.interfaces.interface_mails import ANSWER_BODY, Words

HTMX = {"HX-Request": "true"}
WORDS = {
    "notification_subject": "Call {{ name }}",
    "autoresponse_subject": "Hello {{ name }}",
    "autoresponse_body": "Hi",
}


def tab(interface: Interface, more: str = "") -> str:
    return f"/interfaces/{interface.public_id}/edit/e-mail{more}"


def words(interface: Interface) -> Words:
    db.session.rollback()
    return Words.of(db.session.get_one(Interface, interface.id, populate_existing=True))


def mails() -> list[Mail]:
    db.session.rollback()
    return list(db.session.scalars(select(Mail)))


def test_the_tab_starts_with_the_default_texts_and_shows_both_mails(
    signed_in: FlaskClient, interface: Interface
) -> None:
    page = signed_in.get(tab(interface)).text
    assert "No recipients yet" in page
    assert "New lead: Ada Lovelace · Contact sales" in page
    assert ANSWER_BODY.partition("\n")[0] in page
    assert "{{ lead.link }}" in page
    assert 'aria-current="page">E-mail' in page
    notify(interface, "sales@example.com")
    assert "sales@example.com" in signed_in.get(tab(interface)).text


def test_the_texts_are_saved_and_audited(signed_in: FlaskClient, interface: Interface) -> None:
    answer = signed_in.post(tab(interface), data={**WORDS, "autoresponds": "y", "autoresponse_reply_to": "a@b.example"})
    assert (answer.status_code, answer.location) == (303, tab(interface))
    assert words(interface) == Words("Call {{ name }}", "", True, "Hello {{ name }}", "Hi", "a@b.example")
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.action, entry.detail) == ("interface.changed", "E-mail")
    signed_in.post(tab(interface), data={"autoresponse_subject": "", "autoresponse_body": ""})
    assert words(interface).autoresponds is False


def test_an_unknown_placeholder_is_refused_beside_its_control(signed_in: FlaskClient, interface: Interface) -> None:
    answer = signed_in.post(tab(interface), data={**WORDS, "notification_body": "{{ nme }}<b>"})
    assert answer.status_code == 422
    assert 'id="notification_body-error"' in answer.text
    assert "{{ nme }} is not known here. Use {{ name }}, {{ email }}" in answer.text
    assert "{{ nme }}&lt;b&gt;" in answer.text
    assert words(interface).notification_subject == ""


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_a_preview_shows_the_typed_text_and_saves_nothing(
    signed_in: FlaskClient, interface: Interface, headers: dict[str, str]
) -> None:
    shown = signed_in.post(tab(interface, "/preview"), data=WORDS, headers=headers)
    assert shown.status_code == 200
    assert "Call Ada Lovelace" in shown.text
    assert "Hello Ada Lovelace" in shown.text
    assert ("<html" in shown.text) == (not headers)
    refused = signed_in.post(tab(interface, "/preview"), data={"notification_subject": "{{ x }}"}, headers=headers)
    assert "{{ x }} is not known here." in refused.text
    assert words(interface).notification_subject == ""
    assert mails() == []


@pytest.mark.parametrize("headers", [HTMX, {}])
@pytest.mark.parametrize(("kind", "subject"), [("notification", "Call Ada Lovelace"), ("answer", "Hello Ada Lovelace")])
def test_a_test_is_sent_to_the_signed_in_user(
    signed_in: FlaskClient, interface: Interface, kind: str, subject: str, headers: dict[str, str]
) -> None:
    notify(interface, "sales@example.com")
    answer = signed_in.post(tab(interface, f"/test/{kind}"), data=WORDS, headers=headers)
    assert "On its way to alice@example.com." in answer.text
    assert ("<html" in answer.text) == (not headers)
    [mail] = mails()
    assert (mail.recipients, mail.subject) == (["alice@example.com"], subject)
    assert words(interface).notification_subject == ""


def test_no_test_is_sent_for_refused_texts_or_an_unknown_mail(signed_in: FlaskClient, interface: Interface) -> None:
    for headers in (HTMX, {}):
        bad = {"notification_subject": "{{ x }}"}
        answer = signed_in.post(tab(interface, "/test/notification"), data=bad, headers=headers)
        assert (answer.status_code, "{{ x }} is not known here." in answer.text) == (422, True)
    assert signed_in.post(tab(interface, "/test/anything"), data=WORDS).status_code == 404
    assert mails() == []


def test_another_account_finds_nothing(stranger: FlaskClient, interface: Interface) -> None:
    assert stranger.get(tab(interface)).status_code == 404
    for more in ("", "/preview", "/test/answer"):
        assert stranger.post(tab(interface, more), data=WORDS).status_code == 404
    assert mails() == []
