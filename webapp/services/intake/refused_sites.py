"""Sites where a form was refused, because they are not among its allowed sites: a hint for the Embed tab.

In Redis, because a hint may be lost: the newest sites of a form, for a month. Their visitors are not recorded. A page
that hides its address (Referrer-Policy: no-referrer) is not known.
"""

import re
import time
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from webapp.delivery.rings import queues
from webapp.models import Interface
from webapp.services.intake import allowed_sites

MOST = 10  # sites of a form
KEPT = 30 * 86_400  # seconds
_SITE = re.compile(r"https?://[a-z0-9.\[\]:-]{1,253}")


def note(interface: Interface, address: str | None, own: tuple[str, ...]) -> None:
    """Notes the site of a page's address, if the form's allowed sites refuse it. Without Redis it is not noted."""
    site = _site(address)
    if not site or allowed_sites.may_post(interface.allowed_sites or (), site, own) or queues.resting:
        return
    key = _key(interface)
    try:
        with queues.redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(key, {site: time.time()})
            pipeline.zremrangebyrank(key, 0, -MOST - 1)
            pipeline.expire(key, KEPT)
            pipeline.execute()
    except RedisError as error:
        queues.failed(error)


def listed(interface: Interface) -> list[tuple[str, datetime]]:
    """The sites that would be refused now, and when each was refused last, newest first; empty without Redis."""
    if not interface.allowed_sites or queues.resting:
        return []
    try:
        found = cast(list[tuple[bytes, float]], queues.redis.zrevrange(_key(interface), 0, -1, withscores=True))
    except RedisError as error:
        queues.failed(error)
        return []
    sites = [(name.decode(), datetime.fromtimestamp(at, UTC)) for name, at in found if at > time.time() - KEPT]
    return [(site, at) for site, at in sites if not allowed_sites.may_post(interface.allowed_sites, site, ())]


def _site(address: str | None) -> str | None:
    try:
        parts = urlsplit((address or "").lower())
    except ValueError:  # an opening bracket without a closing one
        return None
    site = f"{parts.scheme}://{parts.netloc}"
    return site if _SITE.fullmatch(site) else None


def _key(interface: Interface) -> str:
    return f"leadhook:refused:{interface.public_id}"
