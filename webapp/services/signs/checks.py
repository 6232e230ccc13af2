"""The checks of `flask doctor`: for each sign what is the case, and where something is wrong, why and what to do."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from webapp import private_home
from webapp.clock import now_sql
from webapp.config import current_config
from webapp.db import engines
from webapp.delivery import sweep, worker_figures
from webapp.delivery.rings import NAMES, queues
from webapp.extensions import db
from webapp.models import Sweeper
from webapp.services import api_keys
from webapp.services.signs import health, metrics
from webapp.services.signs.readiness import Readiness, probe

MOST_OFFSET = 30.0  # seconds
MOST_WAIT = 60.0  # seconds that a delivery may be due
MOST_MAIL_WAIT = 3600.0
LEAST_DISK = 200 * 1024 * 1024
ROOM = "Make room on the disk, or let the user of the database write there."
READ_ONLY = re.compile("takes no writes|read-only transaction")
NO_ROOM = re.compile("(?i)no space|disk full|could not (extend|write)|disk is full")
UNKNOWN = "This could not be checked."
STALE = 30.0  # seconds after which a sweep is missed


@dataclass(frozen=True)
class Check:
    """`ok`: None where it could not be found out. `found` is a sentence; `why` and `do` are None where all is well."""

    sign: str
    ok: bool | None
    found: str
    why: str | None = None
    do: str | None = None


def all_checks() -> list[Check]:
    """Every check, the most important ones first."""
    ready = probe.readiness()
    checks = [_database(ready), _writable(ready), clock(ready.clock_offset)]
    for sign, check in CHECKS.items():
        if ready.database == "away" and sign in OF_DATABASE:  # a server that hangs would never answer
            checks.append(Check(sign, None, UNKNOWN, "The database does not answer.", "Mend the rest first."))
            continue
        try:
            checks.append(check())
        except (SQLAlchemyError, RedisError, OSError) as error:
            db.session.rollback()
            checks.append(Check(sign, None, UNKNOWN, health.reason(error), "Mend the rest first."))
    return checks


def as_json(checks: list[Check]) -> dict[str, Any]:
    """What `flask doctor --json` prints."""
    return {"ok": all(check.ok is not False for check in checks), "checks": [asdict(check) for check in checks]}


def _database(ready: Readiness) -> Check:
    if ready.database == "ok":
        return Check("database", True, "The database answers and is migrated.")
    if ready.database == "away":
        do = "Start the database, or correct DATABASE_URL."
        return Check("database", False, "The database does not answer.", ready.why or health.trouble.reason, do)
    why = "Its version is not the one that this code was made for, or it has no tables yet."
    return Check("database", False, "The database is not migrated.", why, "Run `flask --app webapp db upgrade`.")


def _writable(ready: Readiness) -> Check:
    if ready.writable:
        return Check("writable", True, "A lead can be written: one was, and was rolled back.")
    if ready.database != "ok":
        return Check("writable", None, UNKNOWN, "See database.", "Mend the rest first.")
    do = ROOM
    if READ_ONLY.search(ready.why):
        do = "Point DATABASE_URL at the primary: several hosts with target_session_attrs=read-write find it themselves."
    elif db.engine.dialect.name == "postgresql" and not NO_ROOM.search(ready.why):
        do = "See what the database says above, and its log."
    return Check("writable", False, "No lead can be written: every post is answered with an error.", ready.why, do)


def clock(offset: float | None) -> Check:
    """`offset` as in Readiness."""
    if offset is None:
        return Check("clock", None, UNKNOWN, "The database does not answer.", "Mend the rest first.")
    if abs(offset) <= MOST_OFFSET:
        return Check("clock", True, f"This host's clock and the database's differ by {abs(offset):.1f} seconds.")
    found = f"This host's clock is {abs(offset):.0f} seconds {'ahead of' if offset > 0 else 'behind'} the database's."
    why = "Receivers refuse webhooks whose timestamp is minutes off, and times on pages are wrong."
    return Check("clock", False, found, why, "Synchronise the clocks of all hosts, for example with chrony.")


def _redis() -> Check:
    state = queues.state()
    if state == "ok":
        return Check("redis", True, "Redis answers and takes writes.")
    found = "Redis does not answer." if state == "away" else "Redis answers, but cannot be used."
    do = "Start Redis, or correct REDIS_URL. Until then leads are kept, and none is delivered."
    return Check("redis", False, found, queues.trouble.reason, do)


def _workers() -> Check:
    missing = [name for name in NAMES if not worker_figures.workers_alive(name)]
    if not missing:
        return Check("workers", True, "Each queue has a worker.")
    found = f"No worker serves {', '.join(missing)}."
    return Check("workers", False, found, "Webhooks or mails wait.", "Start `python worker.py`, or look at its log.")


def _sweep() -> Check:
    age = db.session.scalar(select(now_sql() - Sweeper.lease_until + sweep.LEASE).where(Sweeper.lease_until > 0))
    db.session.rollback()
    if age is not None and age < STALE:
        return Check("sweep", True, "The sweep runs.")
    found = "No sweep runs." if age is None else f"The last sweep was {age:.0f} seconds ago."
    return Check("sweep", False, found, "Lost rings and due mails are not found.", "Start `python worker.py`.")


def _backlog() -> Check:
    due, age = metrics.due_now()
    db.session.rollback()
    if age <= MOST_WAIT:
        return Check("backlog", True, f"{due} deliveries are due, the oldest for {age:.0f} seconds.")
    found = f"{due} deliveries are due, the oldest for {age:.0f} seconds."
    do = "Look at the workers above. If they run, give them more processes or slots (WORKER_PROCESSES, WORKER_SLOTS)."
    return Check("backlog", False, found, "Workers are away, or there are too few.", do)


def _mail() -> Check:
    due, age = metrics.mails_due()
    db.session.rollback()
    if current_config.mail_server is None or age <= MOST_MAIL_WAIT:
        return Check("mail", True, f"{due} mails are due.")
    found = f"{due} mails are due, the oldest for {age:.0f} seconds."
    return Check("mail", False, found, "The mail server does not take them.", "See the page /mailbox for its answers.")


def secrets() -> Check:
    """Whether ENCRYPTION_KEYS can read what the database holds."""
    count, unreadable = api_keys.count_secrets()
    db.session.rollback()
    if not unreadable:
        return Check("secrets", True, f"ENCRYPTION_KEYS can read the secrets in the database, {count} of them.")
    found = f"No key of ENCRYPTION_KEYS reads {unreadable} of the {count} secrets in the database."
    why = (
        "The keys were replaced, or a backup was restored without its key files. What Shared Tokens sign is on hold, "
        "and mails with links to sign in are not sent."
    )
    do = (
        "Put the old key into ENCRYPTION_KEYS, after the new one. If it is lost, rotate the Shared Tokens and send the "
        "invitations again; the mails are removed by themselves after seven days."
    )
    return Check("secrets", False, found, why, do)


def _disk() -> Check:
    free, folder = metrics.least_free()
    found = f"{folder} has {free // 1024 // 1024:,} MB of free space."
    if free >= LEAST_DISK:
        return Check("disk", True, found)
    return Check("disk", False, found, "A full disk stops leads on SQLite.", f"Make room where {folder} is.")


def _sessions() -> Check:
    """Whether PostgreSQL gives our sessions their settings: behind a pooler the role has them (db/engines.py)."""
    if db.engine.dialect.name != "postgresql":
        return Check("sessions", True, "SQLite has no settings of sessions.")
    found = {name: db.session.scalar(text(f"SHOW {name}")) for name in engines.SETTINGS}
    db.session.rollback()
    if found["jit"] == "off" and found["max_parallel_workers_per_gather"] == "0":
        return Check("sessions", True, "Sessions have the settings of Leadhook.")
    why = "Without them, single pages take seconds, and one search can take every processor."
    do = "Run `flask --app webapp db upgrade`, which gives them to the role, then RECONNECT in PgBouncer's console."
    given = f"jit={found['jit']}, max_parallel_workers_per_gather={found['max_parallel_workers_per_gather']}."
    return Check("sessions", False, f"Sessions lack the settings of Leadhook: {given}", why, do)


def home() -> Check:
    """Whether other users of the machine can look into LEADHOOK_HOME."""
    folder, files = current_config.home, private_home.readable_files(current_config)
    if not files and not private_home.is_open(current_config):
        return Check("home", True, "LEADHOOK_HOME and its files are private.")
    found = f"Others can look into LEADHOOK_HOME ({folder})."
    if files:
        found = f"Others can read files in LEADHOOK_HOME ({folder}): {', '.join(files)}."
    why = "It holds leads and keys."
    return Check("home", False, found, why, "Give it to the user who runs Leadhook, then run `chmod 700` on it.")


def proxies() -> Check:
    if current_config.trusted_proxies or not current_config.public_url.startswith("https://"):
        return Check("proxies", True, f"TRUSTED_PROXIES is {current_config.trusted_proxies}.")
    why = "PUBLIC_URL is https, so a proxy is in front: without TRUSTED_PROXIES every visitor has its address."
    do = "Set TRUSTED_PROXIES to the number of proxies in front, and have them set X-Forwarded-For."
    return Check("proxies", False, "TRUSTED_PROXIES is 0.", why, do)


OF_DATABASE = {"sweep", "backlog", "mail", "secrets", "sessions"}
CHECKS: dict[str, Callable[[], Check]] = {
    "redis": _redis,
    "workers": _workers,
    "sweep": _sweep,
    "backlog": _backlog,
    "mail": _mail,
    "secrets": secrets,
    "disk": _disk,
    "sessions": _sessions,
    "home": home,
    "proxies": proxies,
}


def as_lines(checks: list[Check]) -> Iterator[str]:
    """The checks for people."""
    words = {True: "ok", False: "MEND", None: "?"}
    for check in checks:
        yield f"{words[check.ok]:<5}{check.sign:<10}{check.found}"
        if check.ok is False:
            yield f"{'':<15}Why: {check.why}"
            yield f"{'':<15}Do:  {check.do}"
