"""The pull feed: what a webhook sends, for receivers behind a firewall. They ask, and wait for the next one."""

import time
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from werkzeug.exceptions import NotFound

from webapp.models import Scope, Webhook
from webapp.services.webhooks import feed, feed_headers, shown_requests
from webapp.services.webhooks.feed import FeedRow, Place
from webapp.web.api import cursors, keys, waits
from webapp.web.api.operations import Answered, operation
from webapp.web.api.problems import Fault, Problem, invalid
from webapp.webhooks.authentications.message import Message
from webapp.webhooks.signing import message_headers

NOW = "now"
LONGEST_WAIT = 30  # seconds


class FeedQuery(msgspec.Struct, forbid_unknown_fields=True):
    after: Annotated[
        str,
        Meta(
            max_length=100, description="`next` of the page before, or now; leave it out for the oldest that is kept."
        ),
    ] = ""
    webhook: Annotated[
        str, Meta(max_length=40, description="The id of the webhook; needed where the key reaches several.")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many a page has at most.")] = 100
    wait: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=LONGEST_WAIT,
                description="Seconds to wait where nothing is there. Left out: 30 after a cursor, else 0.",
            ),
        ]
        | UnsetType
    ) = UNSET


class FeedEvent(msgspec.Struct):
    webhook_id: Annotated[str, Meta(description="The header webhook-id: a receiver knows repeats by it.")]
    type: Annotated[str, Meta(description="lead.created or lead.test; later versions may have more.")]
    timestamp: Annotated[int, Meta(description="The header webhook-timestamp, in Unix seconds: this reading.")]
    headers: Annotated[
        dict[str, str], Meta(description="Those of the message, and of the signature if the webhook signs.")
    ]
    body: Annotated[
        str | None,
        Meta(description="The bytes that the webhook sends, as text in UTF-8; null: its template could not make them."),
    ]


class FeedPage(msgspec.Struct):
    data: list[FeedEvent]
    next: Annotated[str, Meta(description="The cursor after this page; never null.")]


EXAMPLE: dict[str, Any] = {
    "data": [
        {
            "webhook_id": "msg_01m83pph3v2r0yfay9n7db9hyk",
            "type": "lead.created",
            "timestamp": 1795420800,
            "headers": {
                "content-type": "application/json",
                "webhook-id": "msg_01m83pph3v2r0yfay9n7db9hyk",
                "webhook-timestamp": "1795420800",
                "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            },
            "body": '{"type":"lead.created","timestamp":"2026-11-23T08:00:00.123Z","data":{}}',
        }
    ],
    "next": "NDIuMDBmZjAwZmYuMTc5NTQyMDgwMA",
}


@operation(
    "GET",
    "/events",
    "Read the feed of a webhook",
    tag="Feed",
    scope=Scope.READ,
    query=FeedQuery,
    answer=FeedPage,
    example=EXAMPLE,
    cursor="after",
    about="Oldest first: the same bytes and webhook-ids as the webhook sends, whether it is active, paused or failing. "
    "Send `next` as `after`: it passes over nothing. Where nothing is there, the answer waits for the next one.",
)
def list_events(query: FeedQuery) -> Answered:
    webhook = _webhook(query.webhook)
    if webhook is None or query.after == NOW:
        place, wait = (feed.newest() if query.after in ("", NOW) else _place(query.after)), query.wait or 0
        found = feed.FeedRead([], place, is_all=True)
    else:
        found = feed.read(webhook.id, _place(query.after), query.limit)
        wait = query.wait if query.wait is not UNSET else LONGEST_WAIT if query.after else 0
    headers = {}
    if webhook and wait and found.is_all and not found.rows:
        headers = dict(waits.wait_for(webhook.id, found.next.number, wait))
    return Answered(FeedPage(_events(webhook, found.rows), _cursor(found.next)), headers=headers)


def _webhook(public_id: str) -> Webhook | None:
    """The webhook that is meant; None if there is none at all. 422 where one of several must be named."""
    caller = keys.caller()
    try:
        found = feed.webhooks_of(caller.account_id, caller.interfaces, public_id)
    except NotFound:
        words = "There is no webhook with this id."
        raise Problem(404, words, [Fault(words, parameter="webhook")]) from None
    if len(found) > 1:
        names = [f"{each.public_id} ({each.interface.name}, {each.label})" for each in found[: feed.MOST_SHOWN]]
        more = ", and others" if len(found) > feed.MOST_SHOWN else ""
        words = f"This key reaches several webhooks, so name one of them: {', '.join(names)}{more}."
        raise invalid([Fault(words, parameter="webhook")])
    return found[0] if found else None


def _events(webhook: Webhook | None, rows: Any) -> list[FeedEvent]:
    if webhook is None or not rows:
        return []
    sign, method, now = feed_headers.signature_of(webhook), shown_requests.method(webhook), time.time()
    return [_event(row, sign, method, webhook.url or "", now) for row in rows]


def _event(row: FeedRow, sign: feed_headers.Prove, method: str, url: str, now: float) -> FeedEvent:
    headers = message_headers(row.message_id, int(now), hops=row.hops, content_type=row.content_type)
    message = Message(method, url, headers, row.payload, row.message_id, int(now), int(now * 1000))
    if row.payload:
        message = sign(message)
    body = row.payload.decode() if row.payload else None
    kind = "lead.test" if row.test else "lead.created"
    return FeedEvent(row.message_id, kind, int(now), dict(message.headers), body)


def _cursor(place: Place) -> str:
    return cursors.encoded(f"{place.number}.{place.mark}.{place.at}")


def _place(cursor: str) -> Place:
    """The place that a cursor names; the beginning without one, 422 for what is no cursor of a feed."""
    if not cursor:
        return Place()
    parts = cursors.decoded(cursor).split(".")
    if len(parts) == 3 and all(each.isdecimal() and len(each) < 16 for each in (parts[0], parts[2])):
        return Place(int(parts[0]), parts[1], int(parts[2]))
    raise invalid([Fault("This is no cursor of a feed. Leave it out to begin with the oldest.", parameter="after")])
