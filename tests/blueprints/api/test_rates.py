"""The limit of the API: one question to Redis has the answer that the library needs two for."""

import random
import time
from collections.abc import Iterator

import pytest
import time_machine
from flask import Flask
from redis import Redis

from tests.conftest import AppMaker
from tests.support.valkey import Valkey
from webapp.web.api.rates import Quota, api_limit

pytestmark = pytest.mark.once


@pytest.fixture
def limited(make_app) -> Iterator[Flask]:  # type: ignore[no-untyped-def]
    app = make_app(API_RATE_LIMIT="5 per 10 seconds; 12 per minute")
    with app.app_context():
        yield app


def counts(seed: int, begin: float, key: str) -> list[list[Quota]]:
    """What the limit says of requests at random times."""
    chance, at, found = random.Random(seed), begin, []
    for _ in range(60):
        at += chance.choice([0.0, 0.01, 0.5, 1.0, 3.0, 9.9, 30.0])
        with time_machine.travel(at, tick=False):
            found.append(api_limit.count(f"{key} {seed}"))
    return found


def test_one_question_has_the_answer_of_two(limited: Flask, valkey: Valkey) -> None:
    begin = float(int(time.time()))
    with_one = [counts(seed, begin, "one") for seed in range(5)]
    api_limit._script = None
    with_two = [counts(seed, begin, "two") for seed in range(5)]
    assert with_one == with_two
    with Redis.from_url(valkey.url) as redis:
        assert redis.keys("*/one*")
        assert redis.keys("*/two*")
    assert {quota.is_exceeded for quotas in with_one[0] for quota in quotas} == {True, False}


def test_redis_keeps_only_the_requests_that_count(limited: Flask, valkey: Valkey) -> None:
    begin = float(int(time.time()))
    with Redis.from_url(valkey.url) as redis:
        for second, kept in (0, 1), (5, 2), (9, 3), (12, 3), (16, 3), (25, 2):
            with time_machine.travel(begin + second, tick=False):
                assert api_limit.count("kept")[0].left == 5 - kept
            [list_of_ten_seconds] = redis.keys("*/api/kept/5/10/second")
            assert redis.llen(list_of_ten_seconds) == kept


def test_a_long_list_that_no_longer_counts_is_dropped_in_few_steps(limited: Flask, valkey: Valkey) -> None:
    """Redis answers no other question meanwhile: one by one, a million of a day took over two seconds."""
    now = time.time()
    with Redis.from_url(valkey.url) as redis:
        api_limit.count("long")
        [name] = redis.keys("*/api/long/5/10/second")
        for over, counting in (9_999, 3), (10_000, 0), (5, 4):
            redis.delete(name)
            redis.lpush(name, *[now - 20] * over, *[now] * counting)
            redis.config_resetstat()
            with time_machine.travel(now, tick=False):
                assert api_limit.count("long")[0].left == 4 - counting
            calls = {command: each["calls"] for command, each in redis.info("commandstats").items()}
            assert sum(calls.get(f"cmdstat_{each}", 0) for each in ("lindex", "rpop", "ltrim")) < 200
            assert redis.llen(name) == counting + 1


def test_a_limit_of_none_lets_no_request_in(make_app: AppMaker) -> None:
    with make_app(API_RATE_LIMIT="0 per minute").app_context():
        assert api_limit.count("key") == [Quota("default", 0, 60, 0, 60, True)]


def test_without_redis_the_process_counts_alone(limited: Flask) -> None:
    api_limit._failed_at = time.monotonic()
    found = [api_limit.count("key")[0] for _ in range(6)]
    assert [quota.left for quota in found] == [4, 3, 2, 1, 0, 0]
    assert [quota.is_exceeded for quota in found] == [False] * 5 + [True]
