"""Which sites may show a form and post to it.

A site is an origin, https://example.com, or all subdomains of one, https://*.example.com; ports count. The same list is
the form's `frame-ancestors` and what the Origin of a post is held against. An empty list means any site.
"""

import re
from collections.abc import Sequence

from webapp.clock import utcnow
from webapp.models import Interface
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces

MOST = 50
EXAMPLE = "Write a site like this: https://example.com, or https://*.example.com for its subdomains."

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SITE = re.compile(rf"https?://(?:\*\.)?{_LABEL}(?:\.{_LABEL})*(?::[1-9][0-9]{{0,4}})?")  # it goes into a policy


def update_sites(interface: Interface, typed: str) -> None:
    """`typed` has one site a line; a name alone is meant with https, a page is cut to its site. Refused otherwise."""
    interface.allowed_sites = sites(typed)
    interface.updated_at = utcnow()


def sites(typed: str) -> list[str]:
    """The sites of a text, each once, in order; Refused with the first line that is none."""
    found = list(dict.fromkeys(_site(line) for line in typed.split()))
    if len(found) > MOST:
        raise Refused(f"At most {MOST} sites can be listed; these are {len(found)}.", "allowed_sites")
    return found


def _site(typed: str) -> str:
    address = typed.lower() if "://" in typed else f"https://{typed.lower()}"
    scheme, _, rest = address.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    try:
        site = f"{scheme}://{host if host.isascii() else host.encode('idna').decode()}"
    except UnicodeError:
        site = ""
    if not _SITE.fullmatch(site):
        raise Refused(f"“{typed[:80]}” is not a site. {EXAMPLE}", "allowed_sites")
    default_port = ":443" if scheme == "https" else ":80"
    return site.removesuffix(default_port)


def frame_ancestors(allowed: Sequence[str]) -> str:
    """The value of the directive."""
    return " ".join(["'self'", *allowed]) if allowed else "*"


def may_post(allowed: Sequence[str], origin: str | None, own: Sequence[str]) -> bool:
    """Whether a post with this Origin is taken. One without it comes from no browser; `own` are our own addresses."""
    if not allowed or origin is None or origin in own:
        return True
    return any(_matches(site, origin.lower()) for site in allowed)


def _matches(site: str, origin: str) -> bool:
    scheme, _, host = site.partition("://")
    if not host.startswith("*."):
        return site == origin
    return origin.startswith(f"{scheme}://") and origin.endswith(host[1:]) and len(origin) > len(site) - 1


def record(interface: Interface) -> None:
    interfaces.record("changed", interface, "Embed")
