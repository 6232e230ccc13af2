"""Whether a site may post to a form. Only forms with allowed sites ask."""

import re
from collections.abc import Sequence

# An origin as browsers write it, in lower case: scheme, host, and the port unless it is the usual one. Other programs
# can send any text, and all of it must be looked at: the end of a path can look like the end of a host.
_ORIGIN = re.compile(r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])((?::[0-9]{1,5})?)")


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
    scheme, star, rest = site.partition("://*.")
    if not star:
        return site == origin
    found, (name, colon, port) = _ORIGIN.fullmatch(origin), rest.partition(":")
    if found is None:
        return False
    return found.group(1, 3) == (scheme, colon + port) and found[2].endswith(f".{name}")
