"""The Interfaces page, New, and Edit with its tabs."""

import re
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.factories import captured
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import (
    ApiKey,
    Attempt,
    Authentication,
    Delivery,
    DeliveryState,
    Interface,
    Lead,
    Reason,
    Role,
    User,
    WebhookState,
)
from webapp.services import api_keys
from webapp.services.interfaces import interfaces
from webapp.services.people import users
from webapp.services.webhooks import webhooks
from webapp.webhooks.addresses import resolve

URL = "https://crm.example.com/leads?key=q7Rdsecret"
HTMX = {"HX-Request": "true"}
SETTINGS = {"webhook_url": URL, "authentication": "none", "automatic_retries": "y", "parallel_requests": "1"}


@pytest.fixture
def token(owner: User) -> ApiKey:
    with transaction():
        return api_keys.create_shared_token(owner.account_id, owner.id, "CRM production")[0]


@pytest.fixture
def edit(interface: Interface) -> Callable[[str], str]:
    return lambda tab="": f"/interfaces/{interface.public_id}/edit" + (f"/{tab}" if tab else "")


def save(client: FlaskClient, interface: Interface, **changes: str) -> Any:
    sent = {name: value for name, value in {**SETTINGS, **changes}.items() if value is not None}
    answer = client.post(f"/interfaces/{interface.public_id}/edit/lead-generation", data=sent)
    db.session.expire_all()
    return answer


# The list ------------------------------------------------------------------------------------------------------------


def test_an_empty_list_says_the_next_step(signed_in: FlaskClient) -> None:
    page = signed_in.get("/interfaces").text
    assert "Create your first interface" in page
    assert page.count("New interface") == 1


def test_a_row_shows_health_leads_and_webhook(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in, interface)
    with transaction():
        db.session.add(Lead(account_id=interface.account_id, interface=interface, fields={}, source={}))
    page = signed_in.get("/interfaces").text
    for words in ("Contact sales", "Not tested", "crm.example.com/leads", "Unsigned", 'Edit<span class="sr"> Contact'):
        assert words in page
    assert "q7Rdsecret" not in page, "a query can hold a secret"


def test_search_is_in_the_address_and_stays_while_paging(signed_in: FlaskClient, owner: User) -> None:
    with transaction():
        for number in range(27):
            interfaces.create(owner.account_id, f"Sales {number}")
        interfaces.create(owner.account_id, "Support")
    first = signed_in.get("/interfaces?q=sales").text
    assert "27 interfaces" in first
    assert "Support" not in first
    (following,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = signed_in.get(following.replace("&amp;", "&")).text
    assert "Sales 0" in second
    assert 'rel="prev"' in second
    assert 'rel="next"' not in second
    assert "Nothing matches" in signed_in.get("/interfaces?q=nothing").text


@pytest.mark.parametrize("query", ["q=%00", "q=%F0%9F%8E%A3", "health=x", "before=x&after=%00", "q=" + "x" * 5000])
def test_any_query_of_the_list_is_answered(signed_in: FlaskClient, interface: Interface, query: str) -> None:
    assert signed_in.get(f"/interfaces?{query}").status_code == 200


# New, General, Embed -------------------------------------------------------------------------------------------------


def test_new_needs_a_name_and_leads_to_edit(signed_in: FlaskClient) -> None:
    assert ">Name</label>" in signed_in.get("/interfaces/new").text
    answer = signed_in.post("/interfaces/new", data={"name": "Book a survey 🔧"})
    interface = db.session.query(Interface).one()
    assert (answer.status_code, answer.location) == (303, f"/interfaces/{interface.public_id}/edit")
    page = signed_in.get(answer.location).text
    for words in (
        "Interface created.",
        "Book a survey 🔧",
        ">General</a>",
        ">Fields</a>",
        ">Lead Generation</a>",
        ">Embed</a>",
    ):
        assert words in page


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00b", "a\r\nBcc: x@example.com", "\u200b"])
def test_an_invalid_name_is_refused(signed_in: FlaskClient, interface: Interface, name: str) -> None:
    for path in ("/interfaces/new", f"/interfaces/{interface.public_id}/edit"):
        answer = signed_in.post(path, data={"name": name})
        assert answer.status_code == 422
        assert 'id="name-error"' in answer.text
    db.session.expire_all()
    assert [row.name for row in db.session.query(Interface)] == ["Contact sales"]


@pytest.mark.parametrize("name", ["اتصل بنا", "צור קשר", "<img src=x onerror=alert(1)>", '"><script>', "x" * 200])
def test_any_name_is_shown_safely_on_every_page(
    signed_in: FlaskClient, interface: Interface, edit: Callable[..., str], name: str
) -> None:
    assert signed_in.post(edit(), data={"name": name}).status_code == 303
    db.session.refresh(interface)
    assert interface.name == name
    paths = ["/interfaces", edit(), edit("fields"), edit("lead-generation"), edit("embed")]
    for path in [*paths, f"/interfaces/{interface.public_id}/delete"]:
        page = signed_in.get(path)
        assert page.status_code == 200
        assert "<img src=x" not in page.text
        assert "<script>" not in page.text


def test_general_saves_the_texts_for_visitors(
    signed_in: FlaskClient, interface: Interface, edit: Callable[..., str]
) -> None:
    sent = {"name": "Sales", "introduction": "Hello\r\n\r\nthere", "thank_you": "Merci 🎣"}
    assert signed_in.post(edit(), data=sent).status_code == 303
    db.session.refresh(interface)
    assert (interface.name, interface.introduction, interface.thank_you) == ("Sales", "Hello\n\nthere", "Merci 🎣")
    assert "Saved." in signed_in.get(edit()).text
    assert signed_in.post(edit(), data={**sent, "introduction": "x" * 1001}).status_code == 422


def test_embed_gives_address_iframe_html_and_curl(
    make_app: Callable[..., Flask], signed_in: FlaskClient, interface: Interface, edit: Callable[..., str]
) -> None:
    page = signed_in.get(edit("embed")).text
    address = f"http://127.0.0.1:8000/f/{interface.public_id}"
    assert f'<code id="form-address">{address}</code>' in page
    assert f"&lt;iframe src=&#34;{address}?_frame=1&#34;" in page
    assert f"curl {address}" in page
    assert "&#34;email&#34;:&#34;ada@example.com&#34;" in page
    assert "&lt;textarea name=&#34;message&#34; required&gt;" in page
    assert page.count("data-copy=") >= 5


def test_a_name_in_the_iframe_snippet_is_escaped_for_its_own_page(
    signed_in: FlaskClient, interface: Interface, edit: Callable[..., str]
) -> None:
    signed_in.post(edit(), data={"name": 'Say "hi"'})
    assert "title=&#34;Say &amp;#34;hi&amp;#34;&#34;" in signed_in.get(edit("embed")).text


# Lead Generation -----------------------------------------------------------------------------------------------------


def test_lead_generation_is_in_the_documented_words(
    signed_in: FlaskClient, edit: Callable[..., str], token: ApiKey
) -> None:
    page = signed_in.get(edit("lead-generation")).text
    for words in (
        ">Lead Webhook URL</label>",
        ">Lead Webhook Authentication</label>",
        ">None</option>",
        ">Signature Verification (Shared Token)</option>",
        ">Shared Token</label>",
        ">CRM production</option>",
        ">Lead Notification Email</label>",
        ">Error reports also to</label>",
        ">Automatic retries</label>",
        ">Parallel requests</label>",
        ">Save</button>",
        'href="/docs/webhooks"',
    ):
        assert words in page
    assert "when-signed" in page
    assert re.findall(r'<li class="tag">([^<]+)</li>', page) == ["5 s", "5 min", "30 min", "2 h", "5 h", "10 h", "10 h"]


def test_everything_is_saved(signed_in: FlaskClient, interface: Interface, token: ApiKey) -> None:
    answer = save(
        signed_in,
        interface,
        authentication="shared",
        shared_token=token.public_id,
        automatic_retries=None,
        parallel_requests="4",
        notification_emails="sales@example.com, ada@example.com, sales@example.com",
        report_emails="it@example.com",
    )
    assert answer.status_code == 303
    webhook = interface.webhook
    assert (webhook.url, webhook.authentication, webhook.shared_token) == (URL, Authentication.SHARED_TOKEN, token)
    assert (webhook.automatic_retries, webhook.parallel_requests) == (False, 4)
    assert interface.notification_emails == ["sales@example.com", "ada@example.com"]
    assert interface.report_emails == ["it@example.com"]
    page = signed_in.get(answer.location).text
    assert "Saved." in page
    assert '<option selected value="shared">' in page
    assert "sales@example.com, ada@example.com" in page


def test_a_signature_without_a_token_is_refused_and_says_so(signed_in: FlaskClient, interface: Interface) -> None:
    answer = save(signed_in, interface, authentication="shared")
    assert answer.status_code == 422
    assert "A signature needs a Shared Token: choose one, or make one with New." in answer.text
    assert URL.replace("&", "&amp;") in answer.text, "what was typed is still there"
    assert interface.webhook.url is None


def test_a_token_must_be_the_accounts_and_live(
    signed_in: FlaskClient, interface: Interface, owner: User, token: ApiKey
) -> None:
    with transaction():
        other = users.create_owner("bob@example.com", "correct horse battery", "Bob's Boats")
        theirs, _ = api_keys.create_shared_token(other.account_id, other.id, "Theirs")
        api_keys.revoke(token)
    for wrong in (theirs.public_id, token.public_id, "key_none", "shared", "\x00"):
        answer = save(signed_in, interface, authentication="shared", shared_token=wrong)
        assert answer.status_code == 422
        assert "This Shared Token does not exist any more." in answer.text
    assert "Theirs" not in signed_in.get(f"/interfaces/{interface.public_id}/edit/lead-generation").text
    assert interface.webhook.authentication == Authentication.NONE


@pytest.mark.parametrize(
    ("control", "value", "words"),
    [
        ("webhook_url", "crm.example.com", "The URL must begin with https:// or http://"),
        ("webhook_url", "https://user:secret@crm.example.com/", "must not contain a user name or password"),
        ("webhook_url", "https://crm.example.com/" + "x" * 2048, "longer than 2048 characters"),
        ("webhook_url", "https://crm.example.com/\x00", "invisible character"),
        ("webhook_url", "javascript:alert(1)", "The URL must begin with"),
        ("authentication", "basic", "Choose None or Signature Verification (Shared Token)."),
        ("parallel_requests", "0", "whole number from 1 to 16"),
        ("parallel_requests", "17", "whole number from 1 to 16"),
        ("parallel_requests", "many", "whole number from 1 to 16"),
        ("parallel_requests", "", "whole number from 1 to 16"),
        ("parallel_requests", "9" * 5000, "whole number from 1 to 16"),
        ("notification_emails", "sales@example.com, nonsense", "“nonsense” is not an e-mail address."),
        ("notification_emails", "a@example.com\r\nBcc: b@example.com", "is not an e-mail address."),
        ("report_emails", "it@example", "“it@example” is not an e-mail address."),
        ("report_emails", ",".join(f"a{n}@example.com" for n in range(21)), "at most 20 addresses"),
    ],
)
def test_bad_settings_are_refused_beside_their_control(
    signed_in: FlaskClient, interface: Interface, control: str, value: str, words: str
) -> None:
    answer = save(signed_in, interface, **{control: value})
    assert answer.status_code == 422
    (error,) = re.findall(rf'id="{control}-error">.*?</svg>([^<]+)</p>', answer.text)
    assert words in error
    assert interface.webhook.url is None, "nothing is half-saved"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.0.0.5/hook", "The address of 10.0.0.5 is not public, and this installation does not allow it."),
        ("http://[::ffff:192.168.0.1]/", "is not public"),
        ("http://2852039166/latest/meta-data/", "The address of 2852039166 is not public"),
        ("https://intranet.example.com/", "The address of intranet.example.com is not public"),
        ("https://crm.example.com:6379/", "Port 6379 of crm.example.com is not a port for webhooks."),
        ("https://93.184.216.34:22/", "Port 22 of 93.184.216.34 is not a port for webhooks."),
    ],
)
def test_a_url_of_a_blocked_address_is_refused_when_it_is_saved(
    signed_in: FlaskClient, interface: Interface, names: dict[str, str], url: str, words: str
) -> None:
    names |= {"intranet.example.com": "10.0.0.5", "2852039166": "169.254.169.254"}
    answer = save(signed_in, interface, webhook_url=url)
    assert answer.status_code == 422
    (error,) = re.findall(r'id="webhook_url-error">.*?</svg>([^<]+)</p>', answer.text)
    assert words in error
    if "10.0.0.5" not in url:
        assert "10.0.0.5" not in error, "the error must not reveal the internal address of a name"
    assert interface.webhook.url is None


def test_an_allowed_network_is_accepted_on_any_port(signed_in: FlaskClient, interface: Interface) -> None:
    answer = save(signed_in, interface, webhook_url="http://127.0.0.1:6379/")
    assert answer.status_code == 303
    assert "resolve" not in signed_in.get(answer.location).text


def unanswered(problem: BaseException | None) -> Callable[..., list[object]]:
    def resolver(*asked: object) -> list[object]:
        if problem:
            raise problem
        Event().wait(10)
        return []

    return resolver


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "none"), "The name crm.example.com does not resolve at the moment."),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "The name crm.example.com does not resolve at the moment."),
        (None, "The name crm.example.com could not be looked up within 0.1 s."),
    ],
)
def test_a_name_that_does_not_resolve_is_saved_with_a_warning(
    signed_in: FlaskClient,
    interface: Interface,
    monkeypatch: pytest.MonkeyPatch,
    problem: BaseException | None,
    words: str,
) -> None:
    monkeypatch.setattr(webhooks, "resolve", partial(resolve, resolver=unanswered(problem)))
    monkeypatch.setattr(webhooks, "LOOKUP_SECONDS", 0.1)
    answer = save(signed_in, interface)
    assert answer.status_code == 303
    page = signed_in.get(answer.location).text
    assert words in page
    assert "Saved." in page
    assert interface.webhook.url == URL


def test_no_transaction_is_open_while_a_name_is_looked_up(
    app: Flask, signed_in: FlaskClient, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite a transaction would hold the only lock, on PostgreSQL a connection."""
    open_ones: list[int] = []

    def resolver(host: str, port: int, *more: object) -> list[object]:
        open_ones.append(pool.checkedout())
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    db.session.rollback()
    pool: Any = db.engine.pool
    monkeypatch.setattr(webhooks, "resolve", partial(resolve, resolver=resolver))
    assert save(signed_in, interface).status_code == 303
    assert open_ones == [0]


def test_an_empty_url_keeps_leads_here(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in, interface)
    assert save(signed_in, interface, webhook_url="  ").status_code == 303
    assert interface.webhook.url is None


# Send test lead ------------------------------------------------------------------------------------------------------


def answer_test(delivery: Delivery, code: int, response: str, token: ApiKey | None = None) -> None:
    """Records an attempt as the worker does."""
    with transaction():
        delivery.retry_at = None
        delivery.state = DeliveryState.DELIVERED if code < 300 else DeliveryState.FAILED
        db.session.add(
            Attempt(
                delivery=delivery,
                reason=Reason.TEST,
                started_at=utcnow(),
                url=URL,
                timestamp=1795420800,
                signed_with_id=token.id if token else None,
                code=code,
                response=response,
                duration_ms=143,
            )
        )


def test_a_test_is_refused_until_a_url_is_saved(signed_in: FlaskClient, interface: Interface) -> None:
    path = f"/interfaces/{interface.public_id}/tests"
    for headers in ({}, HTMX):
        answer = signed_in.post(path, data=SETTINGS, headers=headers)
        assert answer.status_code == 422
        assert "Save a Lead Webhook URL first" in answer.text
        assert ("<html" in answer.text) is (headers != HTMX)
    assert db.session.query(Lead).count() == 0
    assert interface.webhook.url is None, "a test saves nothing"


def test_a_test_polls_until_there_is_an_outcome(signed_in: FlaskClient, interface: Interface, token: ApiKey) -> None:
    save(signed_in, interface, authentication="shared", shared_token=token.public_id)
    queued = signed_in.post(f"/interfaces/{interface.public_id}/tests", headers=HTMX).text
    (path,) = re.findall(r'hx-get="([^"]+)" hx-trigger="every 700ms"', queued)
    assert "Queued" in queued
    assert "hx-trigger" in signed_in.get(path, headers=HTMX).text
    answer_test(db.session.query(Delivery).one(), 200, '{"ok":true,"note":"<b>"}', token)
    done = signed_in.get(path, headers=HTMX).text
    assert "hx-trigger" not in done
    assert "<html" not in done
    for words in (
        "Delivered: 200 OK in 143 ms",
        "Signed with <bdi>CRM production</bdi>",
        "&#34;ok&#34;: true",
        "v1,••••",
    ):
        assert words in done
    assert "<b>" not in done


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (204, "Delivered: 204 No Content"),
        (500, "Failed: 500 Internal Server Error"),
        (999, "Failed: 999, no answer"),
        (299, "Delivered: 299 in"),
    ],
)
def test_an_outcome_is_explained_in_words(signed_in: FlaskClient, interface: Interface, code: int, words: str) -> None:
    save(signed_in, interface)
    signed_in.post(f"/interfaces/{interface.public_id}/tests")
    delivery = db.session.query(Delivery).one()
    answer_test(delivery, code, "")
    page = signed_in.get(f"/interfaces/{interface.public_id}/tests/{delivery.message_id}").text
    assert words in page
    assert "the answer has no body" in page
    assert "Unsigned" in page


def test_without_javascript_a_page_with_refresh_shows_it(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in, interface)
    answer = signed_in.post(f"/interfaces/{interface.public_id}/tests")
    assert answer.status_code == 303
    page = signed_in.get(answer.location).text
    assert "<html" in page
    assert f'href="{answer.location}"' in page
    assert "Refresh" in page


def test_polling_ends_with_a_sentence_if_no_worker_runs(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in, interface)
    path = signed_in.post(f"/interfaces/{interface.public_id}/tests").location
    with transaction():
        db.session.query(Lead).one().received_at = utcnow() - timedelta(minutes=2)
    page = signed_in.get(path, headers=HTMX).text
    assert "No worker has sent it yet." in page
    assert "hx-trigger" not in page


def test_a_test_that_could_not_be_signed_says_why(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in, interface)
    path = signed_in.post(f"/interfaces/{interface.public_id}/tests").location
    with transaction():
        delivery = db.session.query(Delivery).one()
        delivery.state, delivery.retry_at = DeliveryState.ON_HOLD, None
        delivery.state_reason = "Its Shared Token was revoked."
    assert "Its Shared Token was revoked." in signed_in.get(path, headers=HTMX).text


# Pause, Resume, Delete -----------------------------------------------------------------------------------------------


def test_pause_holds_and_resume_sends(signed_in: FlaskClient, interface: Interface, edit: Callable[..., str]) -> None:
    save(signed_in, interface)
    assert ">Pause<" not in signed_in.get(edit("embed")).text
    answer = signed_in.post(f"/interfaces/{interface.public_id}/pause")
    assert (answer.status_code, answer.location) == (303, edit("lead-generation"))
    page = signed_in.get(answer.location).text
    for words in ("The webhook is paused", "Paused by alice@example.com.", "Resume</button>"):
        assert words in page
    with transaction():
        captured(interface.public_id, {"name": "Ada"})
    assert "1 lead held" in signed_in.get("/interfaces").text
    for _ in range(2):  # a double click
        assert signed_in.post(f"/interfaces/{interface.public_id}/resume").status_code == 303
    db.session.expire_all()
    assert interface.webhook.state == WebhookState.ACTIVE
    assert "1 lead on hold is sent now." in signed_in.get(edit("lead-generation")).text


def test_a_test_of_a_paused_webhook_is_refused(signed_in: FlaskClient, interface: Interface) -> None:
    save(signed_in, interface)
    signed_in.post(f"/interfaces/{interface.public_id}/pause")
    answer = signed_in.post(f"/interfaces/{interface.public_id}/tests", headers=HTMX)
    assert answer.status_code == 422
    assert "This webhook is paused." in answer.text


def test_delete_says_what_will_happen_and_then_deletes(
    signed_in: FlaskClient, interface: Interface, edit: Callable[..., str]
) -> None:
    save(signed_in, interface)
    with transaction():
        captured(interface.public_id, {"name": "Ada"})
    path = f"/interfaces/{interface.public_id}/delete"
    for page in (signed_in.get(edit()).text, signed_in.get(path).text):
        assert "1 lead that is waiting to be sent is cancelled. The lead it collected is kept." in page
    answer = signed_in.post(path)
    assert (answer.status_code, answer.location) == (303, "/interfaces")
    page = signed_in.get("/interfaces").text
    assert "“Contact sales” is deleted. 1 lead waiting to be sent is cancelled." in page
    assert db.session.query(Delivery).one().state == DeliveryState.CANCELLED
    assert db.session.query(Lead).count() == 1
    for gone in (edit(), edit("embed"), edit("lead-generation")):
        assert signed_in.get(gone).status_code == 404
    assert signed_in.post(path).status_code == 404


# Access --------------------------------------------------------------------------------------------------------------

TABS = ("edit", "edit/fields", "edit/lead-generation", "edit/embed", "delete")
ACTIONS = ("edit", "edit/lead-generation", "tests", "pause", "resume", "delete")


def test_an_interface_of_another_account_is_not_found(
    signed_in: FlaskClient, stranger: FlaskClient, interface: Interface
) -> None:
    save(signed_in, interface)
    test = signed_in.post(f"/interfaces/{interface.public_id}/tests").location
    for path in [*(f"/interfaces/{interface.public_id}/{tab}" for tab in TABS), test]:
        assert stranger.get(path).status_code == 404
    for action in ACTIONS:
        assert stranger.post(f"/interfaces/{interface.public_id}/{action}", data=SETTINGS).status_code == 404
    assert "Contact sales" not in stranger.get("/interfaces").text
    db.session.expire_all()
    assert interface.archived_at is None
    assert interface.webhook.state == WebhookState.ACTIVE


@pytest.mark.parametrize("public_id", ["if_none", "%00", "..", "🎣", "x" * 500])
def test_an_invalid_id_is_not_found(signed_in: FlaskClient, public_id: str) -> None:
    assert signed_in.get(f"/interfaces/{public_id}/edit").status_code == 404
    assert signed_in.post(f"/interfaces/{public_id}/delete").status_code == 404


@pytest.mark.parametrize(("role", "code"), [(Role.ADMIN, 200), (Role.EDITOR, 200), (Role.LEADS_ONLY, 403)])
def test_interfaces_are_hidden_from_users_who_only_see_leads(
    signed_in: FlaskClient, owner: User, interface: Interface, role: Role, code: int
) -> None:
    with transaction():
        owner.role = role
    for path in ("/interfaces", *(f"/interfaces/{interface.public_id}/{tab}" for tab in TABS)):
        assert signed_in.get(path).status_code == code
    assert signed_in.get("/").location == ("/interfaces" if code == 200 else "/leads")


def test_a_get_changes_nothing(signed_in: FlaskClient, interface: Interface) -> None:
    assert signed_in.get(f"/interfaces/{interface.public_id}/pause").status_code == 405
    assert signed_in.get(f"/interfaces/{interface.public_id}/tests").status_code == 405


def test_interfaces_need_sign_in(client: FlaskClient, interface: Interface) -> None:
    for path in ("/", "/interfaces", "/interfaces/new", f"/interfaces/{interface.public_id}/edit"):
        answer = client.get(path)
        assert answer.status_code == 303
        assert answer.location.startswith("/login")
