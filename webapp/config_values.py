"""Parsers for values in the environment: each returns the parsed value, or raises ValueError with the reason."""

import ssl
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from limits import parse_many
from redis.connection import parse_url
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from webapp import text as text_values

Network = IPv4Network | IPv6Network


def is_fernet_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"{text!r} is not a port (1 to 65535)")


def count(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise ValueError(f"{text!r} is not a whole number of 0 or more")


def at_least_one(text: str) -> int:
    if count(text) < 1:
        raise ValueError("must be 1 or more")
    return int(text)


def boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is not true or false")
    return words[text.lower()]


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 10**8:  # also refuses nan and inf
        raise ValueError(f"{text!r} is not a number of seconds above 0")
    return value


def seconds_or_none(text: str) -> float:
    """Seconds; 0 turns the setting off."""
    return 0.0 if text == "0" else seconds(text)


def seconds_list(text: str) -> tuple[float, ...]:
    return tuple(seconds(part.strip()) for part in text.split(","))


def networks(text: str) -> tuple[Network, ...]:
    networks = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError as error:
            raise ValueError(f"{part!r} is not a network such as 10.0.0.0/8 ({error})") from None
    return tuple(networks)


def authorities(text: str) -> str:
    """The path of a file with PEM certificates; empty for none."""
    if text:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(text)
        except ssl.SSLError:
            raise ValueError(f"{text} holds no certificates in PEM") from None
        except OSError:
            raise ValueError(f"{text} cannot be read") from None
    return text


def public_url(text: str) -> str:
    parts = urlsplit(text)
    more = parts.username or parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_good_port(text) or more:
        raise ValueError(f"{text!r} is not an address such as https://leads.example.com")
    return text.rstrip("/")


def has_good_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def sqlite_url(home: Path) -> str:
    """The URL of the SQLite file in `home`. Escaped, because ? and % have a meaning in a URL."""
    return URL.create("sqlite", database=str(home / "leadhook.sqlite3")).render_as_string()


def database_url(text: str) -> str:
    # The error does not quote the value, because it may hold a password.
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError("must begin with postgresql+psycopg:// (or sqlite:///)")
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):
        raise ValueError("is not a database URL such as postgresql+psycopg://user:password@host/name") from None
    if not url.database:
        raise ValueError("must name a database, as in postgresql+psycopg://user:password@host/name")
    if "prepare_threshold" in url.query:
        raise ValueError("cannot have prepare_threshold: set DATABASE_PREPARED_STATEMENTS=off instead")
    return text


def redis_url(text: str) -> str:
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    try:
        parse_url(text)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError("is not a Redis URL such as redis://:password@host:6379/0") from None
    return text


def sender_of(public_url: str | None) -> str:
    """A sender address at the public host, or at localhost if that host is an IP address or has no dot."""
    host = urlsplit(public_url or "").hostname or "localhost"
    return f"leadhook@{host if '.' in host and not host.rpartition('.')[2].isdigit() else 'localhost'}"


def sender(text: str) -> str:
    """An address, with or without a name: Leadhook <leads@example.com>."""
    address = parseaddr(text)[1]
    if address != sender_of(None):
        email(address)
    return text


def email(text: str) -> str:
    return text_values.address(text).lower()


def rate_limit(text: str) -> str:
    if text:
        try:
            parse_many(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a limit such as 30 per minute") from None
    return text
