"""A retry is never early, at most slightly late, and never earlier than the receiver asked."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.webhooks.schedule import MAX_RETRY_AFTER, next_delay, seconds_to_wait

SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
jitters = st.floats(0, 1, exclude_max=True)
tries = st.integers(1, len(SCHEDULE))
waits = st.none() | st.floats(allow_nan=True)


@given(tries, waits, jitters)
def test_a_retry_is_never_early_and_at_most_a_tenth_late(failed_tries, retry_after, jitter):
    base = SCHEDULE[failed_tries - 1]
    delay = next_delay(SCHEDULE, failed_tries, retry_after, lambda: jitter)
    assert base <= delay <= 1.1 * max(base, MAX_RETRY_AFTER)
    if retry_after is None:
        assert delay <= 1.1 * base


@given(tries, st.floats(0, 1e9), jitters)
def test_retry_after_counts_up_to_a_day(failed_tries, retry_after, jitter):
    delay = next_delay(SCHEDULE, failed_tries, retry_after, lambda: jitter)
    assert delay >= min(retry_after, MAX_RETRY_AFTER)


@given(st.integers(len(SCHEDULE) + 1), waits)
def test_after_the_last_retry_the_receiver_cannot_ask_for_more(failed_tries, retry_after):
    assert next_delay(SCHEDULE, failed_tries, retry_after) is None


def test_each_failed_try_has_its_wait():
    waits = [next_delay(SCHEDULE, number, None, lambda: 0.0) for number in range(1, 9)]
    assert waits == [*SCHEDULE, None]


def test_without_a_schedule_nothing_is_retried():
    assert next_delay((), 1, 60) is None


def test_leads_that_failed_together_are_not_retried_together():
    assert len({next_delay(SCHEDULE, 2, None) for _ in range(20)}) > 1


def test_zero_failed_tries_are_an_error():
    with pytest.raises(ValueError):
        next_delay(SCHEDULE, 0, None)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("120", 120), ("86401", 86400), ("9" * 5000, 86400)])
def test_retry_after_in_seconds(text, seconds):
    assert seconds_to_wait(text) == seconds


def test_retry_after_as_a_date():
    now = datetime.now(UTC)
    assert 50 < seconds_to_wait(format_datetime(now + timedelta(seconds=60), usegmt=True)) <= 60
    assert seconds_to_wait(format_datetime(now - timedelta(seconds=60), usegmt=True)) == 0
    assert seconds_to_wait(format_datetime(now + timedelta(days=9), usegmt=True)) == 86400
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 -0000") == 0


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "1.5.5", ".5", "1e3", "٣", "Wed, 99 Foo 20155 07:28:00 GMT", "," * 99]
)
def test_an_invalid_retry_after_is_ignored(text):
    assert seconds_to_wait(text) is None


@given(st.text(max_size=80))
def test_any_text_in_retry_after_is_handled(text):
    seconds = seconds_to_wait(text)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


NOON = "Fri, 27 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30.5", 30.5),
        ("0.25", 0.25),
        ("30, 30", 30),
        ("30, 60", 60),
        ("60,30", 60),
        ("soon, 30", 30),
        ("30, soon, -5", 30),
        ("99999999999.5", 86400),
        ("0, 0", 0),
    ],
)
def test_retry_after_has_decimals_or_is_sent_twice(text, seconds):
    assert seconds_to_wait(text) == seconds


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        ("Fri, 27 Nov 2026 12:00:30 GMT", NOON, 30),
        ("Fri, 27 Nov 2026 12:00:30 GMT, Fri, 27 Nov 2026 12:01:30 GMT", NOON, 90),
        ("Fri, 27 Nov 2026 12:00:30 GMT, 45", NOON, 45),
        ("Friday, 27-Nov-26 12:00:30 GMT", NOON, 30),
        ("Fri Nov 27 12:00:30 2026", NOON, 30),
        ("Fri, 27 Nov 2026 13:00:30 +0100", NOON, 30),
        ("Fri, 27 Nov 2026 11:59:00 GMT", NOON, 0),
        ("Fri, 27 Nov 2026 12:00:30 GMT", f"{NOON}, {NOON}", 30),
        ("Thu, 01 Jan 1970 00:02:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", 120),
        ("120", "Thu, 01 Jan 1970 00:00:00 GMT", 120),
        ("Fri, 27 Nov 2026 12:00:30 GMT", "Thu, 26 Nov 2026 00:00:00 GMT", 86400),
    ],
)
def test_a_date_counts_from_the_answers_own_date(text, date, seconds):
    """So a receiver's clock may differ from ours."""
    assert seconds_to_wait(text, date) == seconds


@pytest.mark.parametrize("date", ["", "yesterday", "0", "Fri, 99 Nov 2026 12:00:00 GMT"])
def test_without_a_valid_date_a_date_counts_from_now(date):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < seconds_to_wait(at, date) <= 60


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_in_both_headers_is_handled(text, date):
    seconds = seconds_to_wait(text, date)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
