"""Keys are created; leads are sent, fail, are retried, reported and exported; no secret is left in a wrong place."""

import base64
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path
from secrets import token_urlsafe

import pytest
import requests
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import inspect, select, text

from tests.conftest import KEYS, PASSWORD, AppMaker
from tests.support.forked import running_site
from tests.support.receiver import Receiver, answering
from tests.support.site import Site
from tests.support.smtp import MailServer
from tests.support.waiting import wait_until
from webapp import jobs
from webapp.db.transactions import read_only, transaction
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Interface
from webapp.services.people import users

NEW_PASSWORD = "a battery of horses, correct"
WRONG_PASSWORD = "almost the right one"
ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+15550100", "message": "Hello"}
FRAGMENT, STEP = 16, 8  # so any 23 consecutive characters of a secret are found; its hint shows four


def traces(secret: str) -> set[bytes]:
    """Texts that would reveal a secret: parts of it, of its key as bytes, and of both in other encodings."""
    plain = secret.removeprefix("whsec_")
    forms = {secret.encode(), plain.encode()}
    with suppress(ValueError):
        key = base64.b64decode(plain.replace("-", "+").replace("_", "/"), validate=True)
        forms |= {key, key.hex().encode(), base64.urlsafe_b64encode(key), base64.b64encode(base64.b64encode(key))}
    forms |= {base64.b64encode(secret.encode()), secret.encode().hex().encode()}
    return {form[start : start + FRAGMENT] for form in forms for start in range(0, len(form) - FRAGMENT + 1, STEP)}


class Person:
    """A user with a browser without JavaScript; keeps every page, with headers, that must not hold a secret."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.session = requests.Session()
        self.session.trust_env = False
        self.pages: list[bytes] = []
        self.shown: list[requests.Response] = []  # the pages that may show a secret, once

    def get(self, path: str) -> requests.Response:
        return self._kept(self.session.get(self.site.url + path, timeout=30))

    def post(self, path: str, at: str | None = None, **sent: str) -> requests.Response:
        """Posts the form at `at` (by default at the same address), with its CSRF token."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(at or path).text)
        assert token, at or path
        return self._kept(self.session.post(self.site.url + path, {**sent, "csrf_token": token[1]}, timeout=30))

    def new_secret(self, path: str = "/profile/api-keys/new", **sent: str) -> str:
        answer = self.post(path, **sent)
        self.shown.append(answer)
        self.pages.pop()
        [secret] = re.findall(r"\b(?:whsec_|lhk_|lhp_)[\w+/=-]{20,}", unescape(answer.text))
        return str(secret)

    def _kept(self, answer: requests.Response) -> requests.Response:
        assert answer.status_code < 500, f"{answer.request.method} {answer.url}"
        for one in (*answer.history, answer):
            self.pages.append(f"{one.url} {one.headers}\n".encode() + one.content)
        return answer


def dump(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table except the encrypted column; for SQLite also the file's bytes and free pages."""
    with read_only():
        for table in inspect(db.engine).get_table_names():
            columns = [column["name"] for column in inspect(db.engine).get_columns(table)]
            for row in db.session.execute(text(f'SELECT * FROM "{table}"')).all():
                for name, value in zip(columns, row, strict=True):
                    if (table, name) not in (("api_keys", "secret_encrypted"), ("webhooks", "secrets_encrypted")):
                        yield f"{table}.{name}", value if isinstance(value, bytes) else str(value).encode()
        db.session.rollback()
    for path in home.glob("leadhook.sqlite3*"):
        yield path.name, path.read_bytes()


def valkey_dump(url: str) -> Iterator[tuple[str, bytes]]:
    """Every key and value as bytes, and, for RQ's compressed values, also the uncompressed ones."""
    with Redis.from_url(url) as client:
        keys = list(client.scan_iter(count=1000))
        assert any(key.startswith(b"rq:") for key in keys)
        for key in keys:
            yield "key", key
            for value in values_of(client, key):
                yield f"valkey {key!r}", value
                with suppress(zlib.error):
                    yield f"valkey {key!r}, unpacked", zlib.decompress(value)


def values_of(client: "Redis", key: bytes) -> list[bytes]:
    kind = client.type(key)
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"list":
        return list(client.lrange(key, 0, -1))
    if kind == b"set":
        return list(client.smembers(key))
    if kind == b"zset":
        return list(client.zrange(key, 0, -1))
    if kind == b"stream":
        return [part for _, fields in client.xrange(key) for pair in fields.items() for part in pair]
    return [client.get(key) or b""]


def drained_with_the_wrong_keys(make_app: AppMaker, interface_id: str, **environ: str) -> None:
    """Drains in a process whose ENCRYPTION_KEYS lack the token's key: its error message could leak a secret too."""
    app = make_app(**environ, ENCRYPTION_KEYS=Fernet.generate_key().decode())
    with app.app_context():
        with transaction():
            [webhook] = db.session.query(Interface).filter_by(public_id=interface_id).one().webhooks
            webhook_id = webhook.id
        jobs.drain(webhook_id)
        with read_only():
            reasons = list(
                db.session.scalars(select(Delivery.state_reason).where(Delivery.state == DeliveryState.ON_HOLD))
            )
            db.session.rollback()
        assert ["cannot be decrypted" in reason for reason in reasons] == [True]


def test_no_secret_is_found_where_it_does_not_belong(
    make_app: AppMaker, tmp_path: Path, receiver: Receiver, valkey_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with MailServer() as mails, open(tmp_path / "log", "w+b") as log:
        app = make_app(**mails.environ)
        with app.app_context(), transaction():
            users.create_owner("alice@example.com", PASSWORD, "Brightwater Solar")
        with running_site(app.config["ENVIRON"], log) as site:
            person = Person(site)
            secrets = journey(person, receiver, mails, make_app, mails.environ)
        log.seek(0)
        places = [("a page", page) for page in person.pages] + [("the log", log.read())]
    said = capfd.readouterr()
    places += [("what a process said", f"{said.out}{said.err}".encode())]
    places += [("a mail", bytes(mail.message) + f"{mail.text}{mail.html}".encode()) for mail in mails.received]
    places += [("a webhook", f"{request.headers}".encode() + request.body) for request in receiver.requests]
    with app.app_context():
        places += dump(tmp_path)
        again = app.test_cli_runner().invoke(args=["rotate-encryption"])
        assert again.exit_code == 0
        places += [("what a command said", again.output.encode()), *dump(tmp_path)]
    places += valkey_dump(valkey_url)

    assert {place.partition(".")[0] for place, _ in places} >= {"a page", "a mail", "a webhook", "attempts", "mails"}
    for name, secret in secrets.items():
        found = traces(secret)
        assert found
        for content, place in {content: place for place, content in places}.items():
            assert not any(trace in content for trace in found), f"{name} in {place}"
    for page, name in zip(person.shown, ("Shared Token", "API Key", "public key", "rotated Shared Token"), strict=True):
        assert secrets[name] in unescape(page.text)
        others = [other for other in secrets if other != name]
        assert not any(trace in page.content for other in others for trace in traces(secrets[other]))


def journey(
    person: Person, receiver: Receiver, mails: MailServer, make_app: AppMaker, environ: dict[str, str]
) -> dict[str, str]:
    """Does everything that users do with keys and leads; returns the secrets by their kind."""
    person.post("/login", email="alice@example.com", password=WRONG_PASSWORD)
    person.post("/login", email="alice@example.com", password=PASSWORD)
    token = person.new_secret(type="shared", name="CRM production", access="private")
    key = person.new_secret(type="api", name="Server", access="private")
    public_key = person.new_secret(type="api", name="Site", access="public")

    edit = person.post("/interfaces/new", name="Contact sales").url.removeprefix(person.site.url)
    [token_id] = re.findall(r'<option value="(key_[^"]+)">CRM production', person.get(f"{edit}/lead-generation").text)
    settings = {"authentication": "shared", "shared_token": token_id, "parallel_requests": "1"}
    settings |= {"automatic_retries": "y", "notification_emails": "sales@example.com"}
    person.post(f"{edit}/lead-generation", webhook_url=f"{receiver.url}?key=q7Rd", **settings)

    receiver.answer(status=500, body=b"the database is away")
    form = f"/f/{edit.split('/')[2]}"
    person._kept(person.session.post(person.site.url + form, ADA, timeout=30))
    person._kept(person.session.post(person.site.url + form, json=ADA, timeout=30))
    first = receiver.wait_for(1)[0]
    assert first.headers["webhook-signature"].startswith("v1,")
    wait_until(lambda: "sales@example.com" in f"{[mail.recipients for mail in mails.received]}", "the notification")
    wait_until(lambda: any("ailing" in subject for subject in mails.subjects), "the report", timeout=30)

    rotated = person.new_secret(f"/profile/api-keys/{token_id}/rotate", overlap="24")
    receiver.answer(body=b"taken")
    leads = sorted(set(re.findall(r"/leads/(lead_\w+)", person.get("/leads").text)))
    assert len(leads) == 2
    for lead in leads:
        person.post(f"/leads/{lead}/retry", at="/leads")
    person.post(f"/interfaces/{edit.split('/')[2]}/tests", at=f"{edit}/lead-generation")
    wait_until(lambda: person.get("/leads").text.count("Delivered") >= 2, "the retries")
    assert any(request.headers["webhook-signature"].count("v1,") == 2 for request in receiver.requests)
    person.post(f"/profile/api-keys/{token_id}/revoke-previous", at=f"/profile/api-keys/{token_id}/rotate")
    person.post(f"/interfaces/{edit.split('/')[2]}/pause", at=f"{edit}/lead-generation")
    person._kept(person.session.post(person.site.url + form, ADA, timeout=30))
    with Receiver() as others:
        of_webhooks = with_webhooks(person, others)
    person.site.stop_worker()
    person.post(f"/interfaces/{edit.split('/')[2]}/resume", at=f"{edit}/lead-generation")
    drained_with_the_wrong_keys(make_app, edit.split("/")[2], **environ)

    person.post("/profile/password", at="/profile", current=WRONG_PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD)
    person.post("/profile/password", at="/profile", current=PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD)
    look_around(person, [f"/leads/{lead}" for lead in leads], edit)
    person.post("/logout", at="/profile")
    secrets = {"Shared Token": token, "API Key": key, "public key": public_key, "rotated Shared Token": rotated}
    secrets |= {"password": PASSWORD, "new password": NEW_PASSWORD, "wrong password": WRONG_PASSWORD}
    secrets |= of_webhooks
    return {**secrets, "SECRET_KEY": KEYS["SECRET_KEY"], "ENCRYPTION_KEYS": KEYS["ENCRYPTION_KEYS"]}


def with_webhooks(person: Person, others: Receiver) -> dict[str, str]:
    """Adds a webhook for each way in which a secret is sent, tries, tests and delivers; returns the secrets.

    The receiver repeats in its answers what it was sent, as some do.
    """
    edit = person.post("/interfaces/new", name="Several receivers").url.removeprefix(person.site.url)
    names = ("Bearer token", "password", "key in a query", "key in a header", "custom header", "client secret")
    secrets = {f"webhook's {name}": token_urlsafe(30) for name in names}
    token, password, in_query, in_header, custom, signing = secrets.values()
    kinds = {
        "bearer": {"auth-bearer-token": token},
        "basic": {"auth-basic-user": "ann", "auth-basic-password": password},
        "query": {"auth-query-name": "api_key", "auth-query-value": in_query},
        "header": {"auth-header-name": "X-Key", "auth-header-value": in_header},
        "metalocator": {"auth-metalocator-secret": signing},
    }
    for number, (kind, own) in enumerate(kinds.items(), start=1):
        new = person.post(f"{edit.removesuffix('/edit')}/webhooks/new", name=kind, webhook_url=others.url)
        path = new.url.removeprefix(person.site.url)
        sent = {"name": kind, "webhook_url": others.url, "method": "POST", "authentication": kind, "format": "flat"}
        sent |= {"match": "all", "parallel_requests": "1", "custom_headers": f"X-Custom: {custom}", **own}
        assert person.post(path, **{**sent, "webhook_url": "nothing"}).status_code == 422
        repeated = [custom] if kind == "metalocator" else [custom, *own.values()]
        others.queue(answering(500, " ".join(repeated).encode()))
        assert "Saved." in person.post(path, **sent).text
        assert person.post(f"{path}/try", at=path, **sent).status_code == 200
        person.post(f"{path}/tests", at=path)
        others.wait_for(number)
        person.get(f"{path}/secret")
        person.get(f"{path}/remove")
    person._kept(person.session.post(f"{person.site.url}/f/{edit.split('/')[2]}", ADA, timeout=30))
    others.wait_for(2 * len(kinds))
    for lead in set(re.findall(r"/leads/(lead_\w+)", person.get("/leads").text)):
        person.get(f"/leads/{lead}")
    person.post(f"{path}/secret", secret=signing[::-1])
    command = f"{others.requests[2].path}{[request.headers for request in others.requests]}"
    assert all(secret in command or name.endswith(("password", "client secret")) for name, secret in secrets.items())
    return {**secrets, "webhook's rotated secret": signing[::-1]}


def look_around(person: Person, leads: list[str], edit: str) -> None:
    """Opens every page, and everything that the dashboard shows of the jobs."""
    pages = [*leads, "/interfaces", "/leads.csv", "/profile", "/profile/api-keys", "/mailbox", "/metrics", "/readyz"]
    pages += ["/profile/users", "/profile/audit-log"]
    pages += [f"{edit}{tab}" for tab in ("", "/fields", "/lead-generation", "/embed")]
    pages += ["/rq", "/rq/0/data/queues.json", "/rq/0/data/workers.json"]
    pages += [f"/rq/0/data/jobs/{queue}/finished/1/50/asc/1.json" for queue in ("fast", "slow", "mail")]
    for path in pages:
        assert person.get(path).status_code in (200, 404), path
    for path in set(re.findall(r'href="(/mailbox/\d+)"', person.get("/mailbox").text)):
        person.get(path)
        person.get(f"{path}/html")
