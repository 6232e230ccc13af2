"""Parsers for values in the environment: each returns the parsed value, or raises ValueError with the reason."""

import re
import ssl
from collections.abc import Mapping
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from limits import parse_many
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from webapp import text as text_values
from webapp.servers import database_server, redis_server

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
            raise ValueError(f"{text} holds no certificates in PEM, or a broken one") from None
        except OSError:
            raise ValueError(f"{text} cannot be read") from None
    return text


def _in_ascii(url: str, host: str) -> str:
    """An international host as browsers send it in Origin, and as mail servers and DNS know it."""
    try:
        return url if host.isascii() else url.replace(host, text_values.ascii_domain(host), 1)
    except ValueError:  # a host of emoji has only an older form, which the libraries make themselves
        return url


def public_url(text: str) -> str:
    parts = urlsplit(text)
    more = parts.username or parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_good_port(text) or more:
        raise ValueError(f"{text!r} is not an address such as https://leads.example.com")
    if max(map(len, parts.hostname.split("."))) > 63:
        raise ValueError(f"a part of the host in {text!r} is longer than 63 characters")
    text = _in_ascii(text, parts.netloc.partition(":")[0])
    return text.rstrip("/")


def bucket(text: str) -> str:
    if text and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", text):
        raise ValueError(f"{text!r} is not the name of a bucket, such as leadhook-files")
    return text


def endpoint(text: str) -> str:
    """The address of an S3-compatible server, such as https://s3.example.com; empty for AWS."""
    return public_url(text) if text else ""


def megabytes(text: str) -> int:
    if not 1 <= count(text) <= 2000:
        raise ValueError("must be from 1 to 2000, in megabytes")
    return int(text)


def storage_mistakes(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names FILES_… together."""
    given = {name for name in ("endpoint", "region", "access_key", "secret_key") if found[f"files_{name}"]}
    if given and not found["files_bucket"]:
        names = ", ".join(sorted(f"FILES_{name.upper()}" for name in given))
        return [f"FILES_BUCKET: must be given if {names} is set"]
    if len(given & {"access_key", "secret_key"}) == 1:
        return ["FILES_ACCESS_KEY, FILES_SECRET_KEY: give both or neither"]
    return []


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
    database_server.check_options(url)
    return text


def redis_url(text: str) -> str:
    return redis_server.checked(text)


def metrics_token(text: str) -> str | None:
    """A secret that stands in a header as it is; None for none."""
    if text and (len(text) < 16 or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", text)):
        raise ValueError("must have at least 16 characters: letters of English, digits and . _ ~ + / = -")
    return text or None


def sender_of(public_url: str | None) -> str:
    """A sender address at the public host, or at localhost if that host is an IP address or has no dot."""
    host = urlsplit(public_url or "").hostname or "localhost"
    return f"leadhook@{host if '.' in host and not host.rpartition('.')[2].isdigit() else 'localhost'}"


def sender(text: str) -> str:
    """An address, with or without a name: Leadhook <leads@example.com>."""
    address = parseaddr(text)[1]
    return text if address == sender_of(None) else text.replace(address, text_values.address(address))


def email(text: str) -> str:
    return text_values.address(text).lower()


def rate_limit(text: str) -> str:
    if text:
        try:
            parse_many(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a limit such as 30 per minute") from None
    return text
