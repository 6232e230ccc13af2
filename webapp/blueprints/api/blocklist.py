"""Blocked senders of an interface's form: read, add, take away. The same list as on its Embed tab."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from webapp.blueprints.api import interfaces
from webapp.db.transactions import transaction
from webapp.models import Interface, Scope
from webapp.services.interfaces import embedding
from webapp.web.api import changes
from webapp.web.api.operations import operation

KINDS = "IP addresses, networks such as 203.0.113.0/24, e-mail addresses and domains"


class BlocklistResource(msgspec.Struct):
    senders: Annotated[list[str], Meta(description=f"{KINDS}.")]
    told: Annotated[bool, Meta(description="Whether a blocked sender is told; else the lead is kept in Spam.")]


class BlocklistChanges(msgspec.Struct, forbid_unknown_fields=True):
    add: Annotated[list[str], Meta(description=f"{KINDS}; one that is there already is no error.")] = []
    remove: Annotated[list[str], Meta(description="One that is not there is no error.")] = []
    told: bool | UnsetType = UNSET


EXAMPLE: dict[str, Any] = {"senders": ["spam@example.com", "203.0.113.0/24"], "told": False}
COMMON: dict[str, Any] = {"tag": "Blocked senders", "answer": BlocklistResource, "example": EXAMPLE}


@operation("GET", "/interfaces/<interface_id>/blocklist", "Get the blocked senders", scope=Scope.READ, **COMMON)
def get_blocklist(interface_id: str) -> BlocklistResource:
    return _resource(interfaces.one(interface_id))


@operation(
    "PATCH",
    "/interfaces/<interface_id>/blocklist",
    "Add and take away blocked senders",
    scope=Scope.WRITE,
    body=BlocklistChanges,
    sends={"add": ["spam@example.com"], "remove": ["example.org"]},
    headers=changes.IF_MATCH,
    **COMMON,
)
def change_blocklist(interface_id: str, body: BlocklistChanges) -> BlocklistResource:
    with transaction():
        interface = interfaces.one(interface_id, lock=True)
        changes.check(_resource(interface))
        told = interface.blocklist_published if body.told is UNSET else body.told
        embedding.change_blocklist(interface, body.add, body.remove, told)
        embedding.record(interface)
        return _resource(interface)


def _resource(interface: Interface) -> BlocklistResource:
    return BlocklistResource(list(interface.blocklist or []), interface.blocklist_published)
