"""How Leadhook greets a mail server: by a name that servers accept, for every PUBLIC_URL that the start accepts."""

import re

import pytest

from tests.conftest import AppMaker
from tests.support.mailing import make_due, the_mail
from tests.support.smtp import MailServer
from webapp.db.transactions import transaction
from webapp.services.mail import mails

pytestmark = pytest.mark.once

# RFC 5321, 4.1.2: a domain of letters, digits and hyphens, or an address literal. Exim refuses anything else with 501.
ACCEPTED = re.compile(
    r"(?!-)[a-z0-9-]+(?<!-)(\.(?!-)[a-z0-9-]+(?<!-))*|\[(\d+\.){3}\d+\]|\[IPv6:[0-9a-f:.]+\]", re.IGNORECASE
)
GREETINGS = {
    "https://leads.example.com": "leads.example.com",
    "http://localhost:8000": "localhost",
    "http://127.0.0.1:8000": "[127.0.0.1]",
    "http://[2001:db8::1]:8000": "[IPv6:2001:db8::1]",
    "http://lead_hook": "[127.0.0.1]",
    "http://lead_hook:8000": "[127.0.0.1]",
    "https://leads.exämple.com": "leads.xn--exmple-cua.com",
    "https://straße.example": "xn--strae-oqa.example",
    "https://LEADS.Example.com": "leads.example.com",
    "https://пример.рф": "xn--e1afmkfd.xn--p1ai",
    "http://-leads": "[127.0.0.1]",
    "http://leads.": "[127.0.0.1]",
    "http://a--": "[127.0.0.1]",
    "http://i❤.example": "[127.0.0.1]",
}


@pytest.mark.parametrize(("public_url", "greeting"), GREETINGS.items())
def test_every_address_of_leadhook_gives_a_name_that_servers_accept(
    make_app: AppMaker, public_url: str, greeting: str
) -> None:
    with MailServer() as server:
        app = make_app(**server.environ, PUBLIC_URL=public_url)
        with app.app_context():
            with transaction():
                mails.write("password_reset", recipients=["o@example.com"], account_id=None, token="t", email="o")
            mails.deliver_due()
            assert the_mail().status == "Sent"
        assert server.greetings == [greeting]
        assert ACCEPTED.fullmatch(greeting)


@pytest.mark.parametrize("public_url", ["https://leads.exämple.com", "https://straße.example"])
def test_the_default_sender_and_the_message_id_are_ascii(make_app: AppMaker, public_url: str) -> None:
    with MailServer() as server:
        environ = {**server.environ, "PUBLIC_URL": public_url}
        del environ["MAIL_DEFAULT_SENDER"]
        with make_app(**environ).app_context():
            with transaction():
                mails.write("password_reset", recipients=["o@example.com"], account_id=None, token="t", email="o")
            mails.deliver_due()
        [received] = server.received
        assert received.sender.startswith("leadhook@")
        assert received.sender.isascii()
        assert received.message["From"] == received.sender
        assert received.message["Message-ID"].endswith(f"@{received.sender.partition('@')[2]}>")


@pytest.mark.parametrize("credentials", [("josé", "secret"), ("ada", "geheimö")])
def test_a_password_that_smtp_cannot_carry_delays_the_mail_and_says_why(
    make_app: AppMaker, credentials: tuple[str, str]
) -> None:
    """The job that sends mail died of it, again and again."""
    with MailServer(auth_require_tls=False) as server:
        user, password = credentials
        app = make_app(**server.environ, MAIL_USERNAME=user, MAIL_PASSWORD=password)
        with app.app_context():
            with transaction():
                mails.write("password_reset", recipients=["o@example.com"], account_id=None, token="t", email="o")
            for _ in range(2):
                mails.deliver_due()
                assert the_mail().status == "Waiting"
                assert (
                    the_mail().last_error == "MAIL_USERNAME or MAIL_PASSWORD is not ASCII, so Leadhook cannot sign in."
                )
                make_due()
