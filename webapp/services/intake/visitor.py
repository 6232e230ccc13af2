"""Who sent a post: where the visitor came from, whether that site may post, and whether it is spam.

Spam is never refused unseen: it is stored under the Spam filter, where a person can take it out. A post without the
form's token (curl, plain HTML, fetch) is fine. The token adds the minimum time, and makes a form sent twice one lead.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
# All that is tracked, as one value: base64url of a JSON object, by name. A firewall takes addresses in plain text for
# an attack: a referrer that ends in "?", or one with a numeric host.
SOURCE = "_source"
HONEYPOT, TOO_FAST, BLOCKED = "honeypot", "too fast", "blocklist"
# The first touch within the visitor's tab, where the site has it kept; "first_at" is the time.
FIRST = frozenset(f"first_{name}" for name in (*TRACKED, "at"))
SPAM_REASONS = {
    HONEYPOT: "A control that visitors do not see was filled in.",
    TOO_FAST: "It was sent faster than a person types.",
    BLOCKED: "Its sender is on the blocklist.",
}


# Where the visitor came from -----------------------------------------------------------------------------------------


def tracked(
    sent: Mapping[str, object], query: Mapping[str, str], page: str | None, referrer: str | None
) -> dict[str, str]:
    """What is known about the visitor's way here, by name (TRACKED and FIRST); unknown names are left out.

    What was sent with the answers counts first, then the form's own query, each by name or in SOURCE; then the query of
    the page around the form, then that of the referrer if it is a page of the same site. `page` and `referrer` are what
    the browser says, used where nothing else gives them. FIRST comes only from SOURCE.
    """
    places = {"page_url": page, "referrer": referrer}
    in_post, in_query = unpacked(sent.get(SOURCE)), unpacked(query.get(SOURCE))
    ways = [way for way in (sent, in_post, query, in_query) if way]
    known = {name: _first_text(name, ways) or _text(name, places.get(name)) for name in PLACES}
    ways += _queries(known["page_url"], known["referrer"])
    known |= {name: _first_text(name, ways) for name in TRACKED[len(PLACES) :]}
    if first := in_post or in_query:
        known |= {name: _text(name.removeprefix("first_"), first.get(name)) for name in FIRST}
    return {name: value for name, value in known.items() if value}


def _first_text(name: str, ways: Sequence[Mapping[str, object]]) -> str:
    return next((text for way in ways if (text := _text(name, way.get(name)))), "")


def _queries(page: str, referrer: str) -> list[Mapping[str, object]]:
    """The query of the page, and of the page before it if both are of the same origin: a campaign leads to a landing
    page, and the visitor went on from there to the page with the form."""
    here, before = urlsplit(page), urlsplit(referrer)
    ours = (here, before) if before[:2] == here[:2] else (here,)
    return [dict(parse_qsl(parts.query)) for parts in ours if parts.query]


def packed(known: Mapping[str, str]) -> str:
    """The value of SOURCE for what `tracked` returned."""
    text = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unpacked(value: object) -> dict[str, object]:
    """What a value of SOURCE holds, not yet cleaned; empty for anything that `packed` would not return."""
    if not isinstance(value, str):
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def source(known: Mapping[str, str], ip: str | None, user_agent: str | None) -> dict[str, Any]:
    """A lead's source in the shape of the payload; `known` as `tracked` returns it."""
    first = {name.removeprefix("first_"): value for name, value in known.items() if name in FIRST}
    return {
        **_touch(known),
        "ip": ip,
        "user_agent": clean(user_agent or "")[:MAX_URL] or None,
        **({"first_touch": {**_touch(first), "at": _moment(first.get("at"))}} if first else {}),
    }


def _touch(known: Mapping[str, str]) -> dict[str, Any]:
    """Where a visitor was once: the page, and the campaign that led there."""
    return {
        **{name: known.get(name) for name in PLACES},
        "utm": {name: known.get(f"utm_{name}") for name in UTM},
        "click_ids": {name: known[name] for name in CLICK_IDS if name in known},
    }


def _moment(sent: str | None) -> str | None:
    """A time as the payload writes times; None for a text that is no time in UTC, or none of this century."""
    try:
        at = datetime.fromisoformat((sent or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    if at.tzinfo is None or not 2000 < at.year < 2100:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


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


def may_post(allowed: Sequence[str], origin: str | None, own: Sequence[str], has_token: bool = False) -> bool:
    """Whether a form with these allowed sites takes a post with this Origin header.

    A post without the header does not come from a browser. `own`: the addresses of this installation. Origin "null"
    hides the site: a sandboxed frame sends it, and a post that a redirect passed on. Then `has_token` decides, whether
    the post carries a token of this form: browsers show our form only on the allowed sites.
    """
    if not allowed or origin is None or origin in own:
        return True
    if origin == "null":
        return has_token
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
    if token and time.time() - token.shown_at < current_config.form_minimum_time:
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
