"""Ports that are free again after their server was ended."""

import random
import socket

# Below what Linux gives to outgoing connections: one of those could take the port of a server that is away.
BELOW_OUTGOING = range(18_000, 32_000)


def steady_port() -> int:
    """A free loopback port that no outgoing connection is given. Which one does not depend on the seed."""
    while True:
        port = random.choice(BELOW_OUTGOING)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
