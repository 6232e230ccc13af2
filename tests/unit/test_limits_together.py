"""The limits of posts that come side by side: they are counted in one conversation with Redis."""

from collections.abc import Sequence
from functools import partial

import pytest
from redis.exceptions import RedisError

from tests.conftest import AppMaker
from webapp.db.write_turns import SideBySide
from webapp.servers import redis_server
from webapp.web.limits import FormLimit, form_limit


def waits(limit: FormLimit, posts: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether each of these posts, all side by side, has to wait."""
    limit = limit._get_current_object()  # type: ignore[attr-defined]  # their contexts have no app
    found: dict[int, int] = {}

    def count(number: int, post: tuple[str, str]) -> None:
        found[number] = limit.seconds_to_wait(*post)

    SideBySide().run([partial(count, number, post) for number, post in enumerate(posts)])
    return [found[number] > 0 for number in range(len(posts))]


POSTS = [("if_1", "203.0.113.7"), ("if_1", "203.0.113.7"), ("if_2", "203.0.113.7"), ("if_1", "203.0.113.7")]
POSTS += [("if_1", "203.0.113.8")]
OVER_TWO = [False, False, False, True, False]


def test_posts_side_by_side_are_counted_like_others(make_app: AppMaker) -> None:
    with make_app(FORM_RATE_LIMIT="2 per hour").app_context():
        assert waits(form_limit, POSTS) == OVER_TWO
        assert 0 < form_limit.seconds_to_wait("if_1", "203.0.113.7") <= 3600
        assert form_limit.seconds_to_wait("if_2", "203.0.113.7") == 0
        assert form_limit.seconds_to_wait("if_2", "203.0.113.7") > 0


def test_several_limits_hold_side_by_side(make_app: AppMaker) -> None:
    with make_app(FORM_RATE_LIMIT="4 per day; 2 per hour").app_context():
        assert waits(form_limit, POSTS) == OVER_TWO
        assert waits(form_limit, POSTS) == [True, True, False, True, False]


def test_they_are_counted_in_one_conversation(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    talks: list[int] = []

    def converse(*given: object) -> object:
        talks.append(len(given) - 1)
        return one(*given)  # type: ignore[arg-type]

    with make_app(FORM_RATE_LIMIT="9 per hour").app_context():
        waits(form_limit, POSTS[:1])  # the server knows the script from now on
        one = redis_server.converse
        monkeypatch.setattr(redis_server, "converse", converse)
        assert waits(form_limit, POSTS) == [False] * 5
        assert talks == [5]


def test_without_redis_the_process_counts_them(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RedisError

    with make_app(FORM_RATE_LIMIT="2 per hour").app_context():
        monkeypatch.setattr(redis_server, "run", fail)
        assert waits(form_limit, POSTS) == OVER_TWO


@pytest.mark.parametrize("is_away", [False, True], ids=["by Redis", "by the process"])
def test_requests_of_a_key_are_told_what_is_left(
    make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    def fail(*_: object) -> None:
        raise RedisError

    app = make_app(API_RATE_LIMIT="3 per minute; 9 per hour")
    if is_away:
        monkeypatch.setattr(redis_server, "run", fail)
    limit, found = app.extensions["leadhook_api_limit"], {}

    def count(number: int) -> None:
        found[number] = limit.count("lhk_1" if number < 4 else "lhk_2")

    SideBySide().run([partial(count, number) for number in range(5)])
    told = [[(each.name, each.most, each.left, each.is_exceeded) for each in found[number]] for number in range(5)]
    assert [each[0] for each in told] == [
        *(("default", 3, left, False) for left in (2, 1, 0)),
        ("default", 3, 0, True),
        ("default", 3, 2, False),
    ]
    assert [each[1][2] for each in told] == [8, 7, 6, 5, 8]
    assert all(0 < quota.seconds <= quota.window for quotas in found.values() for quota in quotas)
