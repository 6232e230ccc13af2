"""Rests: a receiver that answers 429 or 503 with Retry-After gets no lead of this webhook until then. The same goes for
a good answer that says that nothing remains of the rate limit (webhooks/rate_limits.py).

A rest lasts an hour at most. Then one lead tries first. If the receiver asks again, the lane rests again; any other
answer ends it, and the others follow. A person's retry, a test and *Try now* go through. Nothing polls: nothing is due
meanwhile, so nothing rings, and the first sweep after the rest finds what is due. Runs only where there is a rest.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, exists, false, func, true, update

from webapp.clock import now_sql
from webapp.delivery.ledger import LONGEST_REST, RESTING, Sent, WebhookSettings
from webapp.models import Lane, Webhook
from webapp.webhooks.outcome import ASK_FOR_REST


def change(settings: WebhookSettings, sent: Sequence[Sent], given: dict[str, Any]) -> bool | None:
    """What these answers change: True: a rest `begins` (`given` gets what its UPDATE needs); False: it is over, because
    the lead that tried first was not too much for the receiver; None: nothing."""
    waits = [one.outcome.retry_after or 0.0 for one in sent if one.outcome.asks_for_rest]
    if waits:
        given |= {"rest": min(max(waits), LONGEST_REST), "asked_by": settings.url, "read_at": settings.read_at}
        return True
    is_over = settings.resting is False and any(one.outcome.code not in ASK_FOR_REST for one in sent)
    return False if is_over else None


def begins() -> dict[str, Any]:
    """The columns of a lane that rests for :rest seconds; unchanged if its webhook's URL is not :asked_by any more.

    PostgreSQL does not see a URL that is saved while this UPDATE waits for the lane. But it sees then that the lane's
    rest was forgotten, after the settings were read.
    """
    read_at = bindparam("read_at", type_=Lane.rests_until.type)
    is_new = and_(~Lane.tries_first, Lane.rests_until > read_at, Lane.rests_until <= now_sql())
    same_url = exists().where(Webhook.id == bindparam("lane"), Webhook.url == bindparam("asked_by"))
    by_this_receiver = and_(same_url, ~func.coalesce(is_new, false()))
    until = now_sql() + bindparam("rest", type_=Lane.rests_until.type)
    later = case((and_(RESTING, Lane.rests_until > until), Lane.rests_until), else_=until)
    return {
        "rests_until": case((by_this_receiver, later), else_=Lane.rests_until),
        "tries_first": case((by_this_receiver, true()), else_=Lane.tries_first),
    }


def end(connection: Connection, webhook_id: int) -> bool:
    """Ends a rest, so that one lead tries first; whether there was one. The lane's row must be locked."""
    return connection.execute(_END, {"lane": webhook_id}).rowcount == 1


def forget(connection: Connection, webhook_id: int) -> None:
    """Forgets a rest: the receiver who asked for it is not the webhook's any more. The lane's row must be locked."""
    connection.execute(_FORGET, {"lane": webhook_id})


_LANE = update(Lane).where(Lane.webhook_id == bindparam("lane"))
_END = _LANE.where(RESTING).values(rests_until=now_sql())
_FORGET = _LANE.values(rests_until=now_sql(), tries_first=False)


def since(at: Any) -> Any:
    """SQL: since when a delivery waits for a worker, if it is due since `at`: not while its lane rested."""
    return case((func.coalesce(Lane.rests_until, 0.0) > at, Lane.rests_until), else_=at)
