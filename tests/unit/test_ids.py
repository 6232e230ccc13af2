"""Public ids sort by time and are written in Crockford's alphabet, whatever bits they are made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp import ids


@given(st.integers(0, 2**128 - 1))
def test_an_id_has_five_bits_in_each_of_26_characters(number: int) -> None:
    text = ids._ulid_of(number)
    assert len(text) == 26
    assert sum(ids.CROCKFORD.index(letter) << 5 * place for place, letter in enumerate(reversed(text))) == number


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_ids_sort_as_their_numbers(one: int, other: int) -> None:
    assert (ids._ulid_of(one) < ids._ulid_of(other)) is (one < other)


def test_an_id_begins_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_469_918_176_385_000_000)
    assert ids.ulid().startswith(ids._ulid_of(1_469_918_176_385 << 80)[:10])
    assert ids.ulid() != ids.ulid()


def test_an_id_sorts_by_the_time_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for milliseconds in (0, 1, 31, 32, 1023, 1024, 1_790_000_000_000, 1_790_000_000_001, 2**48 - 1):
        monkeypatch.setattr(ids.time, "time_ns", lambda at=milliseconds: at * 1_000_000 + 999_999)
        made.append(ids.ulid())
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("random", [bytes(16), bytes([255] * 16), bytes(range(16)), bytes(range(240, 256))])
def test_an_id_is_the_time_and_80_random_bits(monkeypatch: pytest.MonkeyPatch, random: bytes) -> None:
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_790_123_456_789 * 1_000_000)
    monkeypatch.setattr(ids.os, "urandom", lambda count: random[:count])
    bits = 0
    for byte in random:
        bits = bits << 5 | byte & 31
    number = 0
    for letter in ids.ulid():
        number = number << 5 | ids.CROCKFORD.index(letter)
    assert number == 1_790_123_456_789 << 80 | bits


def test_the_parts_of_an_id_are_as_the_product_reads_them() -> None:
    found = [ids.message_id() for _ in range(1000)]
    assert all(ids.MESSAGE_ID.fullmatch(one) for one in found)
    assert len({one[-16:] for one in found}) == 1000
    used = {letter for one in found for letter in one[-16:]}
    assert used == set(ids.CROCKFORD)
