"""No accepted lead is answered with an error because a header cannot be written with what is stored or posted."""

import io
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from flask import Response
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from tests.conftest import PASSWORD, AppMaker
from tests.services.interfaces.test_after_submit import GOOD, NAMED, NEIGHBOURS
from tests.support.factories import ADA, delivery_of, point_at
from tests.support.installations import listening
from tests.support.receiver import Receiver
from webapp import jobs
from webapp.blueprints import form_pages
from webapp.blueprints.files import _saved
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead
from webapp.services.files.names import cleaned

pytestmark = pytest.mark.once

NOT_STORED = ("\ud800",)  # half a surrogate pair: neither database keeps it
STORED = [url for url in NAMED + NEIGHBOURS if not any(each in url for each in NOT_STORED)]
WAYS: dict[str, dict[str, str]] = {
    "a browser": {"Accept": "text/html"},
    "a frame": {"Accept": "text/html", "Sec-Fetch-Dest": "iframe"},
    "a program": {"Accept": "application/json"},
    "a script": {"Sec-Fetch-Mode": "cors", "Origin": "https://example.com"},
}


def store(interface: Interface, **values: Any) -> str:
    """Writes columns as an older version or another program may have; returns the form's address."""
    with transaction():
        db.session.execute(update(Interface).where(Interface.id == interface.id).values(**values, updated_at=utcnow()))
        public_id = db.session.scalars(select(Interface.public_id).where(Interface.id == interface.id)).one()
    return f"/f/{public_id}"


def written(answer: Any) -> dict[str, str]:
    """The headers, each as a server can write it."""
    for name, value in answer.headers:
        assert value.encode("latin-1"), name
        assert not {"\r", "\n", "\0"} & set(value), name
    return dict(answer.headers)


def count() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Lead)) or 0


@pytest.mark.parametrize("url", STORED)
def test_a_page_that_was_stored_before_it_was_judged_gives_way_to_the_thank_you_page(
    client: FlaskClient, interface: Interface, url: str
) -> None:
    address = store(interface, redirect_url=url)
    shown = client.get(address)
    assert shown.status_code == 200
    assert "form-action 'self';" in written(shown)["Content-Security-Policy"]
    for number, headers in enumerate(WAYS.values(), start=1):
        answer = client.post(address, data=ADA, headers=headers)
        written(answer)
        assert answer.status_code in (201, 303)
        assert answer.status_code == 201 or answer.location.startswith(f"{address}/thank-you")
        assert count() == number
    thanks = client.get(f"{address}/thank-you")
    assert thanks.status_code == 200
    assert "lf-onward" not in thanks.text


def test_the_general_tab_says_that_visitors_do_not_get_there(signed_in: FlaskClient, interface: Interface) -> None:
    address = f"/interfaces/{interface.public_id}/edit"
    store(interface, redirect_url=NAMED[0])
    assert "The URL has no valid host name. Until this is right" in signed_in.get(address).text
    store(interface, redirect_url=GOOD[0])
    assert "Until this is right" not in signed_in.get(address).text


@pytest.mark.parametrize("url", GOOD)
def test_a_good_page_is_still_gone_to(client: FlaskClient, interface: Interface, url: str) -> None:
    address = store(interface, redirect_url=url)
    assert written(client.post(address, data=ADA, headers=WAYS["a browser"]))["Location"] == url


def test_browsers_get_there_through_a_real_server(make_app: AppMaker, receiver: Receiver) -> None:
    """There the headers are written after the view is over, so that no error page can take their place."""
    with listening(make_app()) as site:
        site.point_at(receiver.url)
        for url in NAMED:
            with site.app.app_context(), transaction():
                db.session.execute(update(Interface).values(redirect_url=url, updated_at=utcnow()))
            asked = Request(site.form_url(), urlencode(ADA).encode(), {"Accept": "text/html"})
            with urlopen(asked, timeout=20) as answer:  # follows the redirect
                assert (answer.status, answer.url) == (200, f"{site.form_url()}/thank-you")
        site.drain()
        assert [lead.fields for lead in site.leads()] == [ADA] * len(NAMED)
        assert len(receiver.requests) == len(NAMED)


def test_a_lead_of_such_a_form_is_stored_and_delivered(
    client: FlaskClient, interface: Interface, receiver: Receiver
) -> None:
    point_at(interface, receiver.url)
    address = store(interface, redirect_url=NAMED[0])
    assert client.post(address, data=ADA).status_code == 303
    webhook_id = interface.webhook.id
    db.session.rollback()
    jobs.drain(webhook_id)
    lead = db.session.scalars(select(Lead)).one()
    assert lead.fields == ADA
    assert delivery_of(lead).last_code == 200
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "site",
    [
        "https://example.com\r\nX-Injected: 1",
        "https://bücher.example",
        "https://example.com; script-src *",
        "https://example。com",
        "https://a b.example",
        "https://例え.example",
        "",
    ],
)
def test_an_allowed_site_that_is_none_is_left_out_and_opens_the_form_to_no_other(
    client: FlaskClient, interface: Interface, site: str
) -> None:
    address = store(interface, allowed_sites=[site, "https://good.example"])
    policy = written(client.get(address))["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://good.example")
    answer = client.post(address, data=ADA, headers={"Origin": "https://good.example"})
    assert answer.status_code == 201
    written(answer)
    assert client.post(address, data=ADA, headers={"Origin": "https://evil.example"}).status_code == 403
    only = store(interface, allowed_sites=[site])
    assert written(client.get(only))["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert client.post(only, data=ADA, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("origin", ["null", "https://é.example", "x" * 3000, "https://a.example\t", "٨", ""])
def test_an_odd_origin_is_never_an_error(client: FlaskClient, interface: Interface, origin: str) -> None:
    address = store(interface, allowed_sites=[])
    answer = client.post(address, data=ADA, headers={"Origin": origin.encode().decode("latin-1")})
    assert answer.status_code == 201
    written(answer)


@pytest.mark.parametrize("name", ["ünï.pdf", "a\u2028b.pdf", 'q"uote\\.pdf', "日本.pdf", "٨.txt", ".pdf", "a\x85b.pdf"])
def test_a_name_of_a_file_never_breaks_its_download(name: str) -> None:
    written(_saved(Response(io.BytesIO(b"x")), cleaned(name), "application/pdf"))


@pytest.mark.parametrize("target", ["/leads?q=%0d%0aX:1", "/leads?q=ü", "/leads?q=%ff", "/[", "/leads?q=\u2028", "/٨"])
def test_the_way_back_after_sign_in_is_written(client: FlaskClient, target: str, interface: Interface) -> None:
    sent = {"email": "alice@example.com", "password": PASSWORD, "next": target}
    answer = client.post("/login", data=sent)
    assert answer.status_code == 303
    assert written(answer)["Location"]


@pytest.mark.parametrize("name", ["wants_json", "thank_you_in_frame", "is_script"])
@pytest.mark.parametrize("way", WAYS)
def test_an_accepted_lead_is_never_answered_500(
    client: FlaskClient, interface: Interface, monkeypatch: pytest.MonkeyPatch, way: str, name: str
) -> None:
    """Its visitor would send it again. What failed stands in the log, with its traceback."""
    address = store(interface, redirect_url=GOOD[0])

    def fails(*_: object) -> bool:
        raise RuntimeError("of the test")

    monkeypatch.setattr(form_pages, name, fails)
    with capture_logs() as logged:
        answer = client.post(address, data=ADA, headers=WAYS[way])
    assert answer.status_code in (201, 303)
    assert count() == 1
    failed = answer.status_code == 303 and answer.location == f"{address}/thank-you"
    said = [(each["event"], bool(each["exc_info"])) for each in logged]
    assert said == ([("the answer to an accepted lead failed", True)] if failed else [])
    assert name != "wants_json" or failed
