"""Visitors who fill in forms all the time. Each post stands for one lead, told by its visitor's name, and is never
repeated: a browser does not repeat one either."""

import json
import random
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT = 40.0  # seconds; longer than anything a post may wait for


class Post(NamedTuple):
    """One post and what became of it: the status, None where the connection ended before an answer came."""

    lead: str
    receiver: str
    at: float
    ended_at: float
    status: int | None
    lead_id: str

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Visitors:
    """Threads that post to forms (public id by receiver) until they are stopped."""

    def __init__(self, url: str, forms: Mapping[str, str], seed: str, number: int) -> None:
        self.posts: list[Post] = []
        self._address = urlsplit(url).netloc
        self._forms = dict(forms)
        self._over = Event()
        self._seed = seed
        self._threads = [Thread(target=self._visit, args=(index,), daemon=True) for index in range(number)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def post(self, receiver: str) -> Post:
        """One post to the form of this receiver, on the caller's thread."""
        self.posts.append(self._post(f"{self._seed} {len(self.posts)}", receiver))
        return self.posts[-1]

    def accepted(self) -> int:
        return sum(post.accepted for post in self.posts)

    def _visit(self, index: int) -> None:
        chance, number = random.Random(f"{self._seed}/visitor {index}"), 0
        while not self._over.wait(chance.uniform(0.05, 0.35)):
            number += 1
            receiver = chance.choice(list(self._forms))
            self.posts.append(self._post(f"{self._seed} {index}-{number}", receiver))

    def _post(self, lead: str, receiver: str) -> Post:
        at = time.time()
        status, answer = None, b""
        connection = HTTPConnection(self._address, timeout=TIMEOUT)
        try:
            connection.request("POST", f"/f/{self._forms[receiver]}", _answers(lead), HEADERS)
            response = connection.getresponse()
            answer = response.read()
            status = response.status
        except (OSError, HTTPException):
            pass  # whether it was accepted, nobody knows
        finally:
            connection.close()
        lead_id = json.loads(answer)["id"] if status == 201 else ""
        return Post(lead, receiver, at, time.time(), status, lead_id)


HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def _answers(lead: str) -> str:
    address = f"{lead.replace(' ', '.')}@example.com"
    return json.dumps({"name": lead, "email": address, "phone": "+15550100", "message": "Hello\nfrom the fault suite"})
