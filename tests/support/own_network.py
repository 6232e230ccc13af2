"""A network of the test's own: loopback, and any addresses that the test wants to be this machine's.

The calling thread moves into a new network namespace, with all threads and processes that it starts there, and comes
back at the end. Connections that it had, and unix sockets, go on working. Needs root on Linux.
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from ipaddress import ip_address

import pytest

from tests.support.waiting import wait_until

CLONE_NEWNET = 0x40000000
SIOCGIFINDEX, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8933, 0x8914, 0x8916, 0x891C
IFF_UP = 1

needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux can make a network of its own"
)


@contextmanager
def own_network(*addresses: str) -> Iterator[None]:
    """Inside it, only loopback and these addresses exist. Fails if the machine does not allow it although it is root's:
    a test that cannot run must not look as if it had passed."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            words = os.strerror(ctypes.get_errno())
            pytest.fail(f"no network of its own ({words}): run the tests where `unshare --net` works")
        try:
            _set_up(addresses)
            yield
        finally:
            if libc.setns(before, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "the test's thread cannot leave its network")
    finally:
        os.close(before)


def _set_up(addresses: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        for number, address in enumerate(each for each in addresses if ip_address(each).version == 4):
            name = f"lo:{number + 1}".encode()
            for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.255")):
                ioctl(sock, request, struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(value)))
        index = struct.unpack("16si", ioctl(sock, SIOCGIFINDEX, struct.pack("16si", b"lo", 0)))[1]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for address in (each for each in addresses if ip_address(each).version == 6):
            ioctl(sock, SIOCSIFADDR, struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, address), 128, index))
            wait_until(lambda address=address: _is_ready(address), f"{address} to be ready")


def _is_ready(address: str) -> bool:
    """An address can be used a moment after it was added."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((address, 9))
        except OSError:
            return False
        return bool(ip_address(sock.getsockname()[0]) == ip_address(address))  # another one until it is ready
