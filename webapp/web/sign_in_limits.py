"""How often people may try to sign in. Only failed tries count.

- One network may try one account 10 times in 15 minutes, and all accounts together 50 times. For IPv6 the same holds
  for its /64; its /56 has four times as much and its /48 sixteen times, see limits.IPV6.
- One home may try an account 50 times an hour: with IPv4 besides it stays below the next limit.
- All networks together may try one account 100 times an hour. A client that has many networks can use this up and so
  lock out the owner. A browser that the owner has signed in with before has 10 tries an hour of its own instead
  (known_browsers.py), and a new password by mail begins the count anew.
"""

from collections.abc import Iterable

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from webapp.per_app import per_app
from webapp.web import known_browsers
from webapp.web.limits import IPV6, Counts, account_of, network, seconds_until

ACCOUNT = RateLimitItemPerHour(100)
KNOWN_BROWSER = RateLimitItemPerHour(10)
HOME = RateLimitItemPerHour(50)
ACCOUNT_AND_NETWORK = {bits: RateLimitItemPerMinute(10 * times, 15) for bits, times in IPV6.items()}
NETWORK = {bits: RateLimitItemPerMinute(50 * times, 15) for bits, times in IPV6.items()}

Limit = tuple[RateLimitItem, tuple[str, ...]]  # with the key it counts by


class SignInLimits(Counts):
    """What counts is the client of the current request, and the e-mail address that it typed."""

    def seconds_to_wait(self, email: str) -> int:
        """0 if another try is accepted, else the seconds until one is. Counts nothing."""
        return self.ask(_longest_wait, [*_by_network(email), *_by_account(email)])

    def count(self, email: str) -> None:
        """Counts a failed try."""
        self.ask(_hit, [*_by_network(email), *_by_account(email)])

    def forget(self, email: str) -> None:
        """Begins the account's count anew, also for the network of this request: its user has a new password."""
        self.ask(_clear, [_of_account(email), *_by_account_and_network(email)])

    def forget_account(self, email: str) -> None:
        """Begins the account's count anew; outside a request."""
        self.ask(_clear, [_of_account(email)])


sign_in_limits: SignInLimits = per_app("sign_in_limits")


def _by_network(email: str) -> Iterable[Limit]:
    yield from _by_account_and_network(email)
    for bits, limit in NETWORK.items():
        yield limit, ("sign-in of", network(bits))


def _by_account_and_network(email: str) -> Iterable[Limit]:
    account = account_of(email)
    for bits, limit in ACCOUNT_AND_NETWORK.items():
        yield limit, ("sign-in", account, network(bits))
    yield HOME, ("sign-in", account, network(56))


def _by_account(email: str) -> Iterable[Limit]:
    browser = known_browsers.id_of(email)
    yield (KNOWN_BROWSER, ("sign-in", account_of(email), browser)) if browser else _of_account(email)


def _of_account(email: str) -> Limit:
    return ACCOUNT, ("sign-in", account_of(email))


def _longest_wait(counter: MovingWindowRateLimiter, limits: Iterable[Limit]) -> int:
    return max(0 if counter.test(limit, *key) else seconds_until(counter, limit, *key) for limit, key in limits)


def _hit(counter: MovingWindowRateLimiter, limits: Iterable[Limit]) -> None:
    for limit, key in limits:
        counter.hit(limit, *key)


def _clear(counter: MovingWindowRateLimiter, limits: Iterable[Limit]) -> None:
    for limit, key in limits:
        counter.clear(limit, *key)
