"""Load: leads that are captured at their times, in this process."""

import base64
import hashlib
import hmac
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.bench.endpoints import Arrival, Endpoints
from tests.bench.leadhook import Captured, Hook
from tests.bench.machine import say

LATE = 0.1  # seconds after its time, and a lead counts as late


class Offer(NamedTuple):
    """A lead for a webhook, `at` so many seconds after the beginning."""

    at: float
    hook: Hook


def arrivals(hooks: Sequence[Hook], rate: float, seconds: float, seed: int) -> list[Offer]:
    """Leads that come as visitors do: at random (Poisson) to random webhooks; the same ones for the same seed."""
    chance, at, offers = random.Random(seed), 0.0, []
    while (at := at + chance.expovariate(rate)) < seconds:
        offers.append(Offer(at, chance.choice(hooks)))
    return offers


def now_and_then(hooks: Sequence[Hook], first_within: float, every: float, seconds: float, seed: int) -> list[Offer]:
    """Each webhook gets its first lead somewhere in the first seconds, and then one every so often."""
    chance, offers = random.Random(seed), []
    for hook in hooks:
        at = chance.uniform(0, first_within)
        while at < seconds:
            offers.append(Offer(at, hook))
            at += every
    return offers


def offer(offers: Iterable[Offer], capture: Callable[[Hook], Captured]) -> dict[str, float]:
    """Captures each lead when its time has come: when it was committed, by the lead's id.

    A capture that takes longer than the time to the next one delays that; it is said where that was no exception.
    """
    began, committed, late = time.monotonic(), {}, []
    for one in sorted(offers):
        time.sleep(max(0.0, began + one.at - time.monotonic()))
        late.append(time.monotonic() - began - one.at)
        captured = capture(one.hook)
        committed[captured.lead_id] = captured.at
    behind = sum(seconds > LATE for seconds in late) / max(len(late), 1)
    if behind > 0.1:
        say(f"  {behind:.0%} of the leads were captured late: this machine was too busy for the load")
    return committed


def received(endpoints: Endpoints, committed: dict[str, float], secret: str, timeout: float) -> dict[str, float]:
    """Milliseconds from commit to receipt by message id, once all have come; every signature is verified.

    Fails where one does not come, comes twice, or is not signed as it should be.
    """
    ends_at, found = time.monotonic() + timeout, {}
    while committed.keys() - found.keys():
        assert time.monotonic() < ends_at, f"{len(found)} of {len(committed)} leads came within {timeout} s"
        time.sleep(0.2)
        for arrival in endpoints.arrivals():
            assert arrival.message_id not in found, "a lead came twice"
            verify(arrival, secret)
            found[arrival.message_id] = arrival.at
    return {message_id: (found[message_id] - at) * 1000 for message_id, at in committed.items()}


def verify(arrival: Arrival, secret: str) -> None:
    """Checks a signature as a receiver does, by the specification and not by the code that made it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{arrival.message_id}.{arrival.timestamp}.{arrival.body}".encode()
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert hmac.compare_digest(expected, arrival.signature), "a signature is wrong"
