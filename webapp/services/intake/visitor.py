"""Who sent a post: where the visitor came from, whether that site may post, and whether it is spam.

Spam is never refused unseen: it is stored under the Spam filter, where a person can take it out. A post without the
form's token (curl, plain HTML, fetch) is fine. The token adds the minimum time, and makes a form sent twice one lead.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from itsdangerous import BadSignature, URLSafeSerializer

from webapp.config import current_config
from webapp.models import Interface, IpAddresses
from webapp.services.intake.answers import clean
from webapp.webhooks.payload import CLICK_IDS, PLACES, TRACKED, UTM

MAX_URL = 2048
MAX_TEXT = 300
# Names that no field can have: a field's key begins with a letter.
TRAP = "_website"  # a control that visitors do not see
TOKEN = "_token"
HONEYPOT, TOO_FAST, BLOCKED = "honeypot", "too fast", "blocklist"
SPAM_REASONS = {
    HONEYPOT: "A control that visitors do not see was filled in.",
    TOO_FAST: "It was sent faster than a person types.",
    BLOCKED: "Its sender is on the blocklist.",
}


# Where the visitor came from -----------------------------------------------------------------------------------------


def tracked(
    sent: Mapping[str, object], query: Mapping[str, str], page: str | None, referrer: str | None
) -> dict[str, str]:
    """What is known about the visitor's way here, by name (TRACKED); unknown names are left out.

    What was sent with the answers counts first, then the form's own query, then the query of the page around it. `page`
    and `referrer` are what the browser says, used where neither gives them.
    """
    places = {"page_url": page, "referrer": referrer}
    known = {name: _text(name, sent.get(name)) or _text(name, query.get(name)) for name in PLACES}
    known |= {name: _text(name, places.get(name)) for name in places if not known[name]}
    on_page = dict(parse_qsl(urlsplit(known["page_url"]).query)) if known["page_url"] else {}
    for name in TRACKED[len(PLACES) :]:
        known[name] = _text(name, sent.get(name)) or _text(name, query.get(name)) or _text(name, on_page.get(name))
    return {name: value for name, value in known.items() if value}


def source(known: Mapping[str, str], ip: str | None, user_agent: str | None) -> dict[str, Any]:
    """A lead's source in the shape of the payload; `known` as `tracked` returns it."""
    return {
        **{name: known.get(name) for name in PLACES},
        "utm": {name: known.get(f"utm_{name}") for name in UTM},
        "click_ids": {name: known[name] for name in CLICK_IDS if name in known},
        "ip": ip,
        "user_agent": clean(user_agent or "")[:MAX_URL] or None,
    }


def kept_address(address: str | None, how: IpAddresses) -> str | None:
    """What is stored of a visitor's IP address: all of it, its network (/24, for IPv6 /48) or nothing.

    None for a network of text that is not an IP address.
    """
    if how == IpAddresses.WHOLE or address is None:
        return address
    if how == IpAddresses.NONE:
        return None
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    network = ip_network((found, 24 if found.version == 4 else 48), strict=False)
    return str(network.network_address)


def _text(name: str, value: object) -> str:
    """The value cleaned and cut; empty for anything but text, and for anything but a page's URL where one is meant."""
    if not isinstance(value, str):
        return ""
    if name not in ("page_url", "referrer"):
        return clean(value)[:MAX_TEXT]
    address = clean(value)[:MAX_URL]
    try:
        parts = urlsplit(address)
    except ValueError:  # an opening bracket without a closing one
        return ""
    return address if parts.scheme in ("http", "https") and parts.netloc else ""


# Whether its site may post -------------------------------------------------------------------------------------------


def may_post(allowed: Sequence[str], origin: str | None, own: Sequence[str]) -> bool:
    """Whether a form with these allowed sites takes a post with this Origin header.

    A post without the header does not come from a browser. `own`: the addresses of this installation.
    """
    if not allowed or origin is None or origin in own:
        return True
    return any(_matches(site, origin.lower()) for site in allowed)


def _matches(site: str, origin: str) -> bool:
    scheme, _, host = site.partition("://")
    if not host.startswith("*."):
        return site == origin
    return origin.startswith(f"{scheme}://") and origin.endswith(host[1:]) and len(origin) > len(site) - 1


# Whether it is spam --------------------------------------------------------------------------------------------------


class Token(NamedTuple):
    """The token of a form that we rendered. `shown_at`: when it was first shown, epoch seconds."""

    nonce: str
    shown_at: float


def new_token(public_id: str) -> str:
    """A token for a form of that interface."""
    return str(_serializer().dumps([public_id, secrets.token_urlsafe(12), round(time.time(), 2)]))


def read_token(public_id: str, sent: object) -> Token | None:
    """The token of a post, however old; None unless it is one of this interface's form."""
    try:
        of, nonce, shown_at = _serializer().loads(sent) if isinstance(sent, str) else (None, "", 0)
    except (BadSignature, ValueError):
        return None
    return Token(nonce, shown_at) if of == public_id else None


def nonce_of(token: Token | None, answers: Mapping[str, Any]) -> str | None:
    """What is unique about a lead: the form that was sent and its answers. None without a token.

    It is the same after a double click or a lost connection. A visitor who goes back and changes an answer sends
    another lead, which must not be lost.
    """
    if token is None:
        return None
    return hashlib.sha256(json.dumps([token.nonce, answers], sort_keys=True).encode()).hexdigest()


def spam_reason(
    interface: Interface, sent: Mapping[str, object], token: Token | None, answers: Mapping[str, Any], ip: str | None
) -> str | None:
    """Why this is spam, one of SPAM_REASONS; None if it is not."""
    if sent.get(TRAP):
        return HONEYPOT
    if interface.blocklist and _is_listed(interface.blocklist, answers, ip):
        return BLOCKED
    # Below 0 the form was shown by a host whose clock is ahead of this one: that says nothing about the visitor.
    if token and 0 <= time.time() - token.shown_at < current_config.form_minimum_time:
        return TOO_FAST
    return None


def _is_listed(listed: Sequence[str], answers: Mapping[str, Any], ip: str | None) -> bool:
    senders = {str(value).lower() for value in answers.values() if isinstance(value, str) and "@" in value}
    domains = {sender.rpartition("@")[2] for sender in senders if " " not in sender}
    return any(entry in senders or _has_domain(domains, entry) or _has_address(entry, ip) for entry in listed if entry)


def _has_domain(domains: set[str], entry: str) -> bool:
    """Whether one of the domains is the entry or a subdomain of it."""
    return any(domain == entry or domain.endswith(f".{entry}") for domain in domains)


def _has_address(entry: str, ip: str | None) -> bool:
    try:
        address, network = ip_address(ip or ""), ip_network(entry)
    except ValueError:  # a unix socket has no address; a domain is not a network
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in network


def _serializer() -> URLSafeSerializer:
    return _serializer_of(current_config.secret_key)


@cache
def _serializer_of(secret_key: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret_key, salt="lead form")
