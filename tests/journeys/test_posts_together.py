"""Posts that come at the same time, to the real web processes: each gets its own answer, and its own rows."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select, text

from tests.journeys.test_stalled_clients import site_of
from tests.support.factories import ADA
from tests.support.site import Site
from webapp.db.transactions import transaction
from webapp.extensions import db
from webapp.models import Interface, Lead, User
from webapp.services.interfaces import interfaces

CLIENTS, ROUNDS = 12, 5


@contextmanager
def clients(site: Site, number: int = CLIENTS) -> Iterator[list[HTTPConnection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(HTTPConnection("127.0.0.1", site.port, timeout=60))) for _ in range(number)]


def send(client: HTTPConnection, path: str, name: str, email: str = "ada@example.com") -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    client.request("POST", path, urlencode({**ADA, "name": name, "email": email}), headers)


def answered(client: HTTPConnection) -> tuple[int, str]:
    answer = client.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture
def paths(interface: Interface, owner: User) -> tuple[str, str]:
    """An open form, and one that is closed."""
    with transaction():
        closed = interfaces.create(owner.account_id, "Closed")
        interfaces.close(closed)
        return f"/f/{interface.public_id}", f"/f/{closed.public_id}"


def test_each_of_many_gets_its_own_answer_and_rows(app: Flask, paths: tuple[str, str]) -> None:
    is_open, is_closed = paths
    posts = [(is_open, "ada@example.com", 201)] * 8
    posts += [(is_open, "ada", 422), (is_closed, "ada@example.com", 403), ("/f/if_0", "ada@example.com", 404)]
    posts += posts[:1]
    told: dict[str, str] = {}
    db.session.rollback()
    with site_of(app) as site, clients(site) as connections:
        for turn in range(ROUNDS):
            names = [f"Ada {turn} {number}" for number in range(CLIENTS)]
            for client, name, (path, email, _) in zip(connections, names, posts, strict=True):
                send(client, path, name, email)
            for client, name, (_, _, status) in zip(connections, names, posts, strict=True):
                code, body = answered(client)
                assert code == status, body
                if code == 201:
                    told[name] = body
    leads = db.session.scalars(select(Lead).order_by(Lead.id)).all()
    assert sorted(lead.name for lead in leads) == sorted(told)
    for lead in leads:
        assert lead.public_id in told[lead.name]


def test_other_requests_are_answered_while_posts_wait_for_the_database(app: Flask, paths: tuple[str, str]) -> None:
    is_open, _ = paths
    db.session.rollback()
    with site_of(app) as site, clients(site) as connections, clients(site, 1) as [other]:
        other.request("GET", is_open)
        assert answered(other)[0] == 200
        send(connections[0], is_open, "the first one, which both processes need not keep")
        assert answered(connections[0])[0] == 201
        with transaction():
            lock = "LOCK TABLE leads IN EXCLUSIVE MODE" if db.engine.dialect.name == "postgresql" else "SELECT 1"
            db.session.execute(text(lock))
            for number, client in enumerate(connections):
                send(client, is_open, f"Ada {number}")
            for path in ("/healthz", is_open, "/login", "/healthz") * 5:
                other.request("GET", path)
                assert answered(other)[0] == 200, path
        assert [answered(client)[0] for client in connections] == [201] * CLIENTS
    assert len(db.session.scalars(select(Lead)).all()) == CLIENTS + 1
