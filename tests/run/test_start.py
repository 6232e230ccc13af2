"""The start of `make run`: it waits for nothing longer than it must."""

from pathlib import Path

import pytest

from tests.support.valkey import Valkey
from webapp.run import __main__ as start


def test_a_valkey_that_is_not_there_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py by itself asks four times, with pauses of up to 14 seconds."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"redis-py waits for {seconds} s")

    monkeypatch.setattr("redis.retry.sleep", sleep)
    assert not start._pings(tmp_path / "valkey.sock")


def test_a_valkey_that_is_there_answers(valkey: Valkey) -> None:
    assert start._pings(Path(valkey.socket))
