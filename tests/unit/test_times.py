"""How a moment is stored on SQLite."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import DateTime
from sqlalchemy.dialects import sqlite

from webapp.clock import UTCDateTime

SQLITE = sqlite.dialect()  # type: ignore[no-untyped-call]
ours = UTCDateTime().dialect_impl(SQLITE).bind_processor(SQLITE)
of_sqlalchemy = DateTime().dialect_impl(SQLITE).bind_processor(SQLITE)
reads = UTCDateTime().dialect_impl(SQLITE).result_processor(SQLITE, None)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = (datetime(*day, tzinfo=UTC).replace(tzinfo=None) for day in ((1, 1, 3), (9999, 12, 29)))
MOMENTS = st.datetimes(FIRST, LAST, timezones=ZONES | st.just(UTC))


@given(MOMENTS)
def test_it_has_the_text_that_sqlalchemy_writes(at: datetime) -> None:
    text = ours(at)
    assert text == of_sqlalchemy(at.astimezone(UTC).replace(tzinfo=None))
    assert reads(text) == at


def test_none_is_null_and_no_naive_moment_is_stored() -> None:
    assert ours(None) is None
    with pytest.raises(ValueError, match="naive"):
        ours(FIRST)


def test_a_whole_second_has_its_microseconds_too() -> None:
    assert ours(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=5)))) == "2025-12-31 21:00:00.000000"
