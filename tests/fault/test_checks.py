"""The checks bite: a world in which one promise is broken is found out, by the check of that promise."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fault import checks
from tests.fault.chaos import Cut, plan
from tests.fault.ledger import Books, Evidence, Exit, Ledger, Letter, Promise, Told, Try
from tests.fault.mailbox import Accepted
from tests.fault.receivers import Send
from tests.fault.visitors import Post

NOW = 1_800_000_000.0
POST = Post("ada", "one", NOW, NOW + 0.1, 201, "lead_1")
FAILED = Send("one", "msg_1", int(NOW), "ada", b"{}", NOW, fresh=True, fault="", behaviour="fails", answered=500)
SENT = replace(FAILED, timestamp=int(NOW) + 2, at=NOW + 2.1, fresh=False, behaviour="answers", answered=200)
PROMISE = Promise("ada", "lead_1", datetime.fromtimestamp(NOW, UTC), 1, "msg_1", 7, b"{}", "delivered", 2)
FIRST = Try("att_1", 1, "msg_1", int(NOW), datetime.fromtimestamp(NOW, UTC), 5, 500, automatic=True)
SECOND = FIRST._replace(id="att_2", timestamp=int(NOW) + 2, started_at=datetime.fromtimestamp(NOW + 2.1, UTC), code=200)
LETTER = Letter("<m1>", "webhook_failed", "sent", 1, None)
TOLD = Told(1, "failed", "<m1>")
MAIL = Accepted("<m1>", "failing", NOW + 3, dropped=False)
KILL = Cut("kill the fast worker", "fast", NOW + 30, NOW + 30)
EXIT = Exit(0, 2.0, 1, ["fast"])


def ledger(**changed: Any) -> Ledger:
    """A lead that failed once, was reported, and was delivered; but for what was changed."""
    books = Books([PROMISE], [FIRST, SECOND], [LETTER], [TOLD], [])
    books = books._replace(**{name: changed.pop(name) for name in Books._fields if name in changed})
    facts = Evidence("sqlite", 1.0, (1, 2), {7: "one"}, [POST], [FAILED, SENT], [MAIL], [], [EXIT], books, "")
    return Ledger(facts._replace(**changed))


BROKEN: list[tuple[checks.Check, dict[str, Any]]] = [
    (checks.accepted_is_kept, {"promises": []}),
    (checks.accepted_is_kept, {"promises": [PROMISE, PROMISE._replace(lead_id="lead_2")]}),
    (checks.accepted_is_kept, {"promises": [PROMISE._replace(delivery_id=None)]}),
    (checks.kept_is_received, {"promises": [PROMISE._replace(state="failed")]}),
    (checks.kept_is_received, {"sends": [FAILED]}),
    (checks.kept_is_received, {"sends": [FAILED, replace(SENT, receiver="two")]}),
    (checks.received_was_accepted, {"posts": []}),
    (checks.received_was_accepted, {"posts": [POST._replace(status=422)]}),
    (checks.received_was_accepted, {"posts": [POST._replace(status=500)]}),
    (checks.received_was_accepted, {"sends": [FAILED, replace(SENT, body=b"[]")]}),
    (checks.signatures_verify, {"sends": [FAILED, replace(SENT, fault="No matching signature found")]}),
    (checks.repeats_have_one_id, {"sends": [FAILED, replace(SENT, message_id="msg_2")]}),
    (checks.delivered_is_final, {"sends": [FAILED, SENT, replace(SENT, timestamp=int(NOW) + 9)]}),
    (checks.delivered_is_final, {"tries": [FIRST, SECOND, SECOND._replace(id="att_3")]}),
    (checks.sends_are_recorded, {"tries": [SECOND]}),
    (checks.sends_are_recorded, {"sends": [FAILED, FAILED, SENT]}),  # two requests, one attempt
    (checks.sends_are_recorded, {"tries": [SECOND], "cuts": [KILL]}),  # long after it
    (checks.sends_are_recorded, {"tries": [SECOND], "cuts": [KILL._replace(role="mail", began_at=NOW, ended_at=NOW)]}),
    (checks.wire_repeats_are_closed_connections, {"sends": [FAILED, SENT, SENT]}),
    (checks.tries_are_counted, {"promises": [PROMISE._replace(tries=1)]}),
    (checks.lanes_move, {"tries": [SECOND._replace(started_at=datetime.fromtimestamp(NOW + 70, UTC))], "sends": []}),
    (checks.lanes_move, {"held": [7]}),
    (checks.failures_are_told_once, {"told": []}),
    (checks.failures_are_told_once, {"told": [TOLD, TOLD]}),
    (checks.failures_are_told_once, {"told": [TOLD._replace(mail=None)]}),
    (checks.failures_are_told_once, {"tries": [SECOND]}),
    (checks.nobody_gave_up, {"told": [TOLD, TOLD._replace(kind="gave_up")]}),
    (checks.mails_are_sent, {"letters": [LETTER._replace(state="due")]}),
    (checks.mails_are_sent, {"mails": []}),
    (checks.mails_are_sent, {"letters": []}),
    (checks.mail_repeats_are_cut, {"mails": [MAIL, MAIL._replace(at=NOW + 9)]}),
    (checks.sigterm_ends_in_time, {"exits": [EXIT._replace(seconds=7.5)]}),
    (checks.sigterm_ends_in_time, {"exits": [EXIT._replace(code=1)]}),
    (checks.only_the_killed_died, {"log": 'event="a worker process died and is started again" role=fast code=1'}),
    (checks.captures_fail_only_with_their_database, {"posts": [POST._replace(status=500)]}),
]


@pytest.mark.parametrize(("check", "changed"), BROKEN)
def test_a_broken_promise_is_found_out(check: checks.Check, changed: dict[str, Any]) -> None:
    assert list(check(ledger(**changed)))


def test_what_a_crash_excuses_is_excused() -> None:
    killed = KILL._replace(began_at=NOW + 0.5, ended_at=NOW + 0.5)
    assert list(checks.sends_are_recorded(ledger(tries=[SECOND], cuts=[killed]))) == []
    stopped = Cut("stop SMTP", "", NOW + 3.5, NOW + 3.6)
    repeated = [MAIL, MAIL._replace(at=NOW + 40)]
    assert list(checks.mail_repeats_are_cut(ledger(mails=repeated, cuts=[stopped]))) == []
    again = [*repeated, MAIL._replace(at=NOW + 80)]
    assert list(checks.mail_repeats_are_cut(ledger(mails=again, cuts=[stopped])))  # long after the crash


def test_two_requests_of_one_try_need_two_attempts_and_are_one_try() -> None:
    again = FIRST._replace(id="att_0", code=999, again=True)
    sends = [replace(FAILED, fresh=False), replace(FAILED, at=NOW + 0.1), SENT]
    assert checks.broken(ledger(tries=[again, FIRST, SECOND], sends=sends)) == []


def test_a_lane_whose_worker_is_killed_again_has_a_minute_from_then_on() -> None:
    late = [FIRST, SECOND._replace(started_at=datetime.fromtimestamp(NOW + 100, UTC))]
    sends = [FAILED, replace(SENT, at=NOW + 100)]
    kills = [KILL, KILL._replace(began_at=NOW + 50, ended_at=NOW + 50)]
    assert list(checks.lanes_move(ledger(tries=late, sends=sends, cuts=kills))) == []
    assert list(checks.lanes_move(ledger(tries=late, sends=sends, cuts=kills[:1])))
    others = [kill._replace(role="mail") for kill in kills]
    assert list(checks.lanes_move(ledger(tries=late, sends=sends, cuts=others)))


def test_all_is_well_where_nothing_was_broken() -> None:
    assert checks.broken(ledger()) == []
    assert {check for check, _ in BROKEN} == set(checks.CHECKS)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_seed_draws_the_same_plan_again_and_everything_is_in_it(database: str) -> None:
    steps = plan("7", 14, 1.1, database)
    assert steps == plan("7", 14, 1.1, database) != plan("8", 14, 1.1, database)
    assert ("crash PostgreSQL" in {step.what for step in steps}) == (database == "postgresql")
    assert len({step.what for step in steps}) >= 18
