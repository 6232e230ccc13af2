"""How many automatic answers are sent. Anyone can type any address into a form, and must not annoy others with it.

Three things are counted, in the database, so the limits hold for all processes and also without Redis: the mailbox and
the visitor's network for a day (UTC), the interface for an hour of the clock. A visitor's lead is always kept.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from flask import current_app
from sqlalchemy import delete, func, select, true, tuple_

from webapp.clock import utcnow
from webapp.config import current_config
from webapp.db import bulk
from webapp.extensions import db
from webapp.models import AutoresponseCount, Interface, Lead
from webapp.services.mail.same_mailbox import mailbox_of

MAX_A_DAY = 3  # answers from one interface to one mailbox
# A client with an IPv6 address has a /64 at least, often a /56. Each network with the share of its limit.
NETWORKS = ((64, 1), (56, 4), (48, 16))
MAILBOX, NETWORK, INTERFACE = "mailbox", "network", "interface"
REASONS = {
    MAILBOX: f"This mailbox had its {MAX_A_DAY} answers of the day.",
    NETWORK: "The visitor’s network had its answers of the day.",
    INTERFACE: "This form had sent its answers of the hour.",
}

_NAMES = ("interface_id", "address_digest", "day", "sent")
_KEY = tuple_(*(getattr(AutoresponseCount, name) for name in _NAMES[:3]))


class Asked(NamedTuple):
    """An answer that a lead asks for. `ip` is the visitor's whole address, None if it is not known."""

    interface_id: int
    address: str
    ip: str | None


class Key(NamedTuple):
    """A row of AutoresponseCount."""

    interface_id: int
    digest: str
    day: int


class Limit(NamedTuple):
    key: Key
    most: int
    reason: str


class LimitsOfToday(NamedTuple):
    """`full_until`: when the interface may answer again, None if it may now. `left_out`: answers by reason."""

    most: int
    full_until: datetime | None
    left_out: dict[str, int]


def take(asked: Sequence[Asked]) -> list[str | None]:
    """Counts these answers in the current transaction. For each: None if it may be sent, else a key of REASONS.

    All rows are locked before the first is read, so that simultaneous leads exceed no limit; always in the same order,
    so that no two transactions wait for each other. An answer that is left out is not counted.
    """
    limits = [list(_limits(each)) for each in asked]
    counts = _locked(sorted({limit.key for each in limits for limit in each}))
    before, reasons = dict(counts), []
    for each in limits:
        reached = next((limit.reason for limit in each if counts[limit.key] >= limit.most), None)
        reasons.append(reached)
        for limit in each if reached is None else ():
            counts[limit.key] += 1
    _PUT.execute(db.session.connection(), [_row(key, sent) for key, sent in counts.items() if sent != before[key]])
    return reasons


def day_of(moment: datetime) -> int:
    """The day number that the counts use: UTC days since 1970."""
    return int(moment.timestamp()) // 86400


def forget_old(now: datetime) -> None:
    """Deletes counts. Keeps those of today and yesterday: the clock of the host that counts may be behind."""
    db.session.execute(delete(AutoresponseCount).where(AutoresponseCount.day < day_of(now) - 1))


def of_today(interface: Interface) -> LimitsOfToday:
    """Which limits were reached today, for the page of the interface's mails."""
    now = utcnow()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    limit = _of_interface(interface.id)
    sent = db.session.scalar(select(AutoresponseCount.sent).where(_KEY.in_([limit.key]))) or 0
    next_hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    of_day = Lead.interface_id == interface.id, Lead.unanswered.is_not(None), Lead.received_at >= midnight
    left_out = db.session.execute(select(Lead.unanswered, func.count()).where(*of_day).group_by(Lead.unanswered))
    full_until = next_hour if sent >= limit.most else None
    return LimitsOfToday(limit.most, full_until, {str(reason): count for reason, count in left_out})


def _limits(asked: Asked) -> Iterator[Limit]:
    day = day_of(utcnow())
    of_mailbox = _digest("mailbox", asked.interface_id, mailbox_of(asked.address))
    yield Limit(Key(asked.interface_id, of_mailbox, day), MAX_A_DAY, MAILBOX)
    for network, share in _networks(asked.ip):
        most = current_config.autoresponses_per_network * share
        yield Limit(Key(0, _digest("network", network), day), most, NETWORK)
    yield _of_interface(asked.interface_id)


def _of_interface(interface_id: int) -> Limit:
    now = utcnow()
    key = Key(interface_id, _digest("hour", interface_id, now.hour), day_of(now))
    return Limit(key, current_config.autoresponses_per_hour, INTERFACE)


def _networks(ip: str | None) -> list[tuple[str, int]]:
    """The networks that a visitor is counted by.

    None without an address, or with one of this machine, which is a proxy's: all visitors would be one.
    """
    try:
        address = ip_address((ip or "").partition("%")[0])
    except ValueError:
        return []
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return []
    if address.version == 4:
        return [(str(address), 1)]
    return [(str(ip_network((address, length), strict=False)), share) for length, share in NETWORKS]


def _digest(*what: object) -> str:
    secret = current_app.config["SECRET_KEY"]
    key = secret if isinstance(secret, bytes) else str(secret).encode()
    return hmac.new(key, " ".join(map(str, what)).encode(), hashlib.sha256).hexdigest()


def _locked(keys: Sequence[Key]) -> dict[Key, int]:
    """How much was counted, with the rows locked until the transaction ends; new ones are made."""
    connection = db.session.connection()
    _MAKE.execute(connection, [_row(key, 0) for key in keys])
    rows = select(*(getattr(AutoresponseCount, name) for name in _NAMES)).where(_KEY.in_(keys))
    in_order = rows.order_by(AutoresponseCount.interface_id, AutoresponseCount.address_digest, AutoresponseCount.day)
    return {Key(*key): sent for *key, sent in connection.execute(in_order.with_for_update())}


def _row(key: Key, sent: int) -> dict[str, Any]:
    return dict(zip(_NAMES, (*key, sent), strict=True))


def _put(dialect: str, given: bulk.Values) -> Any:
    rows = select(*(given[name] for name in _NAMES)).where(true())  # SQLite needs a WHERE before ON CONFLICT
    put = bulk.insert(dialect, AutoresponseCount).from_select(list(_NAMES), rows, include_defaults=False)
    return put.on_conflict_do_update(index_elements=_NAMES[:3], set_={"sent": put.excluded.sent})


_MAKE = bulk.inserting("count", AutoresponseCount, *_NAMES, where=lambda _: [true()])
_PUT = bulk.Bulk("count", {name: getattr(AutoresponseCount, name).type for name in _NAMES}, _put)
