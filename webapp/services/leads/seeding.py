"""Leads for measuring: `flask seed-leads` fills an empty database with leads as they are after two years.

Of a hundred leads five are spam. The others have a delivery, and about two attempts each: nearly all are delivered, a
share failed, one of two hundred is retrying in three weeks, and one of two hundred is on hold, because the webhook of
one interface is paused. A few interfaces have most of the leads. Every fifth interface belongs to another account.

Rows are built as tuples and written past SQLAlchemy, which would take longer than all the rest.
"""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, func, select

from webapp.clock import utcnow
from webapp.delivery import states
from webapp.extensions import db
from webapp.ids import CROCKFORD
from webapp.models import Account, Delivery, Interface, Lead, User, WebhookState
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.webhooks.payload import lead_payload

BATCH = 5000  # leads in one transaction
YEARS = timedelta(days=730)
RETRYING_IN = 20 * 24 * 3600.0  # seconds: so that no worker sends while somebody measures
URL = "https://receiver.example/hooks/{}"  # a name that is reserved for examples, so nothing is sent
FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "John", "Radia", "Ken", "Leslie", "Shafi")
LAST = ("Smith", "Jones", "Taylor", "Brown", "Walker", "Wright", "Hall", "Green", "Wood", "Clarke", "Hughes", "Evans")
MESSAGE = "We would like a quote for solar panels on our roof before the summer. Please call me in the morning {}"
TRIES = (1, 1, 1, 2, 2, 2, 3, 3)  # attempts of a delivered one
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
UTM = {"source": "newsletter", "medium": "email", "campaign": "summer", "term": None, "content": None}
HEADERS = json.dumps([["content-type", "application/json"], ["server", "nginx"]])

TABLES = {
    "leads": "id public_id account_id interface_id received_at test name email visitor fields source consents nonce "
    "spam",
    "deliveries": "id message_id account_id lead_id webhook_id payload test state state_reason tries due_at "
    "last_code last_response last_duration_ms last_at",
    "attempts": "id delivery_id reason started_at url timestamp code response truncated response_headers duration_ms",
    "mails": "account_id kind message_id recipients subject body_text body_html signs_in lead_id created_at state "
    "due_at tries last_error answers",
    "audit_log": "account_id at user_id actor address kind action target target_id detail",
}
Tuple = tuple[Any, ...]


@dataclass(frozen=True)
class Form:
    """An interface as the rows need it. `payload` has @lead, @at, @fields and @source where a lead has its own."""

    id: int
    account_id: int
    webhook_id: int
    url: str
    payload: str


@dataclass
class Seed:
    """What a seeding makes. `shares` says how often each form is chosen, added up; the second form is paused."""

    operator: tuple[int, int, str]  # account, user, name
    forms: Sequence[Form]
    failed: float
    count: int
    shares: Sequence[float] = field(init=False)
    begins_at: datetime = field(default_factory=lambda: utcnow() - YEARS)
    luck: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - the same leads each time

    def __post_init__(self) -> None:
        self.shares = list(accumulate(1 / place for place in range(1, len(self.forms) + 1)))


def begin(operator: User, count: int, interface_count: int, failed: float) -> Seed:
    """Makes the interfaces. Refused where the database has leads, because these may be real."""
    if db.session.scalar(select(Lead.id).limit(1)) is not None:
        raise Refused("This database has leads. Seed an empty one, with another LEADHOOK_HOME or DATABASE_URL.")
    other = Account(name="Seeded neighbour")
    db.session.add(other)
    db.session.flush()
    forms = []
    for number in range(1, interface_count + 1):
        interface = interfaces.create(other.id if number % 5 == 0 else operator.account_id, f"Seeded form {number}")
        interface.webhook.url = URL.format(number)
        if number == 2:
            interface.webhook.state, interface.webhook.state_reason = WebhookState.PAUSED, "Paused by seed-leads."
        if number < interface_count:  # the last one was never successful
            interface.webhook.lane.succeeded_at = utcnow().timestamp()
        db.session.flush()
        forms.append(_form(interface))
    return Seed((operator.account_id, operator.id, operator.label), forms, failed, count)


def _form(interface: Interface) -> Form:
    payload = lead_payload(
        event="lead.created",
        lead_id="@lead",
        received_at=datetime(1999, 1, 1, tzinfo=UTC),
        fields={"@": "fields"},
        interface_id=interface.public_id,
        interface_name=interface.name,
        source={"@": "source"},
        consents=[],
    ).decode()
    webhook = interface.webhook
    return Form(interface.id, interface.account_id, webhook.id, webhook.url or "", payload)


def store(seed: Seed, numbers: range) -> None:
    """Stores the leads with these numbers, below `seed.count`, and all that belongs to them, in this transaction."""
    lead_id, delivery_id = _reserve(Lead, len(numbers)), _reserve(Delivery, len(numbers))
    rows: dict[str, list[Tuple]] = {table: [] for table in TABLES}
    for row_id, number in enumerate(numbers, start=lead_id):
        _add(seed, number, row_id, delivery_id, rows)
        delivery_id += 1
    connection = db.session.connection()
    for table, columns in TABLES.items():
        _write(connection, table, columns.split(), rows[table])


def _reserve(model: type[Any], count: int) -> int:
    """The first of `count` ids that no other row will get."""
    if db.session.connection().dialect.name == "sqlite":
        return (db.session.scalar(select(func.max(model.id))) or 0) + 1
    sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
    last = db.session.scalar(select(func.setval(sequence, func.nextval(sequence) + count)))
    return int(last or 0) - count


def _write(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Tuple]) -> None:
    cursor: Any = connection.connection.cursor()
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(columns))
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608 - our own names
        return
    cursor.execute("SET LOCAL timezone = 'utc'")
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _add(seed: Seed, number: int, lead_id: int, delivery_id: int, rows: dict[str, list[Tuple]]) -> None:
    luck, at = seed.luck, seed.begins_at + YEARS * (number / seed.count)
    is_held = len(seed.forms) > 1 and luck.random() < 0.005
    is_spam = not is_held and luck.random() < 0.05
    form = seed.forms[1] if is_held else luck.choices(seed.forms, cum_weights=seed.shares)[0]
    name = f"{luck.choice(FIRST)} {luck.choice(LAST)}"
    # Some visitors write twice.
    email = f"{name.replace(' ', '.').lower()}.{luck.randrange(seed.count * 3 // 4 + 1)}@example.com"
    fields, source = _fields(luck, number, name, email), _source(number)
    public_id, received_at = f"lead_{_ulid(luck, at)}", _stored(at)
    mine = (lead_id, public_id, form.account_id, form.id, received_at, False, name, email, email)
    rows["leads"].append((*mine, fields, source, "[]", f"seeded-{number:012}", "links" if is_spam else None))
    if not is_spam:
        payload = form.payload.replace("@lead", public_id).replace("1999-01-01T00:00:00.000Z", _sent(at))
        payload = payload.replace('{"@":"fields"}', fields).replace('{"@":"source"}', source)
        ids = (delivery_id, f"msg_{_ulid(luck, at)}", form.account_id, lead_id, form.webhook_id)
        outcome = _outcome(seed, at, is_held)
        rows["deliveries"].append((*ids, payload.encode(), False, *outcome))
        rows["attempts"].extend(_attempts(luck, delivery_id, form, at, outcome))
    if not is_spam and luck.random() < 0.2:
        rows["mails"].append(_mail(luck, form, lead_id, public_id, name, fields, received_at))
    if luck.random() < 0.05:
        rows["audit_log"].append(_entry(seed, received_at))


def _stored(at: datetime) -> str:
    """A time as both databases read it, SQLAlchemy's own text on SQLite; in UTC, as the session of PostgreSQL is."""
    return at.isoformat(" ", "microseconds")[:26]  # strftime takes ten times as long


def _sent(at: datetime) -> str:
    return f"{at.isoformat('T', 'seconds')[:19]}.000Z"


def _ulid(luck: random.Random, at: datetime) -> str:
    """As ids.ulid, for another time; of sixteen digits only, which takes a tenth of the time."""
    milliseconds = int(at.timestamp() * 1000)
    return f"{_digits(milliseconds >> 15, 7)}{_digits(milliseconds & 32767, 3)}{luck.getrandbits(64):016x}"


@cache
def _digits(number: int, length: int) -> str:
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(5 * length - 5, -1, -5))


def _fields(luck: random.Random, number: int, name: str, email: str) -> str:
    message = MESSAGE.format(luck.randrange(10_000))
    phone = f"+1555{number % 10_000_000:07}"
    return f'{{"name":"{name}","email":"{email}","phone":"{phone}","message":"{message}"}}'


@cache
def _source_parts() -> tuple[str, str]:
    page = {"page_url": "https://www.example.com/offers/@", "page_title": "Offers", "referrer": None, "utm": UTM}
    text = json.dumps({**page, "click_ids": {}, "ip": "203.0.113.7", "user_agent": AGENT}, separators=(",", ":"))
    before, _, after = text.partition("@")
    return before, after


def _source(number: int) -> str:
    before, after = _source_parts()
    return f"{before}{number % 97}{after}"


def _outcome(seed: Seed, at: datetime, is_held: bool) -> Tuple:
    """The columns of a delivery from `state` on."""
    luck = seed.luck
    if is_held:
        return ("held", states.PAUSED_REASON, 0, at.timestamp(), None, None, None, None)
    chance, took = luck.random(), luck.randrange(20, 400)
    if chance < seed.failed:
        return ("failed", "", 8, at.timestamp(), 500, "Internal Server Error", took, _stored(at))
    if chance < seed.failed + 0.005:
        due_at = utcnow().timestamp() + RETRYING_IN
        return ("pending", "", 2, due_at, 500, "Internal Server Error", took, _stored(at))
    return ("delivered", "", luck.choice(TRIES), at.timestamp(), 200, '{"ok":true}', took, _stored(at))


def _attempts(luck: random.Random, delivery_id: int, form: Form, at: datetime, outcome: Tuple) -> Iterator[Tuple]:
    tries = outcome[2]
    for number in range(tries):
        started_at = at + timedelta(seconds=300 * number)
        code, said = outcome[4:6] if number == tries - 1 else (503, "Service Unavailable")
        ids = (f"att_{_ulid(luck, started_at)}", delivery_id, "automatic", _stored(started_at), form.url)
        yield (*ids, int(started_at.timestamp()), code, said, False, HEADERS, luck.randrange(20, 400))


def _mail(
    luck: random.Random, form: Form, lead_id: int, public_id: str, name: str, words: str, created_at: str
) -> Tuple:
    state, tries, error = ("failed", 1, "550 no such user") if luck.random() < 0.005 else ("kept", 0, "")
    heads = (form.account_id, "lead_notification", f"<{public_id}@seeded.example>", '["sales@example.com"]')
    body = (f"New lead from {name}", words, f"<pre>{words}</pre>", False, lead_id, created_at)
    return (*heads, *body, state, 0.0, tries, error, "{}")


def _entry(seed: Seed, at: str) -> Tuple:
    account_id, user_id, actor = seed.operator
    return (account_id, at, user_id, actor, "203.0.113.7", "session", "session.signed_in", "", "", "")
