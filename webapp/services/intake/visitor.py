"""Who sent a post: where the visitor came from, and whether it is spam.

Spam is never refused unseen: it is stored under the Spam filter, where a person can take it out. A post without the
form's token (curl, plain HTML, fetch) is fine. The token adds the minimum time, and makes a form sent twice one lead.
"""

import hashlib
import json
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from itsdangerous import BadSignature, Signer, URLSafeSerializer
from itsdangerous.encoding import base64_encode

from webapp.config import current_config
from webapp.models import Field, FieldType, Interface, IpAddresses
from webapp.services.intake import blocklist, packed_source
from webapp.services.intake.answers import clean
from webapp.webhooks.payload import CLICK_IDS, PLACES, TRACKED, UTM

MAX_URL = 2048  # characters of a page's address, and of a user agent
MAX_TITLE = 300
MAX_TRACKED = 4000  # of a campaign or a click id: no advertiser makes longer ones
# Names that no field can have: a field's key begins with a letter.
TRAP = "_website"  # a control that visitors do not see
TOKEN = "_token"
SOURCE = "_source"  # all that is tracked, as one value: see packed_source.py
HONEYPOT, TOO_FAST, BLOCKED = "honeypot", "too fast", "blocklist"
# The first touch within the visitor's tab, where the site has it kept; "first_at" is the time.
FIRST = frozenset(f"first_{name}" for name in (*TRACKED, "at"))
TRACKED_NAMES = frozenset(TRACKED)
SPAM_REASONS = {
    HONEYPOT: "A control that visitors do not see was filled in.",
    TOO_FAST: "It was sent faster than a person types.",
    BLOCKED: "Its sender is on the blocklist.",
}


# Where the visitor came from -----------------------------------------------------------------------------------------


def where_from(referrer: str | None, shows_form: bool) -> tuple[str | None, str | None]:
    """The page that shows the form, and the page before it; None for what the browser does not say.

    `shows_form`: whether the Referer header is the page that shows the form, as in a frame and for a post; else it is
    the page before.
    """
    if not shows_form:
        return None, referrer
    page = referrer or ""
    if any(f"{mark}{SOURCE}=" in page for mark in "?&"):  # our form, in a frame of a page that hides itself
        page = page.partition("?")[0]
    return page or None, None


def tracked(
    sent: Mapping[str, object], query: Mapping[str, str], page: str | None, referrer: str | None
) -> dict[str, str]:
    """What is known about the visitor's way here, by name (TRACKED and FIRST); unknown names are left out.

    What was sent with the answers counts first, then the form's own query, each by name or in SOURCE; then the query of
    the page around the form, then that of the referrer if it is a page of the same site. `page` and `referrer` are what
    the browser says, used where nothing else gives them. FIRST comes only from SOURCE. A part of an address, a campaign
    or a click id is another one, so each is known whole or not at all.
    """
    ways: list[Mapping[str, object]] = []
    packed: Mapping[str, object] = {}
    for way in (sent, query):
        ways.append(way)
        if SOURCE in way and (found := packed_source.unpacked(way[SOURCE])):
            ways.append(found)
            packed = packed or found
    places = {"page_url": page, "referrer": referrer}
    addresses = {name: _first(_address, name, ways) or _address(places[name]) for name in places}
    known = {"page_title": _first(_title, "page_title", ways)}
    known |= {name: _fitting(address) for name, address in addresses.items()}
    ways += _queries(*addresses.values())
    named = TRACKED_NAMES.intersection(chain.from_iterable(ways))
    known |= {name: _first(_whole, name, ways) for name in named.difference(PLACES)}
    known = {name: known[name] for name in TRACKED if known.get(name)}
    return known | first_touch(packed) if packed else known


def unread(sent: Mapping[str, object], known: Mapping[str, str]) -> dict[str, object]:
    """What was sent under the names of TRACKED and that `tracked` can make nothing of, such as "a friend told me".

    `known` is what `tracked` returned: a value that it took over as it was sent is not read a second time.
    """
    named = {name: value for name in TRACKED if (value := sent.get(name)) and known.get(name) != value}
    return {name: value for name, value in named.items() if not _read(name, value)}


def _read(name: str, value: object) -> str:
    reader = _READERS.get(name, _whole)
    return _fitting(reader(value)) if reader is _address else reader(value)


def first_touch(packed: Mapping[str, object]) -> dict[str, str]:
    """What SOURCE says about the first touch, by name (FIRST); unknown names are left out."""
    found = {name: _READERS.get(name.removeprefix("first_"), _whole)(packed.get(name)) for name in FIRST}
    return {name: value for name, value in found.items() if value}


def _first(reader: Callable[[object], str], name: str, ways: Sequence[Mapping[str, object]]) -> str:
    for way in ways:
        if name in way and (text := reader(way[name])):
            return text
    return ""


def _queries(page: str, referrer: str) -> list[dict[str, str]]:
    """The query of the page, and of the page before it if both are of the same origin: a campaign leads to a landing
    page, and the visitor went on from there to the page with the form."""
    ours = (page, referrer) if urlsplit(page)[:2] == urlsplit(referrer)[:2] else (page,)
    return [_query_of(address) for address in ours if "?" in address]


def source(known: Mapping[str, str], ip: str | None, user_agent: str | None) -> dict[str, Any]:
    """A lead's source in the shape of the payload; `known` as `tracked` returns it."""
    first = {name.removeprefix("first_"): value for name, value in known.items() if name in FIRST}
    return {
        **_touch(known),
        "ip": ip,
        "user_agent": clean(user_agent or "")[:MAX_URL] or None,
        **({"first_touch": {**_touch(first), "at": packed_source.moment(first.get("at"))}} if first else {}),
    }


def _touch(known: Mapping[str, str]) -> dict[str, Any]:
    """Where a visitor was once: the page, and the campaign that led there."""
    return {
        **{name: known.get(name) for name in PLACES},
        "utm": {name: known.get(f"utm_{name}") for name in UTM},
        "click_ids": {name: known[name] for name in CLICK_IDS if name in known},
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


def _title(value: object) -> str:
    """A page's title, which only people read: cut visibly where it is long; empty for anything but text."""
    title = clean(value) if isinstance(value, str) else ""
    return title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"


def _whole(value: object) -> str:
    """The value cleaned; empty where it is too long, and for anything but text."""
    text = clean(value) if isinstance(value, str) else ""
    return text if len(text) <= MAX_TRACKED else ""


def _fitting(address: str) -> str:
    """The address; without its query where it is too long, and empty where it is still too long then."""
    short = address if len(address) <= MAX_URL else address.partition("#")[0].partition("?")[0]
    return short if len(short) <= MAX_URL else ""


def _query_of(address: str) -> dict[str, str]:
    """The query of a page's address. Pages that are not in UTF-8 may have written theirs in windows-1252."""
    query = urlsplit(address).query
    try:
        return dict(parse_qsl(query, errors="strict"))
    except UnicodeDecodeError:
        return dict(parse_qsl(query, encoding="cp1252", errors="replace"))


def _address(value: object) -> str:
    """The value cleaned, if it is the address of a page; else empty."""
    address = clean(value) if isinstance(value, str) else ""
    try:
        parts = urlsplit(address)
    except ValueError:  # an opening bracket without a closing one
        return ""
    return address if parts.scheme in ("http", "https") and parts.netloc else ""


_READERS = {"page_title": _title, "page_url": _address, "referrer": _address}


# Whether it is spam --------------------------------------------------------------------------------------------------


class Token(NamedTuple):
    """The token of a form that we rendered. `shown_at`: when it was first shown, epoch seconds."""

    nonce: str
    shown_at: float


def new_token(public_id: str) -> str:
    """A token for a form of that interface, which `_serializer` reads. Each view of a form has one, and the serializer
    itself would derive its key again each time, and try to compress what is random. The time is rounded down: a robot
    may answer within the same hundredth of a second."""
    said = json.dumps([public_id, secrets.token_urlsafe(12), math.floor(time.time() * 100) / 100])
    return _signer_of(current_config.secret_key).sign(base64_encode(said)).decode()


def read_token(public_id: str, sent: object) -> Token | None:
    """The token of a post, however old; None unless it is one of this interface's form."""
    try:
        of, nonce, shown_at = _serializer().loads(sent) if isinstance(sent, str) else (None, "", 0)
    except (BadSignature, ValueError):
        return None
    return Token(nonce, shown_at) if of == public_id else None


def nonce_of(token: Token | None, answers: Mapping[str, Any], undeclared: Mapping[str, Any]) -> str | None:
    """What is unique about a lead: the form that was sent and all its answers. None without a token.

    It is the same after a double click or a lost connection. A visitor who goes back and changes an answer sends
    another lead, which must not be lost.
    """
    if token is None:
        return None
    unique = [token.nonce, answers, undeclared] if undeclared else [token.nonce, answers]
    return hashlib.sha256(json.dumps(unique, sort_keys=True).encode()).hexdigest()


def spam_reason(
    interface: Interface, sent: Mapping[str, object], token: Token | None, answers: Mapping[str, Any], ip: str | None
) -> str | None:
    """Why this is spam, one of SPAM_REASONS; None if it is not."""
    if sent.get(TRAP):
        return HONEYPOT
    if interface.blocklist and blocklist.is_listed(interface, answers, ip):
        return BLOCKED
    # Below 0 the form was shown by a host whose clock is ahead of this one: that says nothing about the visitor.
    if token and 0 <= time.time() - token.shown_at < current_config.form_minimum_time:
        return TOO_FAST
    return None


def _serializer() -> URLSafeSerializer:
    return _serializer_of(current_config.secret_key)


@cache
def _serializer_of(secret_key: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret_key, salt="lead form")


@cache
def _signer_of(secret_key: str) -> Signer:
    """Signs as the serializer does, with the key that it derives."""
    key = _serializer_of(secret_key).make_signer().derive_key()
    return Signer(key, key_derivation="none")


def who(fields: Sequence[Field], answers: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """The name, the email and the visitor of a lead with these answers, as NewLead has them."""
    name = " ".join(_first_answer(fields, answers, FieldType.TEXT).split())[:500]  # a search has single spaces
    email = _first_answer(fields, answers, FieldType.EMAIL)[:320]
    return name, email, email.lower() or _first_answer(fields, answers, FieldType.PHONE)[:320] or None


def _first_answer(fields: Sequence[Field], answers: Mapping[str, Any], kind: FieldType) -> str:
    """The answer to the first field of a type: what people look a lead up by."""
    return next((answers.get(field.key) or "" for field in fields if field.type == kind), "")
