"""Kept connections, between requests and at their end: real sockets against gunicorn with our worker and a tiny app."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.receiver import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
WORKER = "webapp.servers.patient_worker.PatientWorker"


def get(path: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: a", *lines, "", ""]).encode()


@contextmanager
def server(log: Path, *options: str) -> Iterator[int]:
    """The port of gunicorn with one process and two threads, without our settings, but for one: else gunicorn trusts
    this machine as a proxy, and reads all of its requests."""
    port = free_port()
    ours = ("-c", "/dev/null", "-k", WORKER, "--threads", "2", "--bind", f"127.0.0.1:{port}", "--no-control-socket")
    ours += ("--forwarded-allow-ips", "")
    with log.open("wb") as file:
        command = [sys.executable, "-m", "gunicorn", *ours, *options, "tests.support.tiny_app:app"]
        running = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        wait_until(lambda: answers(port), "gunicorn to answer", timeout=60)
        yield port
        running.terminate()
        assert running.wait(timeout=60) == 0, log.read_text()
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "log"


@pytest.fixture(scope="module")
def port(log: Path) -> Iterator[int]:
    """A server that the tests without options of their own share; `log` is its log."""
    with server(log) as port:
        yield port


def answers(port: int) -> bool:
    try:
        with connected(port) as client:
            return bool(asked(client, get("/", "Connection: close")))
    except OSError:
        return False


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def asked(client: socket.socket, request: bytes) -> bytes:
    """The answer to it: its head and all of its body; nothing if the server closes before."""
    client.sendall(request)
    received = b""
    while not is_whole(received):
        piece = client.recv(65536)
        if not piece:
            break
        received += piece
    return received


def is_whole(received: bytes) -> bool:
    head, ends, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return bool(ends) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def is_closed(client: socket.socket) -> bool:
    return client.recv(1) == b""


def test_a_connection_is_kept_for_requests_that_we_read_and_that_gunicorn_reads(port: int) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n"
    requests = {
        get("/"): b"0 bytes",
        post % b"Content-Length: 5" + b"hello": b"5 bytes",
        post % b"Transfer-Encoding: chunked" + b"5\r\nhello\r\n0\r\n\r\n": b"5 bytes",
        get("/", "X-A: a", "X-A: b"): b"0 bytes",
        get("/streams"): b"3\r\n0 b\r\n4\r\nytes\r\n0\r\n\r\n",
    }
    with connected(port) as client:
        for _ in range(3):
            for request, body in requests.items():
                answer = asked(client, request)
                assert b"Connection: keep-alive\r\n" in answer
                assert body_of(answer) == body
        # Two at once: what follows the first one is not lost.
        client.sendall(get("/streams") + get("/", "Connection: close"))
        received = b""
        while piece := client.recv(65536):
            received += piece
        assert received.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "request_",
    [get("/", "Connection: close"), get("/", version="1.0"), get("/", "X-A: a", "X-A: b", "Connection: close")],
)
def test_a_connection_ends_where_the_client_wants_it(port: int, request_: bytes) -> None:
    with connected(port) as client:
        assert b"\r\nConnection: close\r\n" in asked(client, request_)
        assert is_closed(client)


def test_a_connection_that_is_kept_for_nothing_is_closed(tmp_path: Path) -> None:
    with server(tmp_path / "log", "--keep-alive", "1") as port, connected(port) as client:
        assert asked(client, get("/"))
        assert is_closed(client)
    with server(tmp_path / "log", "--keep-alive", "0") as port, connected(port) as client:
        assert b"\r\nConnection: close\r\n" in asked(client, get("/"))
        assert is_closed(client)


def test_an_app_that_fails_is_answered_with_500_and_logged(port: int, log: Path) -> None:
    with connected(port) as client:
        assert b" 500 Internal Server Error\r\n" in asked(client, get("/fails"))
        assert is_closed(client)
    with connected(port) as client:  # the client sees that it does not have all
        client.sendall(get("/fails-late"))
        received = b""
        while piece := client.recv(65536):
            received += piece
        assert body_of(received) == b"0 b"
    assert answers(port)
    wait_until(lambda: log.read_text().count("RuntimeError: as the test wants it") == 2, "both errors in the log")
    assert "Error handling request GET /fails" in log.read_text()


def test_a_process_that_has_answered_its_most_requests_is_replaced(tmp_path: Path) -> None:
    found, closed = set(), 0
    with server(tmp_path / "log", "--max-requests", "5") as port:
        client = connected(port)
        for _ in range(30):
            answer = asked(client, get("/pid"))
            assert answer.startswith(b"HTTP/1.1 200 OK")
            found.add(body_of(answer))
            if b"\r\nConnection: close\r\n" in answer:
                client.close()
                client, closed = connected(port), closed + 1
        client.close()
    assert len(found) > 2
    assert closed > 2


def test_the_access_log_has_the_same_line_for_both_ways(tmp_path: Path) -> None:
    log, line = tmp_path / "log", "%(h)s %(r)s %(s)s %(B)s %({host}i)s %({content-type}o)s %({request_method}e)s"
    with server(log, "--access-logfile", "-", "--access-logformat", line) as port, connected(port) as client:
        assert asked(client, get("/x?y"))
        assert asked(client, get("/x?y", "X-A: a", "X-A: b"))
    lines = [each for each in log.read_text().splitlines() if "/x?y" in each]
    assert lines == ["127.0.0.1 GET /x?y HTTP/1.1 200 7 a text/plain GET"] * 2


def test_the_connection_that_waited_longest_makes_room(tmp_path: Path) -> None:
    """Whether it waits for the rest of a request or for the next one."""
    with server(tmp_path / "log", "--worker-connections", "5", "--keep-alive", "60") as port, ExitStack() as stack:
        clients = [stack.enter_context(connected(port))]
        clients[0].sendall(b"GET / HT")
        for _ in range(9):
            clients.append(stack.enter_context(connected(port)))
            assert asked(clients[-1], get("/"))
        assert is_closed(clients[0])
        assert is_closed(clients[1])
        assert asked(clients[-2], get("/"))
