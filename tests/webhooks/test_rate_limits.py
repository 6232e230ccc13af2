"""What answers say about the rate limit of their receiver. The first table has the headers that services send."""

import time
from email.utils import formatdate

import pytest

from tests.support.receiver import Receiver, answering
from webapp.webhooks.outcome import Outcome
from webapp.webhooks.rate_limits import seconds_until_more
from webapp.webhooks.sender import Sender

NOW = 1795420800  # 2026-11-23 08:00:00 UTC
DATE = formatdate(NOW, usegmt=True)
DAY = 86400.0


def wait(**headers: str) -> float | None:
    """With the answer's own Date, which is long ago, or far ahead."""
    return seconds_until_more({"date": DATE} | {name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"default";r=0;t=30'}, 30),
        ({"ratelimit": '"default";r=50;t=30'}, None),
        ({"ratelimit": '"burst";r=0;t=2, "daily";r=0;t=3600'}, 3600),
        ({"ratelimit": '"burst";r=0;t=2, "daily";r=400;t=3600'}, 2),
        ({"ratelimit": '"a;r=0;t=99, b";r=5;t=30'}, None),  # in a name
        ({"ratelimit": '"default"; r=0; t=30; pk=:Y2RvZ3M=:'}, 30),
        ({"ratelimit": "limit=100, remaining=0, reset=7"}, 7),
        ({"ratelimit": "limit=100, remaining=5, reset=7"}, None),
        ({"ratelimit_remaining": "0", "ratelimit_reset": "12"}, 12),
        ({"ratelimit_remaining": "1", "ratelimit_reset": "12"}, None),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": f"{NOW + 90}"}, 90),  # GitHub
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": f"{NOW + 90}.5"}, 90.5),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": f"{NOW + 90}000"}, 90),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "90"}, 90),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"x_rate_limit_remaining": "0", "x_rate_limit_reset": "90"}, 90),
        (
            {
                "x_ratelimit_remaining": "0",
                "x_ratelimit_reset": f"{NOW + 5000}.25",
                "x_ratelimit_reset_after": "1.250",  # Discord
            },
            1.25,
        ),
        ({"x_ratelimit_remaining": "4, 0", "x_ratelimit_reset": "1, 3600"}, 3600),  # one for each limit
        ({"x_ratelimit_remaining": "0, 400", "x_ratelimit_reset": "1, 3600"}, 1),
        ({"x_ratelimit_remaining": "0, 400", "x_ratelimit_reset": "60"}, 60),
        (
            {
                "ratelimit_remaining": "9",
                "ratelimit_reset": "5",
                "x_ratelimit_remaining": "0",
                "x_ratelimit_reset": "6",
            },
            6,
        ),
        ({"ratelimit": '"default";r=0;t=999999'}, DAY),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": f"{NOW + 999999}"}, DAY),
    ],
)
def test_an_answer_says_when_more_is_taken(headers: dict[str, str], seconds: float | None) -> None:
    assert wait(**headers) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit": ""},
        {"ratelimit": '"default";r=0'},
        {"ratelimit": '"default";r=0;t=0'},
        {"ratelimit": '"default";r=-1;t=30'},
        {"ratelimit": '"default";r=0.5;t=30'},
        {"ratelimit": '"default;r=0;t=30'},
        {"ratelimit": "0"},
        {"ratelimit": '"' * 60000},
        {"ratelimit": '"' + '\\"' * 30000},
        {"ratelimit_remaining": "0"},
        {"ratelimit_reset": "30"},
        {"ratelimit_remaining": "none", "ratelimit_reset": "30"},
        {"ratelimit_remaining": "-1", "ratelimit_reset": "30"},
        {"ratelimit_remaining": "", "ratelimit_reset": "30"},
        {"ratelimit_remaining": "0", "ratelimit_reset": "soon"},
        {"ratelimit_remaining": "0", "ratelimit_reset": "-5"},
        {"ratelimit_remaining": "0", "ratelimit_reset": "0"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": f"{NOW - 5}"},  # it is over
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": formatdate(NOW - 5, usegmt=True)},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "9" * 400},
    ],
)
def test_headers_that_say_nothing_clear_are_no_reason_to_wait(headers: dict[str, str]) -> None:
    began = time.process_time()
    assert wait(**headers) is None
    assert time.process_time() - began < 0.25


def test_without_a_date_a_moment_counts_from_now() -> None:
    found = seconds_until_more({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 100)})
    assert found == pytest.approx(100, abs=5)


def ask(sender: Sender, receiver: Receiver, code: int, headers: list[tuple[str, str]]) -> Outcome:
    receiver.queue(answering(code, headers=headers))
    return sender.send(1, receiver.url, b"{}", {})


SPENT = [("RateLimit", '"default";r=0;t=30')]


@pytest.mark.parametrize(
    ("code", "headers", "seconds", "rests"),
    [
        (200, SPENT, 30, True),
        (204, [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "2.5")], 2.5, True),
        (200, [("RateLimit", '"a";r=9;t=9'), ("RateLimit", '"b";r=0;t=8')], 8, True),  # sent as two headers
        (200, [("RateLimit", '"default";r=9;t=30')], None, False),
        (200, [("Retry-After", "30")], None, False),
        (200, [], None, False),
        (429, SPENT, 30, True),
        (503, SPENT, 30, True),
        (429, [("Retry-After", "5"), *SPENT], 5, True),
        (429, [("Retry-After", "later"), *SPENT], 30, True),
        (500, SPENT, None, False),
        (403, SPENT, None, False),
        (302, SPENT, None, False),
    ],
)
def test_a_good_answer_with_nothing_left_asks_for_a_rest_and_so_does_429(
    sender: Sender, receiver: Receiver, code: int, headers: list[tuple[str, str]], seconds: float | None, rests: bool
) -> None:
    outcome = ask(sender, receiver, code, headers)
    assert (outcome.retry_after, outcome.asks_for_rest) == (seconds, rests)
