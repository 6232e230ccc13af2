"""Asks name servers for the addresses of one name, over UDP: A and AAAA at once, each from a port of its own.

A question without an answer is asked again after a quarter of a second, and then about twice a second, each time of the
next name server. So a lost packet costs a moment. The C library waits five seconds, which is all the time a try has.
An address that has come is not held back by a question that stays without an answer (RFC 8305, section 3).
"""

import random
import selectors
import socket
from contextlib import suppress
from ipaddress import ip_address
from time import monotonic
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
from dns.rdatatype import RdataType

from webapp.webhooks.name_files import NameServers
from webapp.webhooks.verdicts import Found, Verdict

GAPS = (0.25, 0.35, 0.4)  # seconds between the first repeats of a question
GAP = 0.5  # between all later ones
UNEVEN = 0.8, 1.2  # factors of them: look-ups that repeat in step could lose the same packet each time
GRACE_FOR_AAAA = 0.05  # seconds to wait for IPv6 once there are IPv4 addresses: RFC 8305's Resolution Delay
GRACE_FOR_A = 1.0  # the other way round it is longer: without IPv4, a broken IPv6 route would fail the try
GRACE_FOR_THE_GOOD = 3.0  # and longer still if the IPv6 addresses are not public, such as fe80::1
PAUSE = 1.0  # seconds after all name servers answered with an error, before they are asked once more
TCP_SECONDS = 1.5
EDNS_BYTES = 1232  # fits into one packet on every network; RFC 9715
DATAGRAM = 65535
FAULTS_OF_EDNS = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)


def ask(name: str, servers: NameServers, ends_at: float, rounds: int = 2, port: int = 53) -> Found:
    """Asks until there is an answer, or until `ends_at` (monotonic).

    `name` is absolute, with or without the dot at its end. `rounds`: how often every name server may answer with an
    error before that counts. Raises ValueError if this cannot be a name.
    """
    try:
        questions = [_Question(name, kind, servers, port, rounds) for kind in (RdataType.A, RdataType.AAAA)]
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"not a name: {type(error).__name__}") from None
    with selectors.PollSelector() as selector:  # takes no file of its own
        try:
            _exchange(questions, selector, ends_at)
        finally:
            for question in questions:
                question.close()
    return _conclusion(*questions)


def _exchange(questions: "list[_Question]", selector: selectors.BaseSelector, ends_at: float) -> None:
    while True:
        now = monotonic()
        for question in questions:
            if question.verdict is None and question.due_at <= now:
                question.send(selector, ends_at)
        until = min(ends_at, _patience(*questions))
        if monotonic() >= until:
            return
        due = [question.due_at for question in questions if question.verdict is None]
        for ready, _ in selector.select(max(min([until, *due]) - monotonic(), 0)):
            question, server = ready.data
            question.read(ready.fileobj, server, ends_at)


def _patience(a: "_Question", aaaa: "_Question") -> float:
    """Until when to wait for what has not been answered."""
    if a.verdict and aaaa.verdict:
        return 0.0
    if a.verdict is Verdict.ADDRESSES:
        return a.answered_at + GRACE_FOR_AAAA
    if aaaa.verdict is Verdict.ADDRESSES:
        is_public = any(ip_address(address).is_global for address in aaaa.addresses)
        return aaaa.answered_at + (GRACE_FOR_A if is_public else GRACE_FOR_THE_GOOD)
    # A name that does not exist has no AAAA either (RFC 8020). The opposite is not sure: RFC 4074, section 4.2.
    return a.answered_at + GRACE_FOR_A if a.verdict is Verdict.NO_NAME else float("inf")


def _conclusion(a: "_Question", aaaa: "_Question") -> Found:
    addresses = (*aaaa.addresses, *a.addresses)
    if addresses:
        return Found(Verdict.ADDRESSES, addresses)
    both = {a.verdict, aaaa.verdict}
    if a.verdict is Verdict.NO_NAME and Verdict.NO_ADDRESS not in both:
        return Found(Verdict.NO_NAME)
    if both <= {Verdict.NO_NAME, Verdict.NO_ADDRESS}:
        return Found(Verdict.NO_ADDRESS)
    return Found(Verdict.SILENCE if a.verdict is None else Verdict.ERROR)


class _Question:
    """One question (A or AAAA), repeated to one name server after the other until it is answered.

    `cut`: the addresses of an answer that was too long for UDP, in case TCP does not get through.
    """

    def __init__(self, name: str, kind: RdataType, servers: NameServers, port: int, rounds: int) -> None:
        self.verdict: Verdict | None = None
        self.addresses: tuple[str, ...] = ()
        self.cut: tuple[str, ...] = ()
        self.answered_at = self.due_at = 0.0
        self._servers = servers.servers
        self._tcp = servers.tcp
        self._port = port
        self._rounds_left = rounds
        self._faulty: set[str] = set()
        self._sockets: dict[str, socket.socket] = {}
        self._sent = 0
        self._first = random.randrange(len(self._servers)) if servers.rotate else 0  # noqa: S311 - spreads the load
        edns: dict[str, Any] = {"use_edns": 0, "payload": EDNS_BYTES} if servers.edns else {}
        self._query = dns.message.make_query(f"{name.removesuffix('.')}.", kind, **edns)

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()

    def send(self, selector: selectors.BaseSelector, ends_at: float) -> None:
        """Asks the next name server, and sets the time of the next repeat."""
        server = self._servers[(self._first + self._sent) % len(self._servers)]
        gap = GAPS[self._sent] if self._sent < len(GAPS) else GAP
        self.due_at = monotonic() + gap * random.uniform(*UNEVEN)  # noqa: S311 - not a secret
        self._sent += 1
        if self._tcp:
            self._ask_by_tcp(server, ends_at)
            return
        try:
            if server not in self._sockets:
                self._sockets[server] = sock = self._connect(server)
                selector.register(sock, selectors.EVENT_READ, (self, server))
            self._sockets[server].send(self._query.to_wire())
        except OSError:  # no route to this one, or nothing listens there
            self._next_server(server)

    def read(self, sock: Any, server: str, ends_at: float) -> None:
        """Reads one datagram. What is not an answer to this question is ignored: the answer may still come."""
        try:
            wire = sock.recv(DATAGRAM)
        except OSError:
            self._next_server(server)
            return
        if self.verdict is not None:
            return
        with suppress(Exception):  # bytes that anyone may have sent
            message = dns.message.from_wire(wire, ignore_trailing=True, continue_on_error=True)
            whole = not message.errors or message.flags & dns.flags.TC  # cut in the middle of a record
            if whole and self._query.is_response(message):
                self._take(message, server, ends_at)

    def _connect(self, server: str) -> socket.socket:
        numeric = socket.AI_NUMERICHOST
        family, *_, address = socket.getaddrinfo(server, self._port, 0, socket.SOCK_DGRAM, 0, numeric)[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.connect(address)  # so that only this server's datagrams are received, and refusals are seen
        except OSError:
            sock.close()
            raise
        return sock

    def _take(self, message: dns.message.Message, server: str, ends_at: float) -> None:
        if self._query.edns >= 0 and message.rcode() in FAULTS_OF_EDNS:
            self._query.use_edns(False)
            self._sent, self.due_at = max(self._sent - 1, 0), 0.0  # the same server once more, without it
        elif message.flags & dns.flags.TC and not self._tcp:
            self.cut = _judge(message)[1] or self.cut
            self._ask_by_tcp(server, ends_at)
        elif (judged := _judge(message))[0] is Verdict.ERROR:
            self._fault(server)
        else:
            self._answer(*judged)

    def _answer(self, verdict: Verdict, addresses: tuple[str, ...] = ()) -> None:
        self.verdict, self.addresses, self.answered_at = verdict, addresses, monotonic()

    def _ask_by_tcp(self, server: str, ends_at: float) -> None:
        import dns.query  # rarely needed, and large

        self._tcp, keep = True, self._tcp  # so that a truncated answer over TCP does not lead here again
        try:
            seconds = max(min(TCP_SECONDS, ends_at - monotonic()), 0.01)
            self._take(dns.query.tcp(self._query, server, seconds, self._port), server, ends_at)
        except (OSError, EOFError, dns.exception.DNSException):
            if self.cut:  # better than none: networks exist where TCP does not get through
                self._answer(Verdict.ADDRESSES, self.cut)
            else:
                self._fault(server)
        finally:
            self._tcp = keep

    def _next_server(self, server: str) -> None:
        """This one cannot be reached now: the next one is asked at once, and this one again in its turn."""
        if server not in self._faulty and len(self._servers) > 1:
            self.due_at = 0.0
        self._faulty.add(server)

    def _fault(self, server: str) -> None:
        """This one answered with an error: the next one is asked at once. If all did, all are asked again later."""
        self._next_server(server)
        if not self._faulty.issuperset(self._servers):
            return
        self._faulty.clear()
        self._rounds_left -= 1
        if self._rounds_left > 0:
            self.due_at = monotonic() + PAUSE
        else:
            self._answer(Verdict.ERROR)


def _judge(message: dns.message.Message) -> tuple[Verdict, tuple[str, ...]]:
    """What an answer says. ERROR also for answers without sense, and for servers that only name other servers."""
    if not isinstance(message, dns.message.QueryMessage):
        return Verdict.ERROR, ()
    code = message.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Verdict.ERROR, ()
    try:
        chain = message.resolve_chaining()
    except dns.exception.DNSException:
        return Verdict.ERROR, ()
    if chain.answer is not None:
        return Verdict.ADDRESSES, tuple(record.to_text() for record in chain.answer)
    if code == dns.rcode.NXDOMAIN:
        # Of an alias, only the name it leads to is missing.
        return Verdict.NO_ADDRESS if chain.cnames else Verdict.NO_NAME, ()
    return Verdict.NO_ADDRESS if message.flags & (dns.flags.AA | dns.flags.RA) else Verdict.ERROR, ()
