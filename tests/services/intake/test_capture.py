"""Submissions are stored in groups, independent of one another; and only if their form has not changed meanwhile."""

import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from tests.support.factories import ADA, point_at
from tests.support.waiting import wait_until
from webapp.clock import utcnow
from webapp.db import write_turns
from webapp.db.transactions import transaction
from webapp.db.write_turns import MOST, GroupCommit, SideBySide, meet
from webapp.extensions import db
from webapp.models import Delivery, DeliveryState, Field, Interface, Lead, Webhook, WebhookState
from webapp.services.intake import capture, published_forms, submissions
from webapp.services.intake.capture import Submission, new_lead
from webapp.services.intake.published_forms import PublishedForm


def count(model: type[Any]) -> int:
    with transaction():
        return db.session.scalar(select(func.count()).select_from(model)) or 0


# Together ------------------------------------------------------------------------------------------------------------


class Writing:
    """A group that notes what is written together. Its writes wait until `released` is set."""

    def __init__(self, app: Flask, write: Callable[[Sequence[int]], Sequence[int]]) -> None:
        self.app, self.write = app, write
        self.groups: list[list[int]] = []
        self.entered, self.released = threading.Event(), threading.Event()
        self.group: GroupCommit[int, int] = GroupCommit(self._write, transaction, lambda: db.session.connection())
        self.results: dict[int, object] = {}
        self.threads: list[threading.Thread] = []

    def _write(self, items: Sequence[int]) -> Sequence[int]:
        self.groups.append([*items])
        self.entered.set()
        assert self.released.wait(60)
        return self.write(items)

    def run(self, item: int) -> None:
        with self.app.app_context():
            try:
                self.results[item] = self.group.run(item)
            except ValueError as error:
                self.results[item] = str(error)

    def begin(self, item: int, name: str | None = None) -> None:
        self.threads.append(threading.Thread(target=self.run, args=(item,), name=name))
        self.threads[-1].start()

    def first_then(self, others: Sequence[int]) -> None:
        """Begins `others` while item 0 is being written; then lets all of them end."""
        self.begin(0)
        assert self.entered.wait(60)
        for number, item in enumerate(others, 1):
            self.begin(item)
            wait_until(lambda number=number: len(self.group._waiting) == number, "it to wait")
        self.released.set()
        for thread in self.threads:
            thread.join(60)


def test_items_that_arrive_during_a_write_are_written_together(app: Flask) -> None:
    writing = Writing(app, lambda items: [item * 2 for item in items])
    writing.first_then([1, 2, 3])
    assert writing.groups == [[0], [1, 2, 3]]
    assert writing.results == {0: 0, 1: 2, 2: 4, 3: 6}


def test_a_group_has_a_limit_so_that_others_get_their_turn(app: Flask) -> None:
    writing = Writing(app, lambda items: items)
    writing.first_then(range(1, MOST + 3))
    assert [len(group) for group in writing.groups] == [1, MOST, 2]
    assert writing.results == {item: item for item in range(MOST + 3)}


def test_an_error_of_one_item_does_not_affect_the_others(app: Flask) -> None:
    def write(items: Sequence[int]) -> Sequence[int]:
        if 2 in items:
            raise ValueError("two")
        return items

    writing = Writing(app, write)
    writing.first_then([1, 2, 3])
    assert writing.results == {0: 0, 1: 1, 2: "two", 3: 3}
    assert sorted(writing.groups) == [[0], [1], [1, 2, 3], [2], [3]]


def test_a_failed_commit_fails_for_all_and_the_next_items_are_written(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, failures = db.session.commit, iter([False, True, False])

    def breaks() -> None:
        if next(failures):
            raise ValueError("no commit")
        commit()

    monkeypatch.setattr(db.session, "commit", breaks)
    writing = Writing(app, lambda items: items)
    writing.first_then([1, 2])
    assert writing.results == {0: 0, 1: "no commit", 2: "no commit"}
    writing.begin(3)
    writing.threads[-1].join(60)
    assert writing.results[3] == 3


def test_a_group_waits_for_a_missing_database_only_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(app, lambda items: items)
    writing.first_then([])
    begins, tried = threading.Event(), []

    def away() -> None:
        tried.append(1)
        assert begins.wait(60)
        raise ValueError("away")

    monkeypatch.setattr(db.session, "connection", away)
    for item in (1, 2, 3):
        writing.begin(item)
    wait_until(lambda: len(writing.group._waiting) == 2, "the others to wait")
    begins.set()
    for thread in writing.threads:
        thread.join(60)
    assert {item: writing.results[item] for item in (1, 2, 3)} == dict.fromkeys((1, 2, 3), "away")
    assert len(tried) == 1


class LeavesLate:
    """A lock whose holder `late` stays at its end until `may_leave` is set, like a thread that must wait."""

    def __init__(self, late: str) -> None:
        self.lock, self.late = threading.Lock(), late
        self.left, self.may_leave = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()
        if threading.current_thread().name == self.late:
            self.left.set()
            assert self.may_leave.wait(60)


def test_a_thread_that_is_made_the_leader_before_it_waits_leads_the_next_ones(app: Flask) -> None:
    """It was once woken for nothing: its own post and all that came after it were never answered."""
    writing = Writing(app, lambda items: items)
    writing.group._lock = lock = LeavesLate("late")  # type: ignore[assignment]
    writing.begin(0)
    assert writing.entered.wait(60)
    writing.begin(1, "late")
    assert lock.left.wait(60)
    writing.released.set()
    writing.threads[0].join(60)
    writing.begin(2)
    wait_until(lambda: len(writing.group._waiting) == 1, "it to wait")
    lock.may_leave.set()
    for thread in writing.threads:
        thread.join(60)
    writing.run(3)
    assert writing.results == {0: 0, 1: 1, 2: 2, 3: 3}


# Side by side in one thread -------------------------------------------------------------------------------------------


def side_by_side(writing: Writing, items: Sequence[int]) -> None:
    writing.released.set()
    SideBySide().run([partial(writing.run, item) for item in items])


def test_items_of_requests_side_by_side_are_written_together(app: Flask) -> None:
    writing = Writing(app, lambda items: [item * 2 for item in items])
    side_by_side(writing, [1, 2, 3])
    assert writing.groups == [[1, 2, 3]]
    assert writing.results == {1: 2, 2: 4, 3: 6}
    side_by_side(writing, [4])
    assert (writing.groups[1:], writing.results[4]) == ([[4]], 8)


def test_an_error_of_one_request_does_not_affect_those_beside_it(app: Flask) -> None:
    def write(items: Sequence[int]) -> Sequence[int]:
        if 2 in items:
            raise ValueError("two")
        return items

    writing = Writing(app, write)
    side_by_side(writing, [1, 2, 3])
    assert writing.results == {1: 1, 2: "two", 3: 3}
    assert sorted(writing.groups) == [[1], [1, 2, 3], [2], [3]]


def test_requests_side_by_side_wait_for_a_missing_database_only_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def away() -> None:
        tried.append(1)
        raise ValueError("away")

    writing = Writing(app, lambda items: items)
    with monkeypatch.context() as patch:
        patch.setattr(db.session, "connection", away)
        side_by_side(writing, [1, 2, 3])
    assert writing.results == dict.fromkeys((1, 2, 3), "away")
    assert len(tried) == 1
    assert writing.group.last_error is ValueError
    side_by_side(writing, [4])
    assert (writing.results[4], writing.group.last_error) == (4, None)


def test_requests_side_by_side_wait_at_most_twice_for_a_database_that_is_slow_to_fail(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(items: Sequence[int]) -> Sequence[int]:
        raise ValueError(f"waited for {len(items)}")

    writing = Writing(app, write)
    monkeypatch.setattr(write_turns, "SLOW", 0.0)
    side_by_side(writing, [1, 2, 3])
    assert writing.groups == [[1, 2, 3], [1]]
    assert writing.results == {1: "waited for 1", 2: "waited for 3", 3: "waited for 3"}
    monkeypatch.setattr(write_turns, "SLOW", 60.0)
    side_by_side(writing, [4, 5])
    assert writing.groups[2:] == [[4, 5], [4], [5]]


def test_requests_side_by_side_and_in_threads_share_a_group(app: Flask) -> None:
    writing = Writing(app, lambda items: items)
    writing.begin(0)
    assert writing.entered.wait(60)
    beside = threading.Thread(target=side_by_side, args=(writing, [1, 2]))
    beside.start()
    for thread in (*writing.threads, beside):
        thread.join(60)
    assert writing.results == {0: 0, 1: 1, 2: 2}
    assert sorted(writing.groups) == [[0], [1, 2]]


def test_requests_side_by_side_have_their_own_context_and_meet_by_place() -> None:
    seen: list[tuple[str, object]] = []
    own: ContextVar[str] = ContextVar("own", default="none")

    def run(name: str, places: str) -> None:
        assert own.get() == "none"
        own.set(name)
        for place in places:
            met = meet(place, name)
            seen.append((f"{name} {place}", met))
            assert own.get() == name

    SideBySide().run([partial(run, "a", "12"), partial(run, "b", "2"), partial(run, "c", "1"), partial(run, "d", "")])
    assert seen == [("a 1", ["a", "c"]), ("c 1", []), ("b 2", ["b", "a"]), ("a 2", [])]
    assert own.get() == "none"
    assert meet("1", "alone") is None


# Rows ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hooked(interface: Interface) -> Interface:
    point_at(interface, "https://crm.example/hook")
    return interface


def submission(interface: Interface, nonce: str | None = None, **fields: str) -> Submission:
    form = published_forms.get(interface.public_id)
    return Submission(form, new_lead(form.interface, {**ADA, **fields}, {"ip": "203.0.113.7"}, nonce=nonce))


def test_each_lead_of_a_group_has_its_own_answers_and_delivery(hooked: Interface) -> None:
    with transaction():
        ids = capture.capture([submission(hooked, name=name) for name in ("Ada", "Grace", "Joan")])
    leads = db.session.scalars(select(Lead).order_by(Lead.name)).all()
    assert [lead.public_id for lead in leads] == ids
    for lead, name in zip(leads, ("Ada", "Grace", "Joan"), strict=True):
        assert (lead.name, lead.fields["name"], lead.source) == (name, name, {"ip": "203.0.113.7"})
        assert lead.delivery
        assert lead.delivery.state == DeliveryState.PENDING
        assert lead.delivery.due_at
        assert f'"id":"{lead.public_id}"' in lead.delivery.payload.decode()
        assert f'"name":"{name}"' in lead.delivery.payload.decode()


def test_a_form_sent_twice_in_one_group_is_stored_once_and_others_are_stored_too(hooked: Interface) -> None:
    with transaction():
        first, again, other = capture.capture([submission(hooked, nonce) for nonce in ("one", "one", "two")])
    assert again is None
    assert {lead.public_id for lead in db.session.scalars(select(Lead))} == {first, other}
    assert count(Delivery) == 2


def test_leads_of_a_paused_webhook_are_held(hooked: Interface) -> None:
    with transaction():
        db.session.execute(update(Webhook).values(state=WebhookState.PAUSED))
    with transaction():
        capture.capture([submission(hooked)])
    assert db.session.scalars(select(Delivery.state)).one() == DeliveryState.ON_HOLD


# By a form that has changed ------------------------------------------------------------------------------------------


@pytest.fixture
def address(client: FlaskClient, hooked: Interface) -> str:
    """The address of a form that this process has cached."""
    address = f"/f/{hooked.public_id}"
    assert client.post(address, data=ADA).status_code == 303
    assert published_forms.cached(hooked.public_id)
    return address


def changed(statement: Any) -> None:
    """Changes rows as another process would."""
    with transaction():
        db.session.execute(statement)
        db.session.execute(update(Interface).values(updated_at=utcnow()))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda: update(Interface).values(closed_at=utcnow()), 403),
        (lambda: update(Interface).values(allowed_sites=["https://other.example"]), 403),
        (lambda: update(Interface).values(archived_at=utcnow()), 404),
        (lambda: update(Field).where(Field.key == "phone").values(required=True), 422),
    ],
    ids=["closed", "other sites", "deleted", "asks more"],
)
def test_a_post_to_a_form_that_has_changed_is_answered_by_the_current_form(
    client: FlaskClient, address: str, change: Callable[[], Any], status: int
) -> None:
    changed(change())
    answer = client.post(address, data={**ADA, "phone": ""}, headers={"Origin": "https://shop.example"})
    assert answer.status_code == status
    assert count(Lead) == 1


@pytest.mark.parametrize(
    ("sent", "form_changes", "judged"),
    [(ADA, False, 1), ({**ADA, "name": ""}, False, 1), (ADA, True, 2), ({**ADA, "name": ""}, True, 2)],
    ids=["accepted", "invalid", "accepted by a changed form", "invalid by a changed form"],
)
def test_a_post_is_judged_once_by_each_version_of_its_form(
    client: FlaskClient,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    sent: dict[str, str],
    form_changes: bool,
    judged: int,
) -> None:
    client.get(address)  # the form is in the cache
    if form_changes:
        changed(update(Field).where(Field.key == "phone").values(help="With country code"))
    calls: list[object] = []
    judge = submissions.judge

    def counted(form: PublishedForm, post: submissions.Post) -> object:
        calls.append(form.version)
        return judge(form, post)

    monkeypatch.setattr(submissions, "judge", counted)
    client.post(address, data=sent)
    assert len(calls) == len(set(calls)) == judged


def test_a_post_that_was_refused_before_a_change_is_accepted_after_it(client: FlaskClient, address: str) -> None:
    sent = {**ADA, "name": ""}
    assert client.post(address, data=sent).status_code == 422
    changed(update(Field).where(Field.key == "name").values(required=False))
    assert client.post(address, data=sent).status_code == 303


@pytest.mark.parametrize(
    ("change", "deliveries"),
    [
        ("UPDATE webhooks SET url = NULL", 1),
        ("UPDATE webhooks SET state = 'paused'", 2),
    ],
    ids=["no webhook", "paused"],
)
def test_a_changed_webhook_counts_as_it_is_now(client: FlaskClient, address: str, change: str, deliveries: int) -> None:
    with transaction():
        db.session.execute(text(change))
    assert client.post(address, data=ADA).status_code == 303
    states = db.session.scalars(select(Delivery.state).order_by(Delivery.id)).all()
    assert len(states) == deliveries
    assert states[-1] == (DeliveryState.ON_HOLD if "paused" in change else DeliveryState.PENDING)


def test_forms_of_a_renamed_account_still_accept_posts(client: FlaskClient, address: str) -> None:
    with transaction():
        db.session.execute(text("UPDATE accounts SET name = 'Renamed'"))
    assert client.post(address, data=ADA).status_code == 303
    assert count(Lead) == 2


def test_a_form_that_changes_all_the_time_answers_with_an_error(
    client: FlaskClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "submit", lambda submission: None)
    assert client.post(address, data=ADA).status_code == 500
