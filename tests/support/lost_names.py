"""What the sender says where names and packets get lost: in a network of its own, with its own name server.

`python -m tests.support.lost_names` as root; it prints JSON: by the name of each trial the kind and the sentence. The
machine's own network and resolver are not touched.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

ROOT = Path(__file__).parents[2]
_kept: list[socket.socket] = []
ANSWERS = {"private": "10.1.2.3", "here": "127.0.0.1"}
EMPTY = "empty"  # a name without an address


def outcomes() -> dict[str, list[str]]:
    """Runs the trials in a new network. AssertionError with the reason if there cannot be one."""
    enter = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net", "--mount"]
    command = [*enter, sys.executable, "-m", "tests.support.lost_names"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"A network of its own cannot be made here. It needs root. {done.stderr}"
    return dict(json.loads(done.stdout))


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: up, running


def _serve_names() -> None:
    """Answers for *.example.test by the first label: silence, an error, no such name, or an address."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve() -> None:
        while True:
            data, client = server.recvfrom(4096)
            query = dns.message.from_wire(data)
            asked = query.question[0]
            label = asked.name.labels[0].decode()
            if label == "silent":
                continue
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.AA | dns.flags.RA
            if label in ANSWERS and asked.rdtype == 1:
                reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", ANSWERS[label]))
            elif label not in (*ANSWERS, EMPTY):
                reply.set_rcode(dns.rcode.SERVFAIL if label == "broken" else dns.rcode.NXDOMAIN)
            server.sendto(reply.to_wire(), client)

    Thread(target=serve, daemon=True).start()


def _use_own_names() -> None:
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)


def full_port() -> tuple[int, list[socket.socket]]:
    """A port whose queue is full, so that the kernel drops what comes; and the sockets that keep it so."""
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    kept, port = [server], server.getsockname()[1]
    for _ in range(8):
        client = socket.socket()
        client.settimeout(0.2)
        kept.append(client)
        if client.connect_ex(("127.0.0.1", port)):
            return port, kept
    raise AssertionError("the queue does not fill")


def deaf_port() -> tuple[int, socket.socket]:
    """A port where a connection opens, and all that is longer than 60 bytes with its TCP header is lost."""
    server = socket.create_server(("127.0.0.1", 0))
    program = [(0x80, 0, 0, 0), (0x25, 0, 1, 60), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)]  # load length; jump; drop
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    attached = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    server.setsockopt(socket.SOL_SOCKET, 26, attached)  # SO_ATTACH_FILTER
    return server.getsockname()[1], server


def _trials() -> dict[str, Callable[[], list[str]]]:
    from webapp.webhooks.sender import Limits, Sender

    allowed = (ip_network("127.0.0.0/8"),)

    def post(url: str, **limits: float) -> list[str]:
        outcome = Sender(Limits(allowed_networks=allowed, **limits)).send(1, url, b"{}", {})
        return [str(outcome.error), outcome.body]

    lost, server = deaf_port()
    _kept.append(server)
    return {
        "silent": lambda: post("https://silent.example.test/", lookup_timeout=0.4),
        EMPTY: lambda: post(f"https://{EMPTY}.example.test/"),
        "missing": lambda: post("https://missing.example.test/"),
        "broken": lambda: post("https://broken.example.test/"),
        "private": lambda: post("https://private.example.test/"),
        "lost": lambda: post(f"http://here.example.test:{lost}/"),
    }


def main() -> None:
    _loopback_up()
    _serve_names()
    _use_own_names()
    Path("/proc/sys/net/ipv4/tcp_retries2").write_text("0")  # the kernel gives up at once
    trials = _trials()
    with ThreadPoolExecutor() as pool:
        found = dict(zip(trials, pool.map(lambda trial: trial(), trials.values()), strict=True))
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # a look-up may still hang


if __name__ == "__main__":
    main()
