"""What belongs to an app hangs on it: a second app in the process changes nothing for the first."""

from collections.abc import Iterator

import pytest
from flask import Flask
from redis import Redis

from tests.conftest import AppMaker
from tests.support.valkey import Valkey
from webapp.config import current_config
from webapp.delivery.rings import MAIL, bell, queues, ring_mail
from webapp.extensions import limiter
from webapp.services.intake import published_forms
from webapp.web.limits import form_limit

LIMIT = {"FORM_RATE_LIMIT": "1 per hour"}


@pytest.fixture
def first(make_app: AppMaker) -> Flask:
    return make_app(**LIMIT)


@pytest.fixture
def other_redis(valkey: Valkey) -> Iterator[Redis]:
    """Another database of the same server."""
    with Redis.from_url(f"{valkey.url}?db=1") as client:
        client.flushdb()
        yield client
        client.flushdb()


def test_a_ring_goes_to_the_redis_of_its_own_app(
    first: Flask, make_app: AppMaker, valkey: Valkey, other_redis: Redis
) -> None:
    second = make_app(REDIS_URL=f"{valkey.url}?db=1")
    with first.app_context():
        ring_mail()
        assert queues.get(MAIL).count == 1
    assert other_redis.keys() == []
    with second.app_context():
        assert queues.get(MAIL).count == 0
        ring_mail()
    assert other_redis.keys()


def test_a_limit_counts_in_the_redis_of_its_own_app_by_its_own_setting(
    first: Flask, make_app: AppMaker, valkey: Valkey, other_redis: Redis
) -> None:
    second = make_app(REDIS_URL=f"{valkey.url}?db=1", FORM_RATE_LIMIT="2 per hour")
    with first.app_context():
        assert form_limit.seconds_to_wait("if_1", "203.0.113.7") == 0
        assert form_limit.seconds_to_wait("if_1", "203.0.113.7") > 0
        first_storage = limiter.storage
    assert other_redis.keys() == []
    with second.app_context():
        assert [form_limit.seconds_to_wait("if_1", "203.0.113.7") > 0 for _ in range(3)] == [False, False, True]
        assert limiter.storage is not first_storage


def test_sign_in_is_limited_by_the_redis_of_its_own_app(
    first: Flask, make_app: AppMaker, valkey: Valkey, other_redis: Redis
) -> None:
    make_app(REDIS_URL=f"{valkey.url}?db=1")
    wrong = {"email": "alice@example.com", "password": "not it"}
    assert first.test_client().post("/login", data=wrong).status_code == 422
    assert other_redis.keys() == []
    with Redis.from_url(valkey.url) as client:
        assert client.keys("LIMITS*")


def test_each_app_has_its_own_parts(first: Flask, make_app: AppMaker) -> None:
    parts = (bell, queues, form_limit, published_forms._cache, published_forms._cache)

    def of(app: Flask) -> list[int]:
        with app.app_context():
            return [id(part._get_current_object()) for part in parts]  # type: ignore[attr-defined]

    second = make_app()
    assert not set(of(first)) & set(of(second))
    assert of(first) == of(first)


def test_there_is_no_part_without_an_app() -> None:
    with pytest.raises(RuntimeError):
        _ = current_config.public_url
