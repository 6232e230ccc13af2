"""Ports that are free again after their server was ended."""

import random
import socket

# Below what Linux gives to outgoing connections: one of those could take the port of a server that is away.
BELOW_OUTGOING = range(18_000, 32_000)

_places: list[socket.socket] = []  # of the ports that were given: each is bound, and does not listen


def steady_port() -> int:
    """A loopback port that no outgoing connection is given, and no other server until this process ends, be it of
    another run. Which one does not depend on the seed."""
    while True:
        port, place = random.choice(BELOW_OUTGOING), socket.socket()
        try:
            place.bind(("127.0.0.1", port))  # fails beside any other: SO_REUSEADDR is not set
        except OSError:
            place.close()
            continue
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that its server, which sets it, can bind it
        _places.append(place)
        return port
