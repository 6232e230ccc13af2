"""Conversations with Redis without most of redis-py: what they answer, and what they survive, as redis-py does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from limits import parse
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tests.support.valkey import ONCE, Valkey, ValkeyOnPort
from tests.support.waiting import wait_until
from webapp.servers import redis_server
from webapp.servers.redis_server import converse, without_scores
from webapp.web.limits import Counter

PATIENT = 30.0  # seconds: a slow machine is not what is tested
TWO = parse("2 per hour")


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    valkey.be_up()
    with redis_server.connect(valkey.url, socket_timeout=PATIENT, retry=Retry(NoBackoff(), 0)) as client:
        yield client
    valkey.be_up()


@pytest.fixture
def storage(redis: Redis, valkey: Valkey) -> RedisStorage:
    url, options = redis_server.storage_of_limits(valkey.url)
    return RedisStorage(url, socket_timeout=PATIENT, **options)


def counted(redis: Redis) -> list[int]:
    """How many hits each window in Redis has."""
    return [redis.llen(key) for key in redis.keys("LIMITS:*")]  # type: ignore[misc, union-attr]


@contextmanager
def stopping(server: ValkeyOnPort) -> Iterator[None]:
    try:
        yield
    finally:
        server.stop()


def close_all(valkey: Valkey) -> None:
    """Has the server close all its connections, as `timeout` in its settings does."""
    with Redis.from_url(valkey.url, retry=ONCE) as another:
        another.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_the_answers_come_in_the_order_of_the_commands(redis: Redis) -> None:
    found = converse(redis, ("SET", "text", "ü 日本"), ("ZADD", "set", "NX", "1.5", 7), ("GET", "text"), ("GET", "no"))
    assert found == [b"OK", 1, "ü 日本".encode(), None]
    assert redis.zrange("set", 0, -1, withscores=True) == [(b"7", 1.5)]


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_of_the_protocol_answer_the_same_members(tmp_path: Path, version: int) -> None:
    commands = ("BZPOPMIN", "set", 0.01), ("ZPOPMIN", "set", 5)
    server = ValkeyOnPort(tmp_path).start()
    with redis_server.connect(f"{server.url}?protocol={version}", socket_timeout=PATIENT) as redis, stopping(server):
        redis.zadd("set", {str(number): number + 0.5 for number in (3, 1, 2)})
        first, others = converse(redis, *commands)
        assert (first[1], [*without_scores(others)]) == (b"1", [b"2", b"3"])
        first, others = converse(redis, *commands)
        assert (first, [*without_scores(others)]) == (None, [])


def test_many_arguments_are_sent_whole(redis: Redis) -> None:
    given = [part for number in range(20_000) for part in ("0.25", number)]
    assert converse(redis, ("ZADD", "set", *given), ("ZCARD", "set")) == [20_000, 20_000]


def test_after_an_error_among_the_answers_the_same_connection_answers_the_next_commands(redis: Redis) -> None:
    [number] = converse(redis, ("CLIENT", "ID"))
    with pytest.raises(ResponseError, match="wrong kind of value"):  # the first one is raised
        converse(redis, ("SET", "text", 1), ("LPUSH", "text", 1), ("EVALSHA", "0" * 40, 0), ("GET", "text"))
    assert converse(redis, ("GET", "text"), ("CLIENT", "ID")) == [b"1", number]


def test_a_connection_that_was_closed_while_it_was_idle_is_opened_again(redis: Redis, valkey: Valkey) -> None:
    [number] = converse(redis, ("CLIENT", "ID"))
    close_all(valkey)
    assert converse(redis, ("SET", "text", 1), ("CLIENT", "ID"))[1] != number


def test_a_server_that_was_started_again_is_used_at_once(redis: Redis, valkey: Valkey) -> None:
    converse(redis, ("SET", "text", 1))
    valkey.stop()
    with pytest.raises(RedisConnectionError):
        converse(redis, ("GET", "text"))
    valkey.start()
    assert converse(redis, ("GET", "text")) == [None]


@pytest.mark.parametrize("over", ["directly", "by Sentinel"])
def test_an_answer_that_comes_too_late_is_not_the_next_commands(tmp_path: Path, over: str) -> None:
    server = ValkeyOnPort(tmp_path).start()
    watcher = ValkeyOnPort(tmp_path, watches=server)
    try:
        url = server.url if over == "directly" else f"redis+sentinel://127.0.0.1:{watcher.start().port}/leads"
        server.ask("MSET", "one", "1", "two", "2")
        redis = redis_server.connect(url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))

        def answered() -> bool:
            try:
                found = converse(redis, ("GET", "two"))
            except (RedisTimeoutError, RedisConnectionError):  # Sentinel thinks that a paused server is down
                return False
            assert found == [b"2"]
            return True

        wait_until(answered, "a connection")
        server.ask("CLIENT", "PAUSE", "1500", "ALL")
        with pytest.raises(RedisTimeoutError):
            converse(redis, ("GET", "one"))
        wait_until(answered, "the pause to end")
    finally:
        watcher.stop()
        server.stop()


# Limits --------------------------------------------------------------------------------------------------------------


def test_the_library_reads_and_continues_the_window_that_is_counted_here(redis: Redis, storage: RedisStorage) -> None:
    ours, library = Counter(storage), MovingWindowRateLimiter(storage)
    assert ours.hit(TWO, "form", "x", "203.0.113.7")
    assert library.get_window_stats(TWO, "form", "x", "203.0.113.7").remaining == 1
    assert library.hit(TWO, "form", "x", "203.0.113.7")
    assert counted(redis) == [2]
    assert not ours.hit(TWO, "form", "x", "203.0.113.7")
    assert ours.hit(TWO, "form", "x", "203.0.113.8")


def test_a_hit_may_cost_more_than_one(storage: RedisStorage) -> None:
    ours = Counter(storage)
    assert ours.hit(TWO, "x", cost=2)
    assert not ours.hit(TWO, "x")


def test_a_server_that_forgot_the_script_is_given_it_again(redis: Redis, storage: RedisStorage) -> None:
    ours = Counter(storage)
    assert ours.hit(TWO, "x")
    redis.script_flush()
    assert ours.hit(TWO, "x")
    assert redis.script_exists(storage.lua_acquire_moving_window.sha) == [True]
    assert not ours.hit(TWO, "x")
    assert counted(redis) == [2]


def test_a_server_that_was_started_again_counts_from_the_start(
    redis: Redis, storage: RedisStorage, valkey: Valkey
) -> None:
    """Its connections are gone, and so is the script."""
    ours = Counter(storage)
    assert [ours.hit(TWO, "x") for _ in range(3)] == [True, True, False]
    valkey.stop()
    valkey.start()
    assert [ours.hit(TWO, "x") for _ in range(3)] == [True, True, False]
    assert counted(redis) == [2]


def test_a_connection_that_was_closed_while_it_was_idle_counts_once(
    redis: Redis, storage: RedisStorage, valkey: Valkey
) -> None:
    ours = Counter(storage)
    assert ours.hit(TWO, "x")
    close_all(valkey)
    assert ours.hit(TWO, "x")
    assert counted(redis) == [2]


def test_threads_get_each_their_own_answers(redis: Redis) -> None:
    wrong, start = list[object](), threading.Barrier(8)

    def ask(name: int) -> None:
        start.wait(PATIENT)
        for number in range(100):
            found = converse(redis, ("SET", f"key{name}", number), ("GET", f"key{name}"))
            if found != [b"OK", str(number).encode()]:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENT)
    assert wrong == []
    assert [redis.get(f"key{name}") for name in range(8)] == [b"99"] * 8
