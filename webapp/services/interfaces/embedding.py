"""Which sites may show a form and post to it.

A site is an origin (https://example.com) or all subdomains of one (https://*.example.com). The port is part of it.
The same list fills the form's `frame-ancestors` and is compared with the Origin of a post. An empty list allows any
site, and pages without an address.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

from email_validator import EmailNotValidError, validate_email

from webapp import text
from webapp.clock import utcnow
from webapp.models import Interface
from webapp.services.errors import Refused
from webapp.services.interfaces import interfaces

MAX_SITES = 50
MAX_SENDERS = 500  # on a blocklist
EXAMPLE = "Write a site like this: https://example.com, or https://*.example.com for its subdomains."

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SITE = re.compile(rf"https?://(?:\*\.)?{_LABEL}(?:\.{_LABEL})*(?::[1-9][0-9]{{0,4}})?")  # the text goes into a policy


def update_sites(interface: Interface, typed: str) -> None:
    """Saves the sites in `typed`, one per line; Refused if one is not a site.

    A name without a scheme gets https. The address of a page is cut to its site.
    """
    interface.allowed_sites = sites(typed)
    interface.updated_at = utcnow()


def sites(typed: str) -> list[str]:
    """The sites in a text, in order and without duplicates; Refused for the first line that is not a site."""
    found = list(dict.fromkeys(_site(line) for line in typed.split()))
    if len(found) > MAX_SITES:
        raise Refused(f"You can list at most {MAX_SITES} sites; there are {len(found)}.", "allowed_sites")
    return found


def _site(typed: str) -> str:
    address = typed.lower() if "://" in typed else f"https://{typed.lower()}"
    scheme, _, rest = address.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    try:
        site = f"{scheme}://{_in_ascii(host)}"
    except ValueError:
        site = ""
    if not _SITE.fullmatch(site):
        raise Refused(f"“{typed[:80]}” is not a site. {EXAMPLE}", "allowed_sites")
    default_port = ":443" if scheme == "https" else ":80"
    return site.removesuffix(default_port)


def _in_ascii(host: str) -> str:
    """The host as browsers send it in Origin; it may begin with *. and end with a port."""
    star = "*." if host.startswith("*.") else ""
    name, colon, port = host.removeprefix(star).partition(":")
    return f"{star}{text.ascii_domain(name)}{colon}{port}"


def frame_ancestors(allowed: Sequence[str]) -> str:
    """The `frame-ancestors` directive, to add to a policy; empty if any site may show the form.

    Without the directive, because `*` means pages with a network address: not a file, a sandboxed page or srcdoc.
    What is no site, written into the database by something else, is left out: it could break the header.
    """
    return " ".join(["; frame-ancestors 'self'", *filter(_is_site, allowed)]) if allowed else ""


@lru_cache(1024)
def _is_site(text: str) -> bool:
    return _SITE.fullmatch(text) is not None


def update_blocklist(interface: Interface, typed: str, published: bool) -> None:
    """`typed` has one IP address, network, e-mail address or domain a line; Refused for anything else."""
    interface.blocklist, interface.blocklist_published = blocklist_entries(typed), published
    interface.updated_at = utcnow()


def change_blocklist(interface: Interface, add: Sequence[str], remove: Sequence[str], published: bool) -> None:
    """Adds entries at the end and takes others away; those that are already there, or not there, change nothing.

    Refused, at `add` or `remove`, for what is no entry, and for one too many.
    """
    gone = {*remove, *_entries(remove, "remove")}
    kept = [entry for entry in interface.blocklist or [] if not {entry, text.sender(entry)} & gone]
    found = list(dict.fromkeys([*kept, *_entries(add, "add")]))
    if len(found) > MAX_SENDERS:
        raise Refused(f"At most {MAX_SENDERS} senders can be listed; these are {len(found)}.", "add")
    interface.blocklist, interface.blocklist_published, interface.updated_at = found, published, utcnow()


def _entries(given: Sequence[str], name: str) -> list[str]:
    try:
        return blocklist_entries("\n".join(given))
    except Refused as refusal:
        raise Refused(str(refusal), name) from None


def blocklist_entries(typed: str) -> list[str]:
    """The entries of a text as they are compared, each once, in order; Refused with the first line that is none."""
    found = list(dict.fromkeys(_entry(line) for line in typed.split()))
    if len(found) > MAX_SENDERS:
        raise Refused(f"At most {MAX_SENDERS} senders can be listed; these are {len(found)}.", "blocklist")
    return found


def _entry(typed: str) -> str:
    """The entry in the form of `text.sender`; an IP address or network in its usual form."""
    word = typed.lower()
    try:
        return str(ip_network(word, strict=False)) if "/" in word else str(ip_address(word))
    except ValueError:
        pass
    is_address = "@" in typed.strip("@")
    try:
        address = typed if is_address else f"a@{typed.removeprefix('@').removeprefix('*.').rstrip('.')}"
        found = validate_email(address, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        words = "is no IP address, network, e-mail address or domain."
        raise Refused(f"“{typed[:80]}” {words} Write one per line.", "blocklist") from None
    return text.sender(found if is_address else found.removeprefix("a@"))


def update_prefills(interface: Interface, prefills: bool) -> None:
    """Saves whether the form's query may fill in answers, see services/intake/prefill.py."""
    interface.prefills, interface.updated_at = prefills, utcnow()


def record(interface: Interface) -> None:
    """Writes the change of the Embed tab into the audit log."""
    interfaces.record("changed", interface, "Embed")
