"""Views of forms that come at the same time, to the real web processes: each gets the page that it asked for."""

import re
from http.client import HTTPConnection

import pytest
from flask import Flask
from sqlalchemy import text

from tests.conftest import ON_POSTGRESQL
from tests.journeys.test_posts_together import answered, clients
from tests.journeys.test_stalled_clients import site_of, stalled
from tests.support.waiting import wait_until
from webapp.blueprints.short_way import LARGE
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import FieldType, Interface, User
from webapp.services.interfaces import fields, interfaces

ROUNDS = 5
TOKEN = re.compile('name="_token" value="([^"]+)"')


def view(client: HTTPConnection, path: str) -> None:
    client.request("GET", path, headers={"Accept": "text/html"})


@pytest.fixture
def forms(interface: Interface, owner: User) -> dict[str, str]:
    """Addresses of forms, by what their pages show."""
    with transaction():
        closed, large = (interfaces.create(owner.account_id, name) for name in ("Closed", "Large"))
        interfaces.close(closed)
        options = "\n".join(f"{number} {'ö' * 150}" for number in range(100))
        for number in range(20):
            fields.add(large, FieldType.SELECT, {"label": f"Which {number}", "options": options})
        return {
            "open": f"/f/{interface.public_id}",
            "framed": f"/f/{interface.public_id}?_frame=1&utm_source=newsletter",
            "closed": f"/f/{closed.public_id}",
            "none": "/f/if_0",
            "large": f"/f/{large.public_id}",
        }


def test_each_of_many_gets_its_own_page(app: Flask, forms: dict[str, str]) -> None:
    shown = {
        "open": (200, "Contact sales", True),
        "framed": (200, 'name="_source"', True),
        "closed": (200, "Closed", False),
        "none": (404, "There is no form here", False),
        "large": (200, "Which 4", True),
    }
    kinds = [*shown, *shown, "open", "open"]
    tokens: list[str] = []
    with site_of(app) as site, clients(site, len(kinds)) as connections:
        for _ in range(ROUNDS):
            for client, kind in zip(connections, kinds, strict=True):
                view(client, forms[kind])
            for client, kind in zip(connections, kinds, strict=True):
                status, words, is_open = shown[kind]
                code, body = answered(client)
                assert (code, words in body) == (status, True), body
                found = TOKEN.findall(body)
                assert len(found) == is_open, kind
                tokens += found
        assert len(set(tokens)) == len(tokens) == 8 * ROUNDS
        db.session.rollback()


def test_a_change_is_seen_by_all_that_come_after_it(app: Flask, forms: dict[str, str], interface: Interface) -> None:
    with site_of(app) as site, clients(site) as connections:
        for name in ("Before", "After"):
            with transaction():
                fields.change(interface, interface.fields[0], {"label": name, "required": True})
            for client in connections:
                view(client, forms["open"])
            assert [f">{name}" in answered(client)[1] for client in connections] == [True] * len(connections)


def test_a_client_that_does_not_read_a_long_page_holds_up_no_other_view(app: Flask, forms: dict[str, str]) -> None:
    request = f"GET {forms['large']} HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n".encode()
    with site_of(app) as site, clients(site, 1) as [other]:
        for _ in range(4):  # both processes keep the page
            view(other, forms["large"])
            assert len(answered(other)[1]) > 2 * LARGE
        with stalled(site, request, 6, small_window=True) as slow:
            wait_until(lambda: all(client.recv(1) for client in slow), "the pages to begin")
            for _ in range(20):
                view(other, forms["open"])
                assert answered(other)[0] == 200


@pytest.mark.skipif(not ON_POSTGRESQL, reason="readers of SQLite wait for nobody")
def test_style_sheets_and_other_pages_do_not_wait_for_views_that_wait(app: Flask, forms: dict[str, str]) -> None:
    db.session.rollback()
    with site_of(app, "--workers", "1") as site, clients(site) as connections, clients(site, 1) as [other]:
        view(other, forms["open"])
        sheet = re.findall('/f/look/[^"]+', answered(other)[1])[0]
        with transaction():
            db.session.execute(text("LOCK TABLE interfaces IN ACCESS EXCLUSIVE MODE"))
            for client in connections:
                view(client, forms["open"])
            for _ in range(5):
                view(other, sheet)
                assert answered(other)[0] == 200
        assert [answered(client)[0] for client in connections] == [200] * len(connections)
