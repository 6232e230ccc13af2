"""The SMTP server of the faults: where it stops, its clients are wherever they are."""

import gc
import socket
import warnings
from contextlib import closing
from typing import Any

import pytest

from tests.fault.mailbox import Mailbox
from tests.support.smtp import MailServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.once

SAID = {
    "nothing": b"",
    "half a line": b"EHL",
    "its name": b"EHLO a\r\n",
    "a mail that hangs": b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nHello\r\n.\r\n",
}


def client(server: MailServer, said: bytes) -> socket.socket:
    made = socket.create_connection((server.host, server.port), timeout=10)
    made.sendall(said)
    return made


def is_closed(one: socket.socket) -> bool:
    try:
        while one.recv(1000):
            pass
    except ConnectionError:
        pass
    return True


def leaves_behind(server: Mailbox, clients: list[socket.socket]) -> list[str]:
    """Stops the server; what the garbage collector finds open then."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        server.stop()
        gc.collect()
    for one in clients:
        with closing(one):
            assert is_closed(one)
    return [str(each.message) for each in found]


@pytest.fixture
def mailbox() -> Mailbox:
    made = Mailbox()
    made.hangs = True
    made.start()
    return made


def test_a_server_that_stops_closes_the_connections_of_all_its_clients(mailbox: Mailbox) -> None:
    clients = [client(mailbox, said) for said in SAID.values()]
    for one in clients:
        assert one.recv(4) == b"220 "
    wait_until(lambda: mailbox.sessions == 2, "those that said a name")
    assert leaves_behind(mailbox, clients) == []


def test_and_of_those_that_it_has_not_seen_yet(mailbox: Mailbox) -> None:
    """They have connected while the server does something else, and it stops before it looks."""
    loop: Any = mailbox._controller.loop
    loop.call_soon_threadsafe(lambda: wait_until(lambda: loop._ready, "the stop"))
    clients = [client(mailbox, said) for said in SAID.values()]
    assert leaves_behind(mailbox, clients) == []
