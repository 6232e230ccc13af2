"""A real SMTP server on loopback. It records accepted mails, and refuses, hangs or disconnects as configured."""

import asyncio
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Received(NamedTuple):
    """An accepted mail."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    content: bytes

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body(preferencelist=(kind,))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


class MailServer:
    """`with MailServer() as server:` listens on server.host and server.port until the block ends.

    `refused`: the reply for a recipient's address. `answer`: the reply to any content, instead of accepting it.
    `hangs`: content is never answered. `drops`: content is accepted, then the connection is closed before the reply.
    """

    host = "127.0.0.1"

    def __init__(self, **controller: Any) -> None:
        self.received: list[Received] = []
        self.sessions = 0
        self.greetings: list[str] = []  # the names of clients
        self.refused: dict[str, str] = {}
        self.answer: str | None = None
        self.hangs = self.drops = False
        self._stopping = threading.Event()
        self._controller = _Controller(self, hostname=self.host, port=0, **controller)

    @property
    def port(self) -> int:
        return int(self._controller.port)

    @property
    def environ(self) -> dict[str, str]:
        """The settings for an app that sends through this server."""
        return {"MAIL_SERVER": self.host, "MAIL_PORT": str(self.port), "MAIL_DEFAULT_SENDER": "leadhook@example.com"}

    @property
    def subjects(self) -> list[str]:
        return [str(received.message["Subject"]) for received in self.received]

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._controller.stop()

    # Called by aiosmtpd:

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        self.greetings.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        while self.hangs and not self._stopping.is_set():
            await asyncio.sleep(0.02)
        if self.answer:
            return self.answer
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append(Received(envelope.mail_from or "", envelope.rcpt_tos, message, envelope.content))
        if self.drops:
            server.transport.abort()
        return "250 OK"


class _Controller(Controller):
    """Listens on any free port. aiosmtpd's own controller checks its start at the port that was given, which is 0.

    Its end is the end of all connections. aiosmtpd would leave some open, and the garbage collector would find them in
    another test.
    """

    def stop(self, no_assert: bool = False) -> None:
        if self._thread is not None and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result()
        super().stop(no_assert)

    async def _hang_up(self) -> None:
        """Takes no more clients, and ends the conversations wherever they are, also those that are only accepted."""
        assert isinstance(self.server, asyncio.Server)
        for listening in self.server.sockets:  # closing it now would make those fail that are accepted just now
            self.loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)  # now each connection that was accepted has a transport
        for transport in list(self.loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        await asyncio.sleep(0)  # now all are closed

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()
