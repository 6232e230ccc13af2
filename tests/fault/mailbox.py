"""An SMTP server that goes away, comes back, and hangs up after it accepted a mail."""

import time
from typing import NamedTuple

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.fault.ports import steady_port
from tests.support.smtp import MailServer, _Controller


class Accepted(NamedTuple):
    """A mail as SMTP accepted it; `dropped`: the connection was cut before the sender could learn of it."""

    message_id: str
    subject: str
    at: float
    dropped: bool


class Mailbox(MailServer):
    """`stop` and `start` as often as wanted, on one port; `drops` cuts the connection after each acceptance."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[Accepted] = []
        self._port = steady_port()
        self._controller.loop.close()  # each start makes one of its own
        self._runs = False

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        if not self._runs:
            self._controller = _Controller(self, hostname=self.host, port=self._port, ready_timeout=20)
            self._controller.start()
            self._runs = True

    def stop(self) -> None:
        """Ends all conversations, wherever they are, and takes no more."""
        if self._runs:
            self._controller.stop()
            self._runs = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        transport = server.transport
        answer = await super().handle_DATA(server, session, envelope)
        message = self.received.pop().message
        dropped = transport.is_closing()  # not `drops`, which may have changed meanwhile
        self.accepted.append(Accepted(message["Message-ID"], message["Subject"], time.time(), dropped))
        return answer
