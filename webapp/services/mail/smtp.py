"""One conversation with the SMTP server: Flask-Mail's connection with an end to its patience, and its answers kept.

Flask-Mail gives its connection no time-out, verifies no certificate, and throws away which recipients were refused.
"""

import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from email.charset import QP, Charset
from email.header import Header
from email.mime.base import MIMEBase
from email.policy import compat32
from threading import Timer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import flask_mail

from webapp.clock import utcnow
from webapp.config import current_config

TIMEOUT = 15.0  # seconds for the server's next word
DEADLINE = 120.0  # seconds for all it has to say about one mail
PATIENCE = timedelta(days=3)  # then a mail that was always refused for now has failed

AUTO_SUBMITTED = {"autoresponse": "auto-replied"}  # by kind; so that no holiday notice answers (RFC 3834)

# Lines of a mail hold 998 bytes at most; quoted-printable breaks longer ones, where Flask-Mail's 8bit sends them as is.
UTF8 = Charset("utf-8")
UTF8.body_encoding = QP

# Writes headers as they stand. Flask-Mail's own policy reads long ones again and decodes what looks encoded in them: so
# a visitor's name would bring headers of its own, and an odd address crash it.
AS_IT_STANDS = compat32.clone(linesep="\r\n", mangle_from_=False)


class CannotConnect(Exception):
    """No conversation came about; the text is a sentence."""


class Claimed(NamedTuple):
    """A mail as claimed for sending: plain values, for no transaction is open while it is sent."""

    id: int
    kind: str
    message_id: str
    recipients: list[str]
    answers: dict[str, str]
    reply_to: str | None
    subject: str
    body_text: str
    body_html: str
    lead_id: int | None
    created_at: datetime
    sent_at: datetime | None
    tries: int

    @property
    def is_old(self) -> bool:
        return utcnow() - self.created_at > PATIENCE


class Handover(NamedTuple):
    """What the server said: the last word on some recipients (empty: accepted), in words what went wrong.

    `broken`: the connection is not to be used any more.
    """

    answers: dict[str, str]
    words: str = ""
    broken: bool = False


class Connection(flask_mail.Connection):
    """Entered, it is connected (or CannotConnect is raised); one mail after the other is handed over."""

    server: smtplib.SMTP

    def __enter__(self) -> "Connection":
        try:
            self.host = self.server = self.configure_host()
        except (smtplib.SMTPException, OSError) as error:
            raise CannotConnect(f"The mail server could not be reached: {_words(error)}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(smtplib.SMTPException, OSError):
            self.server.quit()
        self.server.close()

    def configure_host(self) -> smtplib.SMTP:
        settings, context = self.mail, ssl.create_default_context()
        where: dict[str, Any] = {"host": settings.server, "port": settings.port, "timeout": TIMEOUT}
        where["local_hostname"] = _own_name()  # or smtplib asks the DNS for it, which may take its time
        host = smtplib.SMTP_SSL(**where, context=context) if settings.use_ssl else smtplib.SMTP(**where)
        try:
            if settings.use_tls:
                host.starttls(context=context)
            if settings.username and settings.password:
                host.login(settings.username, settings.password)
        except BaseException:
            host.close()
            raise
        return host

    def hand_over(self, mail: Claimed) -> Handover:
        """Sends a mail to those of its recipients who have no answer yet. Never raises for what a server may do."""
        waiting = [recipient for recipient in mail.recipients if recipient not in mail.answers]
        addresses = {address: recipient for recipient in waiting if (address := _ascii(recipient))}
        unsayable = dict.fromkeys(set(waiting) - set(addresses.values()), "An address must be written in ASCII")
        answer = self._send(mail, addresses) if addresses else Handover({})
        words = [f"{recipient}: {why}." for recipient, why in unsayable.items()]
        return answer._replace(answers=unsayable | answer.answers, words=" ".join([*words, answer.words]).strip())

    def _send(self, mail: Claimed, addresses: dict[str, str]) -> Handover:
        try:
            message = _message(mail)
            content = message.as_bytes()
        except Exception as error:  # noqa: BLE001 - whatever it is: this mail would come again before all others
            words = f"It cannot be written as an e-mail: {error}"
            return Handover(dict.fromkeys(addresses.values(), words), words)
        try:
            with self._until_deadline():
                refused = self.server.sendmail(flask_mail.sanitize_address(message.sender), list(addresses), content)
        except smtplib.SMTPRecipientsRefused as error:
            return self._judge(error.recipients, addresses, {})
        except smtplib.SMTPDataError as error:
            return self._judge(dict.fromkeys(addresses, (error.smtp_code, error.smtp_error)), addresses, {})
        except (smtplib.SMTPException, OSError) as error:
            # Also a refused sender: that is the installation's mistake, and no mail's; it may be mended in three days.
            return Handover({}, f"The mail server did not take it: {_words(error)}.", broken=True)
        accepted = {recipient: "" for address, recipient in addresses.items() if address not in refused}
        return self._judge(refused, addresses, accepted)

    def _judge(
        self, refused: Mapping[str, tuple[int, bytes | str]], addresses: dict[str, str], accepted: dict[str, str]
    ) -> Handover:
        """A 5xx is the last word on a recipient, a 4xx is not."""
        said = {addresses[address]: f"{code} {_text(reply)}" for address, (code, reply) in refused.items()}
        final = {recipient: words for recipient, words in said.items() if words.startswith("5")}
        words = " ".join(f"{recipient} was refused: {answer}." for recipient, answer in said.items())
        return Handover({**accepted, **final}, words, broken=self.server.sock is None)

    @contextmanager
    def _until_deadline(self) -> Iterator[None]:
        """Ends the conversation when its time is over: a time-out is for each word, and a server may have many."""
        end = Timer(DEADLINE, _hang_up, [self.server.sock])
        end.daemon = True
        end.start()
        try:
            yield
        finally:
            end.cancel()


def _hang_up(connection: socket.socket | None) -> None:
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _Message(flask_mail.Message):
    def _message(self) -> MIMEBase:
        built = super()._message()
        built.policy = AS_IT_STANDS
        if "=?" in self.subject or not self.subject.isascii():  # encoded once, or mail programs decode what was typed
            subject: Any = Header(self.subject, UTF8, header_name="Subject")
            built.replace_header("Subject", subject)
        return built


def _message(mail: Claimed) -> _Message:
    message = _Message(
        subject=mail.subject,
        recipients=[recipient for recipient in mail.recipients if _ascii(recipient)],
        body=mail.body_text,
        html=mail.body_html,
        reply_to=mail.reply_to if _ascii(mail.reply_to or "") else None,
        date=mail.created_at.timestamp(),
        charset=UTF8,  # type: ignore[arg-type]  # handed on to email.mime, which takes it
        extra_headers={"Auto-Submitted": AUTO_SUBMITTED.get(mail.kind, "auto-generated")},
    )
    message.msgId = mail.message_id
    if message.has_bad_headers():
        raise flask_mail.BadHeaderError
    return message


def _ascii(address: str) -> str | None:
    """An address as SMTP takes it, its domain in Punycode; None where what is before the @ is not ASCII."""
    try:
        written = flask_mail.sanitize_address(address)
    except ValueError:
        return None
    return written if written.isascii() else None


def _own_name() -> str:
    """What to greet the server with: the name people know this installation by."""
    name = urlsplit(current_config.public_url).hostname or "localhost"
    if ":" in name:
        return f"[IPv6:{name}]"
    return f"[{name}]" if name.replace(".", "").isdigit() else name


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__


def _text(reply: bytes | str) -> str:
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(words.replace("\0", "").split()).rstrip(".")[:200]
