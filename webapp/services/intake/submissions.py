"""What comes before a lead is captured: the interface it is for, text made clean, and where the visitor came from."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import bindparam, select
from werkzeug.exceptions import NotFound

from webapp.db.transactions import read_autocommit
from webapp.models import Account, Field, Interface, Webhook, WebhookState
from webapp.webhooks.payload import UTM

CLICK_IDS = ("gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id")
PLACES = ("page_url", "page_title", "referrer")
TRACKED = (*PLACES, *(f"utm_{name}" for name in UTM), *CLICK_IDS)
MAX_URL = 2048
MAX_TEXT = 300

_NEWLINES = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


class Published(NamedTuple):
    """An interface as its visitors meet it: plain rows, for every submission pays for reading them.

    `interface` has the columns of Interface, `fields` those of Field, in their order.
    """

    interface: Any
    account_name: str
    fields: Sequence[Any]
    webhook: "Hook"


class Hook(NamedTuple):
    """What a capture asks of its webhook."""

    id: int
    url: str | None
    state: WebhookState


_OF_WEBHOOK = Webhook.id.label("webhook_id"), Webhook.url.label("webhook_url"), Webhook.state.label("webhook_state")
_INTERFACE: Any = (
    select(*Interface.__table__.c, Account.name.label("account_name"), *_OF_WEBHOOK)
    .join(Account, Account.id == Interface.account_id)
    .join(Webhook, Webhook.interface_id == Interface.id)
    .where(Interface.public_id == bindparam("public_id"), Interface.archived_at.is_(None))
)
_FIELDS: Any = (
    select(*Field.__table__.c)
    .where(Field.interface_id == bindparam("of"), Field.removed_at.is_(None))
    .order_by(Field.position)
)


def published(public_id: str) -> Published:
    """The interface of that id, with what capturing a lead needs; NotFound where it was deleted. Requests ask
    `shown_forms.get`, which keeps them.

    Reads what is committed, past the session's transaction: a submission is judged before the one that keeps it begins.
    """
    if not (public_id.isascii() and public_id.isprintable()):
        raise NotFound
    with read_autocommit() as connection:
        interface = connection.execute(_INTERFACE, {"public_id": public_id}).one_or_none()
        if interface is None:
            raise NotFound
        fields = connection.execute(_FIELDS, {"of": interface.id}).all()
    hook = Hook(interface.webhook_id, interface.webhook_url, interface.webhook_state)
    return Published(interface, interface.account_name, fields, hook)


def clean(text: str, multiline: bool = False) -> str:
    """`text` without NUL (which PostgreSQL refuses), other controls and halves of surrogate pairs, and trimmed.

    Newlines become \\n, or a space where one line is meant. What emoji and right-to-left scripts need stays.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _CONTROLS.sub("", _NEWLINES.sub("\n", text))
    return text.strip() if multiline else " ".join(text.split())


def tracked(
    sent: Mapping[str, object], query: Mapping[str, str], page: str | None, referrer: str | None
) -> dict[str, str]:
    """What is known of the way a visitor came, by name (TRACKED), only what is known.

    What was sent with the answers counts first, then the form's own query, then the query of the page it stands on.
    `page` and `referrer` are what the browser said, for want of better.
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


def _text(name: str, value: object) -> str:
    """The value cleaned and cut to length; empty for what is no text, or no address of a page where one is meant."""
    if not isinstance(value, str):
        return ""
    if name not in ("page_url", "referrer"):
        return clean(value)[:MAX_TEXT]
    address = clean(value)[:MAX_URL]
    try:
        parts = urlsplit(address)
    except ValueError:  # a bracket without its other half
        return ""
    return address if parts.scheme in ("http", "https") and parts.netloc else ""
