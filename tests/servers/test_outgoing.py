"""The time that a client has to read an answer: one limit for all its pieces. Real sockets."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from webapp.servers import outgoing
from webapp.servers.outgoing import AnswerSocket

pytestmark = pytest.mark.once

PIECE = b"x" * 8192


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AnswerSocket, socket.socket]]:
    """Ours and the client's, over TCP, with small buffers and half a second of patience."""
    monkeypatch.setattr(outgoing, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        with AnswerSocket(accepted) as ours:
            yield ours, client


def seconds_until_given_up(ours: AnswerSocket) -> float:
    began = time.monotonic()
    with pytest.raises(BlockingIOError):
        ours.sendall(PIECE * 1000)
    return time.monotonic() - began


def test_a_client_that_reads_nothing_is_given_up(ends: tuple[AnswerSocket, socket.socket]) -> None:
    assert 0.4 < seconds_until_given_up(ends[0]) < 3
    assert ends[0].unread() > 8192


def read(client: socket.socket, size: int, every: float) -> int:
    total = 0
    try:
        while piece := client.recv(size):
            total += len(piece)
            time.sleep(every)
    except OSError:
        pass
    return total


def test_a_client_that_reads_slower_than_the_least_rate_is_given_up(
    ends: tuple[AnswerSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part goes in time: with a limit for each of them, there would be no end."""
    monkeypatch.setattr(outgoing, "LEAST_RATE", 1_000_000_000)
    reader = threading.Thread(target=read, args=(ends[1], 2048, 0.02), daemon=True)
    reader.start()
    assert seconds_until_given_up(ends[0]) < 5
    ends[0].close()
    reader.join(20)


def test_a_client_that_is_slow_but_reads_gets_all(ends: tuple[AnswerSocket, socket.socket]) -> None:
    """It takes several times our patience."""
    ours, client = ends
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.append(read(client, 2048, 0.01)), daemon=True)
    reader.start()
    for _ in range(40):
        ours.sendall(PIECE)
    ours.close()
    reader.join(30)
    assert got == [40 * 8192]


def test_the_next_answer_has_its_own_time(ends: tuple[AnswerSocket, socket.socket]) -> None:
    ours, client = ends
    seconds_until_given_up(ours)
    ours.begin_answer()
    threading.Thread(target=read, args=(client, 65536, 0), daemon=True).start()
    ours.sendall(PIECE)
    assert ours.getpeername() == client.getsockname()
