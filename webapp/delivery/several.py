"""Takes, reads and records several lanes by one statement each: what `serving.py` does for all lanes of a round.

The parts of these statements are those of one lane, which are in `ledger.py` and `record.py`.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import and_, literal_column, or_, select, true, update
from sqlalchemy.orm import aliased

from webapp.clock import now_sql
from webapp.db import bulk
from webapp.db.bulk import Plain, Statement
from webapp.delivery import lanes, ledger, record
from webapp.delivery.lanes import Hold
from webapp.delivery.ledger import Batch, Due, Sent, WebhookSettings
from webapp.delivery.record import LaneHealth
from webapp.models import Delivery, Lane, Webhook


class LaneDue(NamedTuple):
    """What is due for a lane: fresh deliveries only, in the order of sending, unless it `has_others`."""

    batch: Batch
    has_others: bool


def _given(connection: Plain, webhook_ids: Iterable[int], **others: Any) -> dict[str, Any]:
    return {"lanes": bulk.ids(connection.dialect.name, webhook_ids), **others}


def _ids(statement: Statement, connection: Plain, given: bulk.Values) -> list[int]:
    return [webhook_id for (webhook_id,) in statement.rows(connection, given)]


def _of_these(dialect: str, *conditions: Any) -> Any:
    """These lanes. PostgreSQL skips one whose row another transaction has locked: the others must not wait for it."""
    these = bulk.among(dialect, Lane.webhook_id, "lanes")
    if dialect == "sqlite":
        return update(Lane).where(these, *conditions)
    free = select(Lane.webhook_id).where(these, *conditions).with_for_update(skip_locked=True).cte("free")
    return update(Lane).where(Lane.webhook_id == free.c.webhook_id)


@cache
def _take(dialect: str) -> Statement:
    """On the server's disk before anything is sent, as in lanes.py."""
    taking = _of_these(dialect, ~ledger.LANE_LOCKED).values(lanes.TAKEN)
    return Statement(taking.returning(Lane.webhook_id, Lane.abandoned))


def take(connection: Plain, webhook_ids: Sequence[int]) -> list[Hold]:
    """Locks the lanes that no other drain holds, all with one token."""
    token, ends_at = secrets.token_hex(8), time.monotonic() + ledger.lease()
    given = _given(connection, webhook_ids, holder=token, lease=ledger.lease())
    connection.take_turn()
    found = _take(connection.dialect.name).rows(connection, given)
    return [Hold(webhook_id, token, bool(abandoned), ends_at) for webhook_id, abandoned in found]


@cache
def _free(dialect: str) -> Statement:
    return Statement(select(Lane.webhook_id).where(bulk.among(dialect, Lane.webhook_id, "lanes"), ~ledger.LANE_LOCKED))


def free(connection: Plain, webhook_ids: Sequence[int]) -> list[int]:
    """Those of the lanes that no drain holds: `take` skipped them, because a transaction changes them just now."""
    given = _given(connection, webhook_ids, lease=ledger.lease())
    return _ids(_free(connection.dialect.name), connection, given)


def has_one(*conditions: Any) -> Any:
    """SQL: whether a webhook has such a delivery. By EXISTS, PostgreSQL would collect those of all webhooks first."""
    return select(Delivery.id).where(*conditions).limit(1).correlate(Webhook).scalar_subquery().is_not(None)


@cache
def _read(dialect: str) -> Statement:
    """PostgreSQL reads the rows of a lane by a LATERAL query; SQLite has none, but looks up their ids as well."""
    of_webhook = Delivery.webhook_id == literal_column("webhooks.id", Webhook.id.type)
    fresh = (of_webhook, ledger.FRESH, ledger.UNCLICKED)
    limit: Any = literal_column(str(ledger.BATCH))  # no parameter, as in ledger.py
    clicked = has_one(of_webhook, ledger.CLICKED)
    again = has_one(of_webhook, ledger.AGAIN, ledger.UNCLICKED, Delivery.due_at <= now_sql())
    if dialect == "postgresql":
        columns = [getattr(Delivery, name) for name in Due._fields]
        due: Any = select(*columns).where(*fresh).order_by(Delivery.id).limit(limit).lateral("due")
        rows, is_of = [due.c[name] for name in Due._fields], true()
    else:
        due = aliased(Delivery, name="due")
        rows = [getattr(due, name) for name in Due._fields]
        is_of = due.id.in_(select(Delivery.id).where(*fresh).order_by(Delivery.id).limit(limit))
    query = ledger.WITH_SETTINGS.add_columns(Webhook.id, or_(clicked, and_(~ledger.RESTING, again)), *rows).outerjoin(
        due, is_of
    )
    return Statement(query.where(bulk.among(dialect, Webhook.id, "lanes")))


def read(connection: Plain, webhook_ids: Sequence[int]) -> Mapping[int, LaneDue]:
    """What is due for these lanes. One without any delivery has no rows, one whose webhook is not active is missing."""
    found: dict[int, tuple[Any, bool, list[Due]]] = {}
    width = len(ledger.SETTINGS)
    for row in _read(connection.dialect.name).rows(connection, _given(connection, webhook_ids)):
        _, _, rows = found.setdefault(row[width], (row[:width], bool(row[width + 1]), []))
        if row[width + 2] is not None:
            rows.append(Due._make(row[width + 2 :]))
    return {
        webhook_id: _found(WebhookSettings(webhook_id, *settings), has_others, fresh)
        for webhook_id, (settings, has_others, fresh) in found.items()
    }


def _found(settings: WebhookSettings, has_others: bool, fresh: list[Due]) -> LaneDue:
    """While a lane rests, only what a person retries is due."""
    return LaneDue(Batch(settings, [] if settings.resting else sorted(fresh)), has_others)


# Record --------------------------------------------------------------------------------------------------------------

HEALTHY = LaneHealth(slow=False, delivered=True, failed=False, keeps=False, answered=True, rests=None, unended=False)


def is_usual(settings: WebhookSettings, sent: Sequence[Sent]) -> bool:
    """Whether `record_delivered` may record these attempts; `record.write` may record any."""
    outcomes = [one.outcome for one in sent]
    delivered = all(one.delivered and not (one.asks_for_rest or one.unended or one.first) for one in outcomes)
    return delivered and settings.resting is None and record.token_use(settings, sent) is None


@cache
def _fence(dialect: str) -> Any:
    ours = _of_these(dialect, Lane.token == lanes.HOLDER).values(record.fenced(HEALTHY))
    return ours.returning(Lane.webhook_id)


@cache
def _fence_alone(dialect: str) -> Statement:
    return Statement(_fence(dialect))


@cache
def _one_statement(many: bool | None) -> Statement:
    """PostgreSQL: as `record._one_statement`."""
    fence = _fence("postgresql").cte("fence")
    tries = record.ATTEMPTS.statement("postgresql", bool(many)).cte()
    moves = record.MOVES.statement("postgresql", bool(many), webhook=fence.c.webhook_id).cte()
    return Statement(select(fence.c.webhook_id).add_cte(tries, moves))


def record_delivered(token: str, batches: Sequence[tuple[WebhookSettings, Sequence[Sent]]]) -> set[int]:
    """Records what `is_usual`, of several lanes that `token` holds, and lets them go; returns the lanes it let go.

    The others are locked by a transaction, or another drain has taken them: `record.write` finds out.
    """
    tries = [record.attempt_row(settings, one) for settings, sent in batches for one in sent]
    moves = [record.move_row(settings, one, ledger.move(one, ())) for settings, sent in batches for one in sent]
    lanes_of = [settings.webhook_id for settings, _ in batches]
    with bulk.driver() as connection:
        given = _given(connection, lanes_of, holder=token)
        if connection.dialect.name == "postgresql":
            given |= record.ATTEMPTS.parameters(tries) | record.MOVES.parameters(moves)
            return set(_ids(_one_statement(bulk.many(tries)), connection, given))
        connection.begin()
        ours = set(_ids(_fence_alone("sqlite"), connection, given))
        record.ATTEMPTS.execute(connection, tries)
        record.MOVES.execute(connection, [one for one in moves if one["webhook"] in ours])
        connection.commit()
    return ours


@cache
def _let_go(dialect: str) -> Statement:
    held = _of_these(dialect, Lane.token == lanes.HOLDER).values(lanes.LET_GO)
    return Statement(held.returning(Lane.webhook_id))


def let_go(connection: Plain, token: str, webhook_ids: Sequence[int]) -> list[int]:
    """Unlocks these lanes, all of which `token` holds; returns those that it unlocked."""
    given = _given(connection, webhook_ids, holder=token)
    connection.take_turn()
    return _ids(_let_go(connection.dialect.name), connection, given)


@cache
def _last_look(dialect: str) -> Statement:
    these = bulk.among(dialect, Lane.webhook_id, "lanes")
    return Statement(select(Lane.webhook_id).join(Webhook).where(these, ledger.ACTIVE, ledger.is_due(has=has_one)))


def last_look(connection: Plain, webhook_ids: Sequence[int]) -> list[int]:
    """Those of the lanes that have a due delivery."""
    return _ids(_last_look(connection.dialect.name), connection, _given(connection, webhook_ids))


@cache
def _with_newer(dialect: str) -> Statement:
    others = ~bulk.among(dialect, Delivery.id, "known")
    due = ledger.is_due(has=lambda *of: has_one(*of, others))
    these = bulk.among(dialect, Lane.webhook_id, "lanes")
    return Statement(select(Lane.webhook_id).join(Webhook).where(these, ledger.ACTIVE, due))


def with_newer(connection: Plain, webhook_ids: Sequence[int], known: Iterable[int]) -> list[int]:
    """Those of the lanes that have a due delivery beside the known ones (delivery ids)."""
    dialect = connection.dialect.name
    given = _given(connection, webhook_ids, known=bulk.ids(dialect, known))
    return _ids(_with_newer(dialect), connection, given)
