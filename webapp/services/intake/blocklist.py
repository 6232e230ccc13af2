"""Whether a sender is on a form's list of blocked senders. Only forms with such a list ask."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from webapp import text
from webapp.models import Field, FieldType, Interface

_ADDRESS = re.compile(r"[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+")


def is_listed(interface: Interface, answers: Mapping[str, Any], ip: str | None) -> bool:
    senders = {text.sender(address) for address in _addresses(interface.fields, answers)}
    domains = {sender.rpartition("@")[2] for sender in senders}
    # Also the entries: those stored before they were brought into this form.
    listed = {text.sender(entry) for entry in interface.blocklist or [] if entry}
    return any(entry in senders or _has_domain(domains, entry) or _has_address(entry, ip) for entry in listed)


def _addresses(fields: Sequence[Field], answers: Mapping[str, Any]) -> list[str]:
    """What the visitor gave as an e-mail address. Only a form without Email fields asks for it in a line of text."""
    by_type: dict[FieldType, list[str]] = {FieldType.EMAIL: [], FieldType.TEXT: []}
    for field in fields:
        if field.type in by_type:
            by_type[field.type].append(str(answers.get(field.key) or ""))
    asked = by_type[FieldType.EMAIL] or by_type[FieldType.TEXT]
    return [answer for answer in asked if _ADDRESS.fullmatch(answer)]


def _has_domain(domains: set[str], entry: str) -> bool:
    """Whether one of the domains is the entry or a subdomain of it."""
    return any(domain == entry or domain.endswith(f".{entry}") for domain in domains)


def _has_address(entry: str, ip: str | None) -> bool:
    try:
        address, network = ip_address(ip or ""), ip_network(entry)
    except ValueError:  # a unix socket has no address; a domain is not a network
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in network
