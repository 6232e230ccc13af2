"""Robots: what tells them from visitors, and the token that a form of ours carries.

Nothing here turns anybody away unseen: what is taken for spam is kept under Spam, where a person can take it out. A
submission without a token (curl, plain HTML, fetch) is fine; the token adds the minimum time, and that one form sent
twice is one lead.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from itsdangerous import BadSignature, URLSafeSerializer

from webapp import text
from webapp.clock import utcnow
from webapp.config import current_config
from webapp.models import Interface
from webapp.services.errors import Refused

# No key of a field can be called so: those begin with a letter.
TRAP = "_website"  # visitors do not see it
TOKEN = "_token"
HONEYPOT, TOO_FAST, BLOCKED = "honeypot", "too fast", "blocklist"
REASONS = {
    HONEYPOT: "A control that visitors do not see was filled in.",
    TOO_FAST: "It was sent faster than a person types.",
    BLOCKED: "Its sender is on the blocklist.",
}
MOST = 500  # entries of a blocklist


class Token(NamedTuple):
    """What a form of ours says of itself: `shown_at` is when it was first shown, epoch seconds."""

    nonce: str
    shown_at: float


def token(public_id: str) -> str:
    """A new token for a form of that interface."""
    return str(_serializer().dumps([public_id, secrets.token_urlsafe(12), round(time.time(), 2)]))


def read(public_id: str, sent: object) -> Token | None:
    """The token of a submission; None where there is none, or none of ours. However old it is, it is good."""
    try:
        of, nonce, shown_at = _serializer().loads(sent) if isinstance(sent, str) else (None, "", 0)
    except (BadSignature, ValueError):
        return None
    return Token(nonce, shown_at) if of == public_id else None


def nonce(found: Token | None, answers: Mapping[str, Any]) -> str | None:
    """What is unique of a lead: the form that was sent and what was answered.

    Sent twice by a double click or after a lost connection, it is the same. Whoever goes back and writes something else
    sends another lead, which must not be lost for the first.
    """
    if found is None:
        return None
    return hashlib.sha256(json.dumps([found.nonce, answers], sort_keys=True).encode()).hexdigest()


def verdict(
    interface: Any, sent: Mapping[str, object], found: Token | None, answers: Mapping[str, Any], ip: str | None
) -> str | None:
    """Why this is spam, one of REASONS; None where it is not. `interface` is one, or a row of its columns."""
    if sent.get(TRAP):
        return HONEYPOT
    if interface.blocklist and _is_listed(interface.blocklist, answers, ip):
        return BLOCKED
    if found and time.time() - found.shown_at < current_config.form_minimum_time:
        return TOO_FAST
    return None


def update_blocklist(interface: Interface, typed: str, published: bool) -> None:
    """`typed` has one IP address, network, e-mail address or domain a line; Refused for anything else."""
    interface.blocklist, interface.blocklist_published = entries(typed), published
    interface.updated_at = utcnow()


def entries(typed: str) -> list[str]:
    """The entries of a text as they are compared, each once, in order; Refused with the first line that is none."""
    found = list(dict.fromkeys(_entry(line) for line in typed.split()))
    if len(found) > MOST:
        raise Refused(f"At most {MOST} senders can be listed; these are {len(found)}.", "blocklist")
    return found


def _entry(typed: str) -> str:
    word = typed.lower()
    try:
        return str(ip_network(word, strict=False)) if "/" in word else str(ip_address(word))
    except ValueError:
        pass
    try:
        address = text.address(word if "@" in word.strip("@") else f"a@{word.removeprefix('@').removeprefix('*.')}")
    except ValueError:
        words = "is no IP address, network, e-mail address or domain."
        raise Refused(f"“{typed[:80]}” {words} Write one a line.", "blocklist") from None
    return address if "@" in word.strip("@") else address.removeprefix("a@")


def _is_listed(listed: Sequence[str], answers: Mapping[str, Any], ip: str | None) -> bool:
    senders = {str(value).lower() for value in answers.values() if isinstance(value, str) and "@" in value}
    domains = {sender.rpartition("@")[2] for sender in senders if " " not in sender}
    return any(entry in senders or _has_domain(domains, entry) or _has_address(entry, ip) for entry in listed if entry)


def _has_domain(domains: set[str], entry: str) -> bool:
    """Whether one of them is the domain, or below it."""
    return any(domain == entry or domain.endswith(f".{entry}") for domain in domains)


def _has_address(entry: str, ip: str | None) -> bool:
    try:
        address, network = ip_address(ip or ""), ip_network(entry)
    except ValueError:  # a unix socket has no address; a domain is no network
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in network


def _serializer() -> URLSafeSerializer:
    return _serializer_of(current_config.secret_key)


@cache
def _serializer_of(secret_key: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret_key, salt="lead form")
