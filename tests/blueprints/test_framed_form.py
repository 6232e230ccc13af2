"""The form in frames and for scripts: who frames it, whose post it is, and what the answer is."""

import json
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.support.factories import ADA, point_at
from webapp.clock import utcnow
from webapp.db.transactions import transaction
from webapp.delivery.rings import queues
from webapp.extensions import db
from webapp.models import Delivery, FieldType, Interface, Lead
from webapp.services.intake import packed_source, refused_sites, visitor
from webapp.services.interfaces import fields
from webapp.services.leads import forgetting

pytestmark = pytest.mark.once

ELSEWHERE = "https://shop.example/thanks"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
IFRAME = {**HTML, "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"}
ALLOWED = ["https://shop.example"]


@pytest.fixture
def form(interface: Interface) -> str:
    return f"/f/{interface.public_id}"


def change(interface: Interface, **settings: object) -> None:
    with transaction():
        found = db.session.get_one(Interface, interface.id)
        found.updated_at = utcnow()
        for name, value in settings.items():
            setattr(found, name, value)


def leads() -> list[Lead]:
    db.session.rollback()
    found = list(db.session.scalars(select(Lead).order_by(Lead.id)))
    db.session.rollback()
    return found


def token(client: FlaskClient, form: str) -> str:
    [found] = re.findall(rf'name="{visitor.TOKEN}" value="([^"]+)"', client.get(form).text)
    return found


# Frames --------------------------------------------------------------------------------------------------------------


def test_over_plain_http_a_frame_is_known_by_its_address(client: FlaskClient, interface: Interface, form: str) -> None:
    """No Sec-Fetch-Dest comes: every page of the frame has the script, and none opens the redirect page inside."""
    change(interface, redirect_url=ELSEWHERE)
    shown = client.get(f"{form}?_frame=1", headers=HTML)
    assert f'action="{form}?_frame=1"' in shown.text
    refused = client.post(f"{form}?_frame=1", data={}, headers=HTML)
    assert (refused.status_code, f'action="{form}?_frame=1"' in refused.text) == (422, True)
    sent = client.post(f"{form}?_frame=1", data=ADA, headers=HTML)
    [lead] = leads()
    assert (sent.status_code, sent.location) == (303, f"{form}/thank-you?_frame=1&_lead={lead.public_id}")
    thanks = client.get(sent.location, headers=HTML)
    assert f'href="{ELSEWHERE}" target="_top"' in thanks.text
    change(interface, closed_at=utcnow())
    pages = [shown, refused, thanks, client.get(f"{form}?_frame=1", headers=HTML)]
    pages += [
        client.post(f"{form}?_frame=1", data=ADA, headers=HTML),
        client.get("/f/if_unknown?_frame=1", headers=HTML),
        client.post(f"{form}?_frame=1", data=b"x" * 300_000, headers=HTML),
        client.put(f"{form}?_frame=1", headers=HTML),
    ]
    for page in pages:
        assert "/f/script/" in page.text, page.status
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object"])
def test_a_frame_made_by_hand_is_known_by_the_browser(
    client: FlaskClient, interface: Interface, form: str, dest: str
) -> None:
    change(interface, redirect_url=ELSEWHERE)
    headers = {**IFRAME, "Sec-Fetch-Dest": dest}
    assert "/f/script/" in client.get(form, headers=headers).text
    assert client.post(form, data=ADA, headers=headers).location.startswith(f"{form}/thank-you?_frame=1")


@pytest.mark.parametrize("query", ["", "?_frame=1"])
def test_a_page_of_its_own_is_no_frame(client: FlaskClient, interface: Interface, form: str, query: str) -> None:
    """Also a frame's address that a visitor opened in a tab."""
    change(interface, redirect_url=ELSEWHERE)
    headers = {**HTML, "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    assert "<script" not in client.get(f"{form}{query}", headers=headers).text
    assert client.post(f"{form}{query}", data=ADA, headers=headers).location == ELSEWHERE


def test_a_form_sent_again_thanks_for_the_same_lead(client: FlaskClient, form: str) -> None:
    sent = {**ADA, visitor.TOKEN: token(client, form)}
    places = {client.post(f"{form}?_frame=1", data=sent, headers=HTML).location for _ in range(3)}
    assert places == {f"{form}/thank-you?_frame=1&_lead={lead.public_id}" for lead in leads()}
    other = client.post(f"{form}?_frame=1", data={**sent, "message": "More"}, headers=HTML).location
    assert other not in places


def test_the_page_of_a_frame_whose_page_hides_itself_is_the_form_without_what_is_tracked(
    client: FlaskClient, form: str
) -> None:
    own = f"http://localhost{form}?_frame=1&{visitor.SOURCE}=eyJ4Ijp9&plan=pro"
    client.post(f"{form}?_frame=1", data=ADA, headers={**HTML, "Referer": own})
    client.post(form, data=ADA, headers={**HTML, "Referer": f"http://localhost{form}?utm_source=mail"})
    assert [lead.source["page_url"] for lead in leads()] == [
        f"http://localhost{form}",
        f"http://localhost{form}?utm_source=mail",
    ]


def test_every_answer_may_be_shown_in_pages_that_isolate_themselves(client: FlaskClient, form: str) -> None:
    shown = client.get(f"{form}?_frame=1")
    files = re.findall(r'(?:src|href)="(/[^"]+)"', shown.text)
    assert len(files) == 2, files
    answers = [shown, *(client.get(path) for path in files), client.get("/embed.js"), client.get(f"{form}/thank-you")]
    answers += [client.post(form, data=ADA), client.post(form, json={}), client.get("/f/if_unknown"), client.put(form)]
    for answer in answers:
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin", answer.request.path
    for page in (shown, client.get(f"{form}/thank-you"), client.post(form, data={}), client.get("/f/if_unknown")):
        assert page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_the_honeypot_has_the_name_and_the_label_that_browsers_do_not_fill_in(client: FlaskClient, form: str) -> None:
    """tests/browser/test_honeypot.py shows that Chromium fills it in under other names, despite autocomplete=off."""
    assert visitor.TRAP == "_website"
    [trap] = re.findall(r'<div class="lf-trap".*?</div>', client.get(form).text, re.S)
    assert '<label for="_website">Leave this empty</label>' in trap
    assert '<input id="_website" name="_website" tabindex="-1" autocomplete="off">' in trap


# Origin: null --------------------------------------------------------------------------------------------------------

NULL = {**HTML, "Origin": "null"}


def test_a_sandboxed_frame_on_an_allowed_page_posts_with_the_token_of_the_form(
    client: FlaskClient, interface: Interface, form: str
) -> None:
    sent = {**ADA, visitor.TOKEN: token(client, form)}
    change(interface, allowed_sites=ALLOWED)
    assert client.post(f"{form}?_frame=1", data=sent, headers=NULL).status_code == 303
    assert client.post(f"{form}?_frame=1", data={**sent, "email": "no"}, headers=NULL).status_code == 422
    assert client.post(form, json={**sent, "name": "Grace"}, headers={"Origin": "null"}).status_code == 201
    assert [lead.name for lead in leads()] == ["Ada Lovelace", "Grace"]


Spoil = Callable[[str, str], dict[str, str]]
SPOILED: dict[str, Spoil] = {
    "no token": lambda good, other: {},
    "an empty one": lambda good, other: {visitor.TOKEN: ""},
    "another form's": lambda good, other: {visitor.TOKEN: other},
    "a forged one": lambda good, other: {visitor.TOKEN: good[:-2] + ("AA" if good[-2:] != "AA" else "BB")},
    "under another name": lambda good, other: {"token": good},
    "in pieces": lambda good, other: {visitor.TOKEN: good.partition(".")[0]},
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_without_the_token_of_the_form_a_post_from_nowhere_is_refused(
    client: FlaskClient, interface: Interface, form: str, spoil: str
) -> None:
    good, other = token(client, form), visitor.new_token("if_other")
    change(interface, allowed_sites=ALLOWED)
    sent = {**ADA, **SPOILED[spoil](good, other)}
    assert client.post(form, data=sent, headers=NULL).status_code == 403
    assert client.post(f"{form}?{visitor.TOKEN}={good}", data=sent, headers=NULL).status_code == 403
    assert leads() == []


@pytest.mark.parametrize("origin", ["https://other.example", "http://shop.example", "NULL", "", "https://null"])
def test_a_token_opens_the_form_to_no_other_site(
    client: FlaskClient, interface: Interface, form: str, origin: str
) -> None:
    sent = {**ADA, visitor.TOKEN: token(client, form)}
    change(interface, allowed_sites=ALLOWED)
    assert client.post(form, data=sent, headers={**HTML, "Origin": origin}).status_code == 403


def test_without_allowed_sites_every_origin_may_post(client: FlaskClient, form: str) -> None:
    for origin in ("null", "https://other.example", "file://"):
        assert client.post(form, data=ADA, headers={**HTML, "Origin": origin}).status_code == 303


# Scripts -------------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "fetch": {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Origin": "https://a.example"},
    "fetch on the same site": {"Accept": "*/*", "Sec-Fetch-Mode": "same-origin"},
    "fetch without cors": {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "fetch over plain http": {"Accept": "*/*", "Origin": "http://a.example"},
    "fetch without an Accept": {"Origin": "http://a.example"},
    "XMLHttpRequest of a library": {"Accept": "*/*", "X-Requested-With": "XMLHttpRequest"},
    "a server's fetch": {"Accept": "*/*", "Sec-Fetch-Mode": "cors"},
    "axios": {"Accept": "application/json, text/plain, */*", "Origin": "http://a.example"},
    "jQuery": {"Accept": "application/json, text/javascript, */*; q=0.01", "Origin": "http://a.example"},
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_gets_json_whatever_it_sends(client: FlaskClient, interface: Interface, form: str, what: str) -> None:
    change(interface, redirect_url=ELSEWHERE)
    headers = SCRIPTS[what]
    for more in ({"data": ADA}, {"data": ADA, "content_type": "multipart/form-data"}, {"json": ADA}):
        answer = client.post(form, headers=headers, **more)
        assert (answer.status_code, answer.json) == (201, {"id": leads()[-1].public_id}), more
    refused = client.post(form, headers=headers, data={})
    assert (refused.status_code, "email" in refused.json["errors"]) == (422, True)
    assert client.post("/f/if_unknown", headers=headers, data=ADA).json["errors"]["_form"]
    change(interface, closed_at=utcnow())
    assert client.post(form, headers=headers, data=ADA).json["errors"]["_form"]


PAGES: dict[str, tuple[dict[str, str], str]] = {
    "a browser": ({**HTML, "Sec-Fetch-Mode": "navigate", "Origin": "https://a.example"}, ELSEWHERE),
    "a browser over plain http": ({**HTML, "Origin": "http://a.example"}, ELSEWHERE),
    "curl": ({"Accept": "*/*"}, ELSEWHERE),
    "a program without headers": ({}, ELSEWHERE),
    "a script that asks for a page": ({"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, "thank-you"),
    "a library that asks for a page": ({"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, "thank-you"),
}


@pytest.mark.parametrize("what", PAGES)
def test_others_get_a_page_and_a_script_only_one_that_it_can_read(
    client: FlaskClient, interface: Interface, form: str, what: str
) -> None:
    change(interface, redirect_url=ELSEWHERE)
    headers, where = PAGES[what]
    answer: TestResponse = client.post(form, data=ADA, headers=headers)
    assert (answer.status_code, answer.location) == (303, f"{form}/{where}" if where == "thank-you" else where)


# Where a form is refused ---------------------------------------------------------------------------------------------


def test_the_embed_tab_says_where_the_form_was_refused(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, form: str
) -> None:
    change(interface, allowed_sites=ALLOWED)
    tab = f"/interfaces/{interface.public_id}/edit/embed"
    assert "were refused" not in signed_in.get(tab).text
    for referrer in ("https://new.shop.example/", "https://shop.example/contact", "http://localhost/x", None):
        client.get(f"{form}?_frame=1", headers={**IFRAME, **({"Referer": referrer} if referrer else {})})
    client.get(form, headers={**HTML, "Referer": "https://linked.example/"})  # a link, not a frame
    for origin in ("https://plain.example", "null"):
        client.post(form, data=ADA, headers={**HTML, "Origin": origin})
    page = signed_in.get(tab).text
    assert re.findall(r'<li><span class="mono break">([^<]+)</span>', page) == [
        "https://plain.example",
        "https://new.shop.example",
    ]
    change(interface, allowed_sites=[*ALLOWED, "https://*.shop.example", "https://plain.example"])
    assert "were refused" not in signed_in.get(tab).text, "they are allowed now"
    change(interface, allowed_sites=[])
    assert "were refused" not in signed_in.get(tab).text, "any site is"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "null",
        "javascript:x",
        "https://",
        "https://[",
        "https://a b.example/",
        "https://<b>.example",
        "https://" + "a" * 300,
    ],
)
def test_what_is_no_site_is_not_noted(app: Flask, interface: Interface, address: str) -> None:
    interface.allowed_sites = ALLOWED
    refused_sites.note(interface, address, ())
    assert refused_sites.listed(interface) == []
    db.session.rollback()


def test_only_the_newest_sites_are_noted(app: Flask, interface: Interface) -> None:
    interface.allowed_sites = ALLOWED
    for number in range(30):
        refused_sites.note(interface, f"https://a{number}.example/page", ())
    assert {site for site, _ in refused_sites.listed(interface)} <= {
        f"https://a{number}.example" for number in range(30)
    }
    assert len(refused_sites.listed(interface)) == refused_sites.MOST
    assert 0 < queues.redis.ttl(f"leadhook:refused:{interface.public_id}") <= refused_sites.KEPT
    db.session.rollback()


def test_without_redis_the_form_and_the_tab_are_shown(
    make_app: Callable[..., Flask], interface: Interface, form: str
) -> None:
    change(interface, allowed_sites=ALLOWED)
    db.session.rollback()
    app = make_app(REDIS_URL="redis://127.0.0.1:1")
    headers = {**IFRAME, "Referer": "https://other.example/"}
    assert app.test_client().get(form, headers=headers).status_code == 200
    with app.app_context():
        assert refused_sites.listed(Interface(public_id="if_x", allowed_sites=ALLOWED)) == []


# From the landing page to the receiver -------------------------------------------------------------------------------


def test_the_first_touch_goes_from_the_loader_to_the_payload_the_page_the_csv_and_is_forgotten(
    client: FlaskClient, signed_in: FlaskClient, interface: Interface, form: str
) -> None:
    point_at(interface, "http://127.0.0.1:9/")
    known = {
        "page_url": "https://shop.example/contact",
        "utm_source": "mail",
        "first_page_url": "https://shop.example/",
    }
    known |= {"first_referrer": "https://search.example/?q=ada?", "first_utm_source": "ad", "first_gclid": "g1"}
    known |= {"first_at": "2026-11-23T08:00:00.000Z"}
    shown = client.get(f"{form}?_frame=1&{visitor.SOURCE}={packed_source.packed(known)}", headers=HTML).text
    [packed] = re.findall(rf'name="{visitor.SOURCE}" value="([\w-]+)"', shown)
    client.post(f"{form}?_frame=1", data={**ADA, visitor.SOURCE: packed}, headers=HTML)
    client.post(form, data=ADA, headers=HTML)
    db.session.rollback()
    bodies = [json.loads(payload) for payload in db.session.scalars(select(Delivery.payload).order_by(Delivery.id))]
    db.session.rollback()
    source, plain = (body["data"]["source"] for body in bodies)
    assert (source["page_url"], source["utm"]["source"]) == ("https://shop.example/contact", "mail")
    assert source["first_touch"] == {
        "page_url": "https://shop.example/",
        "page_title": None,
        "referrer": "https://search.example/?q=ada?",
        "utm": {"source": "ad", "medium": None, "campaign": None, "term": None, "content": None},
        "click_ids": {"gclid": "g1"},
        "at": "2026-11-23T08:00:00.000Z",
    }
    assert plain["first_touch"] is None
    lead = leads()[0]
    page = signed_in.get(f"/leads/{lead.public_id}").text
    assert "First visit in this tab" in page
    assert "2026-11-23 08:00 UTC" in page
    assert "First visit in this tab" not in signed_in.get(f"/leads/{leads()[1].public_id}").text
    header, *rows = signed_in.get("/leads.csv", buffered=True).text.splitlines()
    row = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert [row[name] for name in ("utm_source", "first_utm_source", "first_click_ids")] == ["mail", "ad", "gclid=g1"]
    assert row["first_page_url"] == "https://shop.example/"
    with transaction():
        forgetting._anonymise([lead.id])
    assert leads()[0].source["first_touch"] == {"utm": source["first_touch"]["utm"]}
    assert "search.example" not in signed_in.get(f"/leads/{lead.public_id}").text


def test_the_query_fills_a_hidden_field_and_what_is_tracked_fills_none(
    client: FlaskClient, interface: Interface, form: str
) -> None:
    with transaction():
        fields.add(db.session.get_one(Interface, interface.id), FieldType.HIDDEN, {"label": "Plan", "key": "plan"})
    packed = packed_source.packed({"utm_source": "news", "plan": "packed"})
    assert 'name="plan" value=""' in client.get(f"{form}?_frame=1&{visitor.SOURCE}={packed}").text
    assert 'name="plan" value="pro"' in client.get(f"{form}?_frame=1&plan=pro&{visitor.SOURCE}={packed}").text
