"""Whatever happens to a delivery, in whatever order: it is not lost, and it is in no state that nobody acts on.

The machine below drives the real code on a real database: what people do (submit, test, retry, pause, resume, save
settings, delete), what workers do (take, send, record), what goes wrong (a holder that dies, one that comes back after
its lease, a token that is revoked, a capture that slipped past a pause) and the sweep. Only the receiver is made up.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, func, or_, select, update

from tests.support.factories import submit
from webapp.clock import now_sql
from webapp.db.transactions import read_only, transaction
from webapp.delivery import lanes, ledger, states
from webapp.delivery.sending import Sending
from webapp.delivery.sweep import Sweep
from webapp.extensions import db
from webapp.models import (
    ApiKey,
    Attempt,
    Authentication,
    Delivery,
    DeliveryState,
    Interface,
    Lane,
    User,
    Webhook,
    WebhookState,
)
from webapp.services import api_keys
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces
from webapp.services.leads import leads
from webapp.services.webhooks import webhooks
from webapp.webhooks.outcome import ErrorKind, Outcome

PENDING, DELIVERED, FAILED, ON_HOLD, CANCELLED = DeliveryState
ROUNDS = 15  # in which everything must come to its end: more than a delivery has tries


def answer(code: int, error: ErrorKind | None = None, retry_after: float | None = None) -> Outcome:
    return Outcome(code, "", False, (), error, 1, retry_after)


OK, REFUSED, GONE = answer(200), answer(500, ErrorKind.HTTP_5XX), answer(410, ErrorKind.HTTP_4XX)
BUSY, SILENT = answer(503, ErrorKind.HTTP_5XX, retry_after=100.0), answer(999, ErrorKind.TIMEOUT)
BLOCKED, MISLED = answer(999, ErrorKind.BLOCKED_ADDRESS), answer(999, ErrorKind.BLOCKED_NAME)
ANSWERS = st.lists(st.sampled_from([OK, REFUSED, REFUSED, REFUSED, BUSY, SILENT, BLOCKED, MISLED, GONE]), max_size=6)


class Receiver:
    """Stands where the process's Sender does; answers from a list, then 200."""

    def __init__(self) -> None:
        self.answers: list[Outcome] = []

    def send(self, webhook_id: int, url: str, body: bytes, headers: Mapping[str, str], account: int) -> Outcome:
        return self.answers.pop(0) if self.answers else OK

    def close(self) -> None:
        """Nothing is open."""


class Flight(NamedTuple):
    """A batch that a worker has taken and not recorded."""

    hold: lanes.Hold
    batch: ledger.Batch


class Row(NamedTuple):
    """What the machine looks at of a delivery."""

    id: int
    state: DeliveryState
    test: bool
    tries: int
    due_at: float | None
    retry_at: float | None
    state_reason: str
    attempts: int


_TRIED = select(func.count(Attempt.id)).where(Attempt.delivery_id == Delivery.id).scalar_subquery()
_ROWS = select(*(getattr(Delivery, name) for name in Row._fields[:-1]), _TRIED).order_by(Delivery.id)


class Deliveries(RuleBasedStateMachine):
    """One interface and all that may happen to what it captures."""

    def __init__(self, app: Flask, owner: tuple[int, int], sweeper: Sweep) -> None:
        super().__init__()
        self.account_id, self.owner_id = owner
        self.receiver = app.extensions["leadhook_sender"] = Receiver()
        self.sweeper = sweeper  # one for all machines: a second one would have to wait for the lease of the first
        self.flights: list[Flight] = []
        self.leads: list[str] = []
        self.kept = 0  # deliveries there must be
        self.before: dict[int, Row] = {}
        with transaction():
            interface = interfaces.create(self.account_id, "Contact sales")
            self.interface_id, self.webhook_id = interface.id, interface.webhook.id
        self.save(url=True, signed=False, retries=True)

    @initialize()
    def begin(self) -> None:
        """Two leads that were refused once: what is tried again is in the way from the first step on."""
        self.submit(slips=False)
        self.submit(slips=False)
        self.take(waits=False)
        self.record(first=True, answers=[REFUSED, REFUSED], turns=2, clicked=False, more=False)

    # What people do --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.state() != WebhookState.ARCHIVED)
    @rule(slips=st.booleans())
    def submit(self, slips: bool) -> None:
        """`slips`: on PostgreSQL a capture may have read the webhook's state before a pause, a resume, a deletion."""
        self.kept += self.interface().webhook.url is not None
        lead = submit(self.interface())
        self.leads.append(lead.public_id)
        held = {"state": ON_HOLD, "state_reason": states.PAUSED_REASON}
        other = held if self.state() == WebhookState.ACTIVE else {"state": PENDING, "state_reason": ""}
        if slips:
            with transaction():
                db.session.execute(update(Delivery).where(Delivery.lead_id == lead.id).values(other))

    @precondition(lambda self: self.state() != WebhookState.ARCHIVED)
    @rule()
    def test(self) -> None:
        try:
            with transaction():
                leads.send_test(self.interface(), self.owner_id)
        except Refused:
            return
        self.kept += 1

    @precondition(lambda self: self.leads)
    @rule(data=st.data())
    def click(self, data: st.DataObject) -> None:
        ticked = data.draw(st.lists(st.sampled_from(self.leads), min_size=1, max_size=4, unique=True))
        self.retry(ticked)

    @precondition(lambda self: self.state() != WebhookState.ARCHIVED)
    @rule()
    def pause(self) -> None:
        with transaction():
            webhooks.pause(self.interface().webhook, "by hand")
        assert [row for row in self.waiting() if row.state != ON_HOLD or row.retry_at is not None] == []

    @precondition(lambda self: self.state() == WebhookState.PAUSED)
    @rule()
    def resume(self) -> None:
        with transaction():
            webhooks.resume(self.interface().webhook)

    @precondition(lambda self: self.state() != WebhookState.ARCHIVED)
    @rule(url=st.sampled_from([True, True, False]), signed=st.booleans(), retries=st.booleans())
    def save(self, url: bool, signed: bool, retries: bool) -> None:
        with transaction():
            token, _ = api_keys.create_shared_token(self.account_id, None, f"CRM {secrets.token_hex(8)}")
            interfaces.update_lead_generation(
                self.interface(),
                url="http://127.0.0.1:9/" if url else None,
                authentication=Authentication.SHARED_TOKEN if signed else Authentication.NONE,
                shared_token=token.public_id if signed else None,
                automatic_retries=retries,
            )

    @rule()
    def revoke(self) -> None:
        """As if revoked while another interface was about to choose it: the page refuses to revoke one in use."""
        with transaction():
            db.session.execute(update(ApiKey).values(revoked_at=func.now()))

    @precondition(lambda self: len(self.leads) > 3 and self.state() != WebhookState.ARCHIVED)
    @rule(sure=st.sampled_from([False, False, False, True]))
    def archive(self, sure: bool) -> None:
        if sure:
            with transaction():
                interfaces.archive(self.interface())

    # What workers and time do ----------------------------------------------------------------------------------------

    @rule(waits=st.booleans())
    def take(self, waits: bool) -> None:
        if waits:
            self.wait()
        db.session.rollback()
        hold = lanes._take(self.webhook_id)
        batch = lanes._first_batch(hold) if hold else None
        if hold is not None and batch is not None:
            self.flights.append(Flight(hold, batch))

    @precondition(lambda self: self.flights)
    @rule(first=st.booleans(), answers=ANSWERS, turns=st.integers(0, 5), clicked=st.booleans(), more=st.booleans())
    def record(self, first: bool, answers: list[Outcome], turns: int, clicked: bool, more: bool) -> None:
        """One of those that hold a batch, be it lost meanwhile, sends `turns` of it, but at least one, and records.

        `clicked`: every lead is, while the batch is under way.
        """
        flight = self.flights.pop(0 if first else -1)
        self.receiver.answers = list(answers)
        sent = Sending(flight.batch, lambda: len(sent.tries) >= turns)
        sent.run()
        self.receiver.answers = []
        if clicked:
            self.retry(self.leads)
        clicks = {row.id: row.retry_at for row in self.rows()}
        batch = lanes._record(flight.hold, flight.batch, sent, more)
        if batch is not None:
            self.flights.append(Flight(flight.hold, batch))
        answered = {(due.id, due.retry_at) for due in flight.batch.rows}
        paused = self.state() != WebhookState.ACTIVE or bool(sent.unsendable)
        for row in self.rows():
            click = clicks[row.id]
            assert click is None or row.retry_at == click or paused or (row.id, click) in answered, "click lost"

    @precondition(lambda self: not self.flights)
    @rule(answers=ANSWERS, clicked=st.booleans())
    def work(self, answers: list[Outcome], clicked: bool) -> None:
        """As on most days: a worker takes what is due by now, sends all of it and records."""
        self.take(waits=True)
        if self.flights:
            self.record(first=True, answers=answers, turns=ledger.BATCH, clicked=clicked, more=False)

    @precondition(lambda self: self.flights)
    @rule(sends=st.booleans())
    def die(self, sends: bool) -> None:
        """SIGKILL, before or after sending: nothing is recorded, and the lease runs out."""
        flight = self.flights.pop()
        if sends:
            Sending(flight.batch, lambda: False).run()
        self.expire()

    @rule()
    def expire(self) -> None:
        """The lease runs out, be its holder dead or only late."""
        over = update(Lane).where(Lane.webhook_id == self.webhook_id, Lane.lease_until > 0)
        with transaction():
            db.session.execute(over.values(lease_until=now_sql() - 1))

    @rule()
    def wait(self) -> None:
        """So long that every automatic try's time has come, and every rest is over."""
        with transaction():
            db.session.execute(update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=now_sql() - 1))
            rests = update(Lane).where(Lane.webhook_id == self.webhook_id, Lane.rests_until.is_not(None))
            db.session.execute(rests.values(rests_until=now_sql() - 1))

    @precondition(lambda self: self.state() != WebhookState.ARCHIVED)
    @rule()
    def try_now(self) -> None:
        with transaction():
            webhooks.try_now(self.interface().webhook)

    @rule()
    def sweep(self) -> None:
        db.session.rollback()
        self.sweeper.once()
        waiting = self.waiting()
        if self.state() == WebhookState.PAUSED:
            assert [row for row in waiting if row.state != ON_HOLD or row.retry_at is not None] == []
        if self.state() == WebhookState.ARCHIVED:
            assert waiting == []
        if self.sendable() and not self.flights:
            # One with an address that is not allowed waits for a person, who was mailed.
            held = [row for row in waiting if row.state == ON_HOLD and ledger.RELEASES not in row.state_reason]
            assert held == [], "held, and nobody will let it go"

    # What must be true at any time -----------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_everything_that_waits_can_be_selected(self) -> None:
        rows = self.rows()
        assert len(rows) == self.kept
        for row in rows:
            was = self.before.get(row.id, row)
            if row.state == PENDING:
                assert row.retry_at is not None or (not row.test and (row.tries == 0 or row.due_at is not None)), row
            assert row.state != CANCELLED or row.retry_at is None, row
            assert was.state != CANCELLED or row.state == CANCELLED, "revived"
            assert was.state != DELIVERED or row.state not in (PENDING, ON_HOLD), "sent again though it was delivered"
            assert not (row.test and row.state == ON_HOLD), "a test that would go out as if it were a lead"
            assert row.state not in (DELIVERED, FAILED) or row.test or row.attempts, "ended without a try"
            assert row.tries >= was.tries, "a try is forgotten"
        self.before = {row.id: row for row in rows}

    @invariant()
    def the_last_look_counts_what_a_batch_takes(self) -> None:
        with self.reading() as connection:
            due, _ = ledger.last_look(connection, self.webhook_id)
            assert due == (ledger.batch(connection, self.webhook_id) is not None)

    def teardown(self) -> None:
        """From wherever it got to, what a user can do and the sweep bring everything to its end, with a try made."""
        while self.flights:
            self.die(sends=False)
        if self.state() != WebhookState.ARCHIVED:
            self.save(url=True, signed=True, retries=True)
            if self.state() == WebhookState.PAUSED:
                self.resume()
        rounds = 0
        while rounds == 0 or (self.waiting() and rounds < ROUNDS):
            rounds += 1
            self.sweep()
            lanes.drain(self.webhook_id)
            self.wait()
        self.nothing_is_lost_and_everything_that_waits_can_be_selected()
        assert self.waiting() == []
        if self.state() != WebhookState.ARCHIVED:
            with transaction():
                interfaces.archive(self.interface())

    def retry(self, ticked: list[str]) -> None:
        with transaction():
            leads.retry(self.account_id, ticked, self.owner_id)
        self.kept = len(self.rows())  # a lead that had no delivery may have one now

    def interface(self) -> Interface:
        return db.session.get_one(Interface, self.interface_id)

    def state(self) -> WebhookState:
        with self.reading() as connection:
            return connection.scalars(select(Webhook.state).where(Webhook.id == self.webhook_id)).one()

    def sendable(self) -> bool:
        with self.reading() as connection:
            valid = select(ApiKey.id).where(ApiKey.revoked_at.is_(None))
            signable = or_(Webhook.authentication != Authentication.SHARED_TOKEN, Webhook.shared_token_id.in_(valid))
            url = select(Webhook.url).where(Webhook.id == self.webhook_id, Webhook.state == WebhookState.ACTIVE)
            return bool(connection.scalars(url.where(signable)).one_or_none())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A look at the database, the session's transaction ended before it: nothing of it is left open."""
        db.session.rollback()
        with read_only(), db.engine.connect() as connection:
            yield connection

    def waiting(self) -> list[Row]:
        return [row for row in self.rows() if row.state in (PENDING, ON_HOLD) or row.retry_at is not None]

    def rows(self) -> list[Row]:
        with self.reading() as connection:
            return [Row(*row) for row in connection.execute(_ROWS.where(Delivery.webhook_id == self.webhook_id))]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_sequence_of_events_loses_a_delivery_or_leaves_it_where_nobody_acts(app: Flask, owner: User) -> None:
    ids, sweeper = (owner.account_id, owner.id), Sweep()
    quick = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # to shrink a failure on a real database takes longer than to read it
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: Deliveries(app, ids, sweeper), settings=quick)
