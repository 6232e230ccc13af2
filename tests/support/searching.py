"""People who search for what is not there, in a process of their own: `python -m tests.support.searching PORT COOKIE
NUMBER`. It ends with its input, and prints the statuses of all answers as JSON."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from threading import Event

from tests.support.site import ROOT


@contextmanager
def searching(port: int, cookie: str, number: int) -> Iterator[list[int]]:
    """So many people search while the block runs; after it the list has the statuses of their answers."""
    command = [sys.executable, "-m", "tests.support.searching", str(port), cookie, str(number)]
    people = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    statuses: list[int] = []
    try:
        yield statuses
    finally:
        printed, _ = people.communicate("", timeout=60)
    statuses += json.loads(printed)


def _search(port: int, cookie: str, over: Event, number: int) -> list[int]:
    statuses: list[int] = []
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while not over.is_set():
            connection.request("GET", f"/leads?q=nothing-{number}", headers={"Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            if answer.status == 503:  # told to try again later
                over.wait(1.0)
    return statuses


def main(port: str, cookie: str, number: str) -> None:
    over = Event()
    with ThreadPoolExecutor(int(number) or 1) as pool:
        people = [pool.submit(_search, int(port), cookie, over, each) for each in range(int(number))]
        sys.stdin.read()
        over.set()
    print(json.dumps([status for each in people for status in each.result()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
