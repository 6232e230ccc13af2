"""A real name server on UDP and TCP, whose answers and misbehaviour a test decides.

with NameServer() as server:
    server.names["crm.example"] = Name(a=["93.184.216.34"])
    server.names["*.corp.example"] = Name(a=["93.184.216.35"])  # every other name below it
    ...
    assert ("crm.example", "A") in server.asked
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread, Timer
from types import TracebackType

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset


@dataclass
class Name:
    """What the server says about one name. `then`: A records of the answers before the usual ones, first to last."""

    a: list[str] = field(default_factory=list)
    aaaa: list[str] = field(default_factory=list)
    alias: str = ""  # CNAME; the records are those of the name that it leads to
    code: int = dns.rcode.NOERROR
    codes: dict[str, int] = field(default_factory=dict)  # by type, instead of `code`
    silent: tuple[str, ...] = ()  # types that are not answered
    delay: float = 0.0  # seconds
    delays: dict[str, float] = field(default_factory=dict)  # by type, instead of `delay`
    cut: bool = False  # over UDP: without records, marked as truncated
    cut_to: int = 0  # of them, this many are left
    lame: bool = False  # answers with nothing, as a server does that is not responsible
    then: list[list[str]] = field(default_factory=list)

    def records(self, kind: str) -> list[str]:
        if kind == "A":
            return self.then.pop(0) if self.then else self.a
        return self.aaaa if kind == "AAAA" else []


class NameServer:
    """`asked`: the questions that came, as (name, type), lost ones too. `loses`: whether to drop packet number n.

    `garbles`: datagrams to send before the answer, made from the question's bytes.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, tcp: bool = True) -> None:
        self.names: dict[str, Name] = {}
        self.asked: list[tuple[str, str]] = []
        self.by_tcp: list[tuple[str, str]] = []
        self.loses: Callable[[int], bool] = lambda number: False
        self.garbles: Callable[[bytes], list[bytes]] = lambda wire: []
        self.knows_edns = True
        self._lock = Lock()
        self._packets = 0
        self._udp, self._tcp = _sockets(host, port, tcp)
        self.port = int(self._udp.getsockname()[1])
        self._timers: list[Timer] = []

    def __enter__(self) -> "NameServer":
        Thread(target=self._serve_udp, daemon=True).start()
        if self._tcp:
            Thread(target=self._serve_tcp, args=(self._tcp,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        for sock in (self._udp, self._tcp):
            if sock:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()

    def count(self, name: str, kind: str = "A") -> int:
        """How often this was asked."""
        return self.asked.count((name, kind))

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while True:
                wire, client = self._udp.recvfrom(4096)
                if not wire:  # closed
                    return
                with self._lock:
                    self._packets += 1
                    lost = self.loses(self._packets)
                query = dns.message.from_wire(wire)
                name, kind = self._note(query, self.asked)
                told = self._find(name)
                if lost or (told and kind in told.silent):
                    continue
                datagrams = [*self.garbles(wire), self._answer(query, told, kind, udp=True)]
                self._later(told.delays.get(kind, told.delay) if told else 0.0, datagrams, client)

    def _later(self, delay: float, datagrams: list[bytes], client: object) -> None:
        def send() -> None:
            with suppress(OSError):
                for datagram in datagrams:
                    self._udp.sendto(datagram, client)  # type: ignore[arg-type]

        if not delay:
            send()
            return
        timer = Timer(delay, send)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _serve_tcp(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, connection.makefile("rwb") as stream:
                    (length,) = struct.unpack("!H", stream.read(2))
                    query = dns.message.from_wire(stream.read(length))
                    name, kind = self._note(query, self.by_tcp)
                    answer = self._answer(query, self._find(name), kind, udp=False)
                    stream.write(struct.pack("!H", len(answer)) + answer)

    @staticmethod
    def _note(query: dns.message.Message, into: list[tuple[str, str]]) -> tuple[str, str]:
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), question.rdtype.name
        into.append((name, kind))
        return name, kind

    def _find(self, name: str) -> Name | None:
        if name in self.names:
            return self.names[name]
        labels = name.split(".")
        wild = (f"*.{'.'.join(labels[number:])}" for number in range(1, len(labels)))
        return next((self.names[each] for each in wild if each in self.names), None)

    def _answer(self, query: dns.message.Message, told: Name | None, kind: str, udp: bool) -> bytes:
        response = dns.message.make_response(query)
        if query.edns >= 0 and not self.knows_edns:
            response.use_edns(False)
            response.set_rcode(dns.rcode.FORMERR)
            return response.to_wire()
        response.flags |= dns.flags.RA
        if told is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response.to_wire()
        if told.lame:
            response.flags &= ~dns.flags.RA
            return response.to_wire()
        code = told.codes.get(kind, told.code)
        response.set_rcode(dns.rcode.Rcode(code))
        owner, source = query.question[0].name, told
        while source.alias:
            response.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", f"{source.alias}."))
            owner = dns.name.from_text(f"{source.alias}.")
            target = self._find(source.alias)
            if target is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return response.to_wire()
            source = target
        records = source.records(kind) if code == dns.rcode.NOERROR else []
        if udp and told.cut:
            response.flags |= dns.flags.TC
            records = records[: told.cut_to]
        if records:
            response.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *records))
        return response.to_wire(max_size=65535)


def _sockets(host: str, port: int, tcp: bool) -> tuple[socket.socket, socket.socket | None]:
    """For UDP and TCP on the same port; any one that is free for both if `port` is 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempts_left in range(20, 0, -1):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.bind((host, port))
            return udp, socket.create_server(udp.getsockname()[:2], family=family) if tcp else None
        except OSError:
            udp.close()
            if port or attempts_left == 1:
                raise
    raise AssertionError("unreachable")
