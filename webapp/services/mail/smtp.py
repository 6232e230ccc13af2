"""One conversation with the SMTP server: Flask-Mail's connection, with timeouts, verified TLS and kept answers.

Flask-Mail itself sets no timeout, verifies no certificate, and does not keep which recipients were refused.
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

from webapp.config import current_config
from webapp.services.mail import addresses

TIMEOUT = 15.0  # seconds for the server's next reply
DEADLINE = 120.0  # seconds for the whole conversation about one mail
PATIENCE = timedelta(days=3)  # a mail that is refused temporarily for longer has failed

NO_SMTPUTF8 = "The mail server does not offer SMTPUTF8, which an address with letters beyond ASCII needs"
NO_DOMAIN = "No domain can have such a name"
AUTO_SUBMITTED = {"autoresponse": "auto-replied"}  # by kind of mail; stops holiday notices from answering (RFC 3834)

# A line of a mail has at most 998 bytes. Quoted-printable breaks longer lines; Flask-Mail's 8bit does not.
UTF8 = Charset("utf-8")
UTF8.body_encoding = QP

# Writes headers without parsing them. Flask-Mail's own policy parses long headers again and decodes what looks encoded:
# a visitor's name could then add headers, and an unusual address could crash it.
HEADERS_UNPARSED = compat32.clone(linesep="\r\n", mangle_from_=False)


class CannotConnect(Exception):
    """The connection to the mail server failed. The text is a sentence."""


class Claimed(NamedTuple):
    """A mail that was claimed for sending, as plain values, because no transaction is open while it is sent."""

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
    body_encrypted: bytes | None = None


class Handover(NamedTuple):
    """What the server answered. `answers`: the final answer for a recipient, empty if it accepted the mail.

    `error`: what went wrong, in sentences. `broken`: the connection must not be used again.
    """

    answers: dict[str, str]
    error: str = ""
    broken: bool = False


class SmtpConnection(flask_mail.Connection):
    """A context manager that connects, or raises CannotConnect. Then `hand_over` sends one mail after the other."""

    server: smtplib.SMTP

    def __enter__(self) -> "SmtpConnection":
        try:
            self.host = self.server = self.configure_host()
        except (smtplib.SMTPException, OSError) as error:
            raise CannotConnect(f"The mail server could not be reached: {_describe(error)}.") from error
        except UnicodeError as error:  # smtplib signs in with ASCII only
            raise CannotConnect("MAIL_USERNAME or MAIL_PASSWORD is not ASCII, so Leadhook cannot sign in.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(smtplib.SMTPException, OSError):
            self.server.quit()
        self.server.close()

    def configure_host(self) -> smtplib.SMTP:
        settings, trusting = self.mail, ssl.create_default_context  # reading the authorities takes 20 ms: with TLS only
        where: dict[str, Any] = {"host": settings.server, "port": settings.port, "timeout": TIMEOUT}
        name = addresses.greeting(urlsplit(current_config.public_url).hostname or "localhost")
        where["local_hostname"] = name or "localhost"  # otherwise smtplib asks DNS for it, which can be slow
        host = smtplib.SMTP_SSL(**where, context=trusting()) if settings.use_ssl else smtplib.SMTP(**where)
        try:
            if name is None and host.sock is not None:  # nothing was said yet: greet with the address (RFC 5321, 4.1.3)
                host.local_hostname = addresses.greeting(host.sock.getsockname()[0]) or "localhost"
            if settings.use_tls:
                host.starttls(context=trusting())
            if settings.username and settings.password:
                host.login(settings.username, settings.password)
        except BaseException:
            host.close()
            raise
        return host

    def hand_over(self, mail: Claimed) -> Handover:
        """Sends a mail to the recipients without a final answer. Never raises because of what the server does."""
        waiting = [recipient for recipient in mail.recipients if recipient not in mail.answers]
        try:
            self.server.ehlo_or_helo_if_needed()
        except (smtplib.SMTPException, OSError) as error:
            return Handover({}, f"The mail server did not accept it: {_describe(error)}.", broken=True)
        utf8 = self.server.has_extn("smtputf8")
        answer = self._send(mail, waiting, utf8)
        refused = answer.error and "" not in answer.answers.values() and self.server.sock is not None
        if refused and utf8 and not addresses.is_ascii(mail.reply_to or "") and all(map(addresses.is_ascii, waiting)):
            return self._send(mail, waiting, utf8=False)  # better without Reply-To than not at all
        return answer

    def _send(self, mail: Claimed, waiting: list[str], utf8: bool) -> Handover:
        """Sends it to those `waiting`; those who cannot be addressed without SMTPUTF8 get a final answer."""
        to = {address: recipient for recipient in waiting if (address := addresses.written(recipient, utf8))}
        others = [each for each in waiting if each not in to.values()]
        unwritable = {each: NO_DOMAIN if utf8 or addresses.is_ascii(each) else NO_SMTPUTF8 for each in others}
        answer = self._converse(mail, to, utf8) if to else Handover({})
        errors = [f"{recipient}: {why}." for recipient, why in unwritable.items()]
        return answer._replace(answers=unwritable | answer.answers, error=" ".join([*errors, answer.error]).strip())

    def _converse(self, mail: Claimed, to: dict[str, str], utf8: bool) -> Handover:
        try:
            message = _message(mail, utf8)
            content, sender = message.as_bytes(), flask_mail.sanitize_address(message.sender)
            options = () if content.isascii() and all(map(str.isascii, to)) else ("SMTPUTF8", "BODY=8BITMIME")
        except Exception as error:  # noqa: BLE001 - any error: this mail would be first again and block the others
            reason = f"It cannot be written as an e-mail: {error}"
            return Handover(dict.fromkeys(to.values(), reason), reason)
        try:
            with self._until_deadline():
                refused = self.server.sendmail(sender, list(to), content, options)
        except smtplib.SMTPRecipientsRefused as error:
            return self._read_replies(error.recipients, to, {})
        except smtplib.SMTPDataError as error:
            return self._read_replies(dict.fromkeys(to, (error.smtp_code, error.smtp_error)), to, {})
        except (smtplib.SMTPException, OSError) as error:
            # Also a refused sender: that is a mistake of the installation, not of a mail. It can be fixed in time.
            return Handover({}, f"The mail server did not accept it: {_describe(error)}.", broken=True)
        accepted = {recipient: "" for address, recipient in to.items() if address not in refused}
        return self._read_replies(refused, to, accepted)

    def _read_replies(
        self, refused: Mapping[str, tuple[int, bytes | str]], to: dict[str, str], accepted: dict[str, str]
    ) -> Handover:
        """A 5xx is the final answer for a recipient. A 4xx is not, so that recipient is retried."""
        replies = {to[address]: f"{code} {_text(reply)}" for address, (code, reply) in refused.items()}
        final = {recipient: reply for recipient, reply in replies.items() if reply.startswith("5")}
        error = " ".join(f"{recipient} was refused: {reply}." for recipient, reply in replies.items())
        return Handover({**accepted, **final}, error, broken=self.server.sock is None)

    @contextmanager
    def _until_deadline(self) -> Iterator[None]:
        """Ends the conversation at its deadline. TIMEOUT limits one reply only, and a server may send many."""
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
    to: str

    def _message(self) -> MIMEBase:
        built = super()._message()
        built.policy = HEADERS_UNPARSED
        built.replace_header("To", self.to)
        if "=?" in self.subject or not self.subject.isascii():  # encoded here, or mail programs decode what was typed
            subject: Any = Header(self.subject, UTF8, header_name="Subject")
            built.replace_header("Subject", subject)
        return built


def _message(mail: Claimed, utf8: bool) -> _Message:
    reply_to = addresses.written(mail.reply_to, utf8) if mail.reply_to else None
    more = {"Reply-To": addresses.header([reply_to])} if reply_to else {}
    message = _Message(
        subject=mail.subject,
        body=mail.body_text,
        html=mail.body_html,
        date=mail.created_at.timestamp(),
        charset=UTF8,  # type: ignore[arg-type]  # passed on to email.mime, which accepts it
        extra_headers={**more, "Auto-Submitted": AUTO_SUBMITTED.get(mail.kind, "auto-generated")},
    )
    # Not by Flask-Mail, which cannot write an address with SMTPUTF8 and encodes domains by an older standard.
    message.to = addresses.header([to for each in mail.recipients if (to := addresses.written(each, utf8))])
    message.msgId = mail.message_id
    if message.has_bad_headers():
        raise flask_mail.BadHeaderError
    return message


def _describe(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.replace("\0", "").split()).rstrip(".")[:200]
