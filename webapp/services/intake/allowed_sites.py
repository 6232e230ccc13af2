"""Whether a site may post to a form. Only forms with allowed sites ask."""

from collections.abc import Sequence


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
    scheme, _, host = site.partition("://")
    if not host.startswith("*."):
        return site == origin
    return origin.startswith(f"{scheme}://") and origin.endswith(host[1:]) and len(origin) > len(site) - 1
