"""The ports of a run's servers are its own, also while a server is away."""

import socket

import pytest

from tests.fault import ports


def test_a_server_of_the_port_can_be_ended_and_started_again() -> None:
    port = ports.steady_port()
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_port_is_given_once_though_its_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    given, free = ports.steady_port(), ports.steady_port()
    ports._places.pop().close()
    monkeypatch.setattr(ports, "BELOW_OUTGOING", [*[given] * 99, free])
    assert ports.steady_port() == free
