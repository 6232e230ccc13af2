"""`flask receive --forward`: follows the feed of a running Leadhook, and posts what comes to a developer's machine.

An event that got an answer, whichever, is done. Without an answer it is posted again, after a growing wait: so a
program that is started later misses none. The key leaves for the address in --from alone: redirects are not followed.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import click
import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from webapp.run.receiver import printable_line, read
from webapp.services.errors import Refused
from webapp.webhooks.sender import USER_AGENT

WAIT, PAGE = 30, 20  # seconds that the feed waits for the next event; events of a page
PATIENCE = 15  # seconds for an answer, besides WAIT
LONGEST_PAUSE = 30.0  # seconds
LONGEST_ANSWER = 1024 * 1024  # bytes that are read
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Unreachable(Exception):
    """There was no answer, or none that says anything about the feed. `after`: seconds to wait at least."""

    def __init__(self, words: str, after: float = 0.0) -> None:
        super().__init__(words)
        self.after = after


class _Bearer(AuthBase):
    """The key in its header, also where a .netrc knows the host."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Feed:
    """The feed of one webhook of another Leadhook. `place`: the cursor after what was forwarded."""

    def __init__(self, source: str, key: str, webhook: str | None, place: str) -> None:
        self._url = f"{source.rstrip('/')}/api/v1/events"
        self._session = requests.Session()
        self._session.auth = _Bearer(key)
        self._query = {"webhook": webhook} if webhook else {}
        self.place = place

    def page(self, wait: int) -> Mapping[str, Any]:
        """What is after the place; waits for it. Unreachable, or Refused for what another try does not mend."""
        query = {**self._query, "after": self.place, "limit": str(PAGE), "wait": str(wait)}
        try:
            answer = self._session.get(self._url, params=query, timeout=wait + PATIENCE, allow_redirects=False)
        except requests.RequestException as error:
            raise Unreachable(f"{self._url} does not answer ({type(error).__name__}).") from None
        pause = answer.headers.get("Retry-After", "")
        after = float(pause) if pause.isdecimal() else 0.0
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.status_code == 200 and isinstance(found, dict) and isinstance(found.get("next"), str):
            return {**found, "pause": after}
        words = found.get("detail") if isinstance(found, dict) else None
        sentence = f"{self._url} answered {answer.status_code}{f': {words}' if words else '.'}"
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unreachable(sentence, after)
        raise Refused(printable_line(sentence))


def run(url: str, source: str, key: str, webhook: str | None, after: str | None) -> None:
    """Forwards until SIGTERM or Ctrl-C. Refused for addresses, a key or a place that cannot be used."""
    for name, address in (("--forward", url), ("--from", source)):
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
            raise Refused(f"{name} needs an address such as http://127.0.0.1:3000/hook.")
    if not key.isascii() or not key.isprintable() or not key:
        raise Refused("Give the API Key in LEADHOOK_API_KEY, or in a file with --key-file.")
    if urlsplit(source).scheme == "http" and urlsplit(source).hostname not in LOOPBACK:
        click.echo("The API Key goes over the network unencrypted: use https in --from.", err=True)
    feed = Feed(source, key, webhook, after or "now")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        first = _patiently(lambda: feed.page(0))  # what is wrong is said at once
        feed.place = after or first["next"]
        click.echo(f"Forwarding from {source} to {url}.")
        while True:
            _forward_page(feed, url)
    except KeyboardInterrupt:
        if feed.place != "now":
            click.echo(f"To go on here later: --after {feed.place}")
    finally:
        signal.signal(signal.SIGTERM, before)


def _forward_page(feed: Feed, url: str) -> None:
    page = _patiently(lambda: feed.page(WAIT))
    for event in page["data"]:
        body = event["body"]
        verdict = "no payload" if body is None else _patiently(lambda event=event: _post(url, event))  # type: ignore[misc]
        _print(url, body, verdict)
    feed.place = page["next"]
    if not page["data"] and page["pause"]:
        time.sleep(page["pause"])


def _post(url: str, event: Mapping[str, Any]) -> str:
    headers = {"user-agent": USER_AGENT, "connection": "close", **event["headers"]}
    try:
        with requests.post(
            url, event["body"].encode(), headers=headers, timeout=PATIENCE, allow_redirects=False, stream=True
        ) as answer:
            _read_to_its_end(answer)
    except requests.RequestException as error:
        raise Unreachable(f"{url} does not answer ({type(error).__name__}).") from None
    return f"answered {answer.status_code}"


def _read_to_its_end(answer: requests.Response) -> None:
    """So that the program is not cut off while it answers, which many print as an error. Not where it may never end."""
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and len(length) < 12 and int(length) <= LONGEST_ANSWER:
        with contextlib.suppress(HTTPError, OSError):  # there was an answer
            answer.raw.read(decode_content=False)


def _patiently(ask: Callable[[], Any]) -> Any:
    """What it returns in the end: tried again after 1, 2, 4, … seconds while nothing answers."""
    pause = 1.0
    while True:
        try:
            return ask()
        except Unreachable as error:
            seconds = max(pause, error.after)
            click.echo(f"{printable_line(str(error))} Trying again in {seconds:g} s.", err=True)
            time.sleep(seconds)
            pause = min(pause * 2, LONGEST_PAUSE)


def _print(url: str, body: str | None, verdict: str) -> None:
    event, lead, _ = read((body or "").encode())
    path = urlsplit(url).path or "/"
    click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {printable_line(path)}  {event}  {lead}  {verdict}")
