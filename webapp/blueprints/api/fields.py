"""Fields of an interface: add, change, move, take off the form, bring back. Each answers with the interface."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from werkzeug.exceptions import NotFound

from webapp.blueprints.api import interfaces
from webapp.blueprints.api.interfaces import EXAMPLE, InterfaceResource
from webapp.blueprints.api.shapes import Nothing
from webapp.db.transactions import transaction
from webapp.models import Field, FieldType, Interface, Scope
from webapp.services.errors import Refused
from webapp.services.interfaces import fields
from webapp.services.interfaces.field_types import KINDS, as_typed
from webapp.web.api import changes
from webapp.web.api.operations import BASE, Answered, operation

PLACE = Annotated[int, Meta(ge=1, description="Its place on the form, counted from 1.")]


class FieldChanges(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is."""

    label: str | UnsetType = UNSET
    key: Annotated[str, Meta(description="Its name in a lead’s fields; it stays once a lead has it.")] | UnsetType = (
        UNSET
    )
    required: bool | UnsetType = UNSET
    help: str | UnsetType = UNSET
    placeholder: str | UnsetType = UNSET
    options: Annotated[list[str], Meta(description="Of select, radio and checkboxes.")] | UnsetType = UNSET
    default: Annotated[str, Meta(description="What it begins with.")] | UnsetType = UNSET
    half: bool | UnsetType = UNSET
    minimum: str | UnsetType = UNSET
    maximum: str | UnsetType = UNSET
    autocomplete: Annotated[str, Meta(description=f"{', '.join(fields.AUTOCOMPLETE)}.")] | UnsetType = UNSET
    statement: str | UnsetType = UNSET
    file_types: list[str] | UnsetType = UNSET
    file_count: int | UnsetType = UNSET
    file_megabytes: int | UnsetType = UNSET
    file_link_days: int | UnsetType | None = UNSET
    position: PLACE | UnsetType = UNSET


class NewField(FieldChanges, kw_only=True):
    type: Annotated[str, Meta(description=f"{', '.join(FieldType)}.")]
    label: str


COMMON: dict[str, Any] = {
    "tag": interfaces.TAG,
    "scope": Scope.WRITE,
    "answer": InterfaceResource,
    "example": EXAMPLE,
    "headers": changes.IF_MATCH,
}


@operation(
    "POST",
    "/interfaces/<interface_id>/fields",
    "Add a field",
    body=NewField,
    sends={"type": "select", "label": "Budget", "options": ["Up to 5,000", "More"], "required": True},
    status=201,
    about="At the end, unless a place is named. Without a key, one is made from the label.",
    **COMMON,
)
def add_field(interface_id: str, body: NewField) -> Answered:
    if body.type not in set(FieldType):
        raise Refused(f"There are these types: {', '.join(FieldType)}.", "type")
    kind = FieldType(body.type)
    with transaction():
        interface = _unchanged(interface_id)
        field = fields.add(interface, kind, _given(body, kind))
        if body.position is not UNSET:
            fields.put(interface, field, body.position)
        made = interfaces.resource(interface)
    return Answered(made, headers={"Location": f"{BASE}/interfaces/{made.id}"})


@operation(
    "PATCH",
    "/interfaces/<interface_id>/fields/<field_key>",
    "Change a field",
    body=FieldChanges,
    sends={"label": "Your budget", "position": 1},
    about="Its type stays.",
    **COMMON,
)
def change_field(interface_id: str, field_key: str, body: FieldChanges) -> InterfaceResource:
    with transaction():
        interface = _unchanged(interface_id)
        field = _field(interface, field_key)
        if given := _given(body, field.type):
            fields.change(interface, field, {**as_typed(field), **given})
        if body.position is not UNSET:
            fields.put(interface, field, body.position)
        return interfaces.resource(interface)


@operation(
    "DELETE",
    "/interfaces/<interface_id>/fields/<field_key>",
    "Take a field off the form",
    about="If leads have it, its key stays taken, and it can be brought back.",
    **COMMON,
)
def remove_field(interface_id: str, field_key: str) -> InterfaceResource:
    with transaction():
        interface = _unchanged(interface_id)
        fields.remove(interface, _field(interface, field_key))
        return interfaces.resource(interface)


@operation(
    "POST",
    "/interfaces/<interface_id>/fields/<field_key>/bring-back",
    "Bring a field back",
    body=Nothing,
    sends={},
    about="At the end, with the settings that it had. Nothing changes for one that is on the form.",
    **COMMON,
)
def bring_field_back(interface_id: str, field_key: str, body: Nothing) -> InterfaceResource:
    with transaction():
        interface = _unchanged(interface_id)
        if all(field.key != field_key for field in interface.fields):
            removed = (field for field in interface.removed_fields if field.key == field_key)
            fields.bring_back(interface, _first(removed))
        return interfaces.resource(interface)


def _unchanged(public_id: str) -> Interface:
    """The interface, locked; 412 where If-Match names another state of it."""
    interface = interfaces.one(public_id, lock=True)
    changes.check(interfaces.resource(interface))
    return interface


def _field(interface: Interface, key: str) -> Field:
    return _first(field for field in interface.fields if field.key == key)


def _first(found: Any) -> Field:
    field: Field | None = next(found, None)
    if field is None:
        raise NotFound
    return field


def _given(body: FieldChanges, kind: FieldType) -> Mapping[str, Any]:
    """What was sent, as a person types it. Refused for a setting that this type of field does not have."""
    names = [name for name in body.__struct_fields__ if name not in ("type", "position")]
    given = {name: value for name in names if (value := getattr(body, name)) is not UNSET}
    known = {"label", "key", *KINDS[kind].settings} - ({"key"} if kind == FieldType.HEADING else set())
    if unknown := next((name for name in given if name not in known), None):
        raise Refused(f"A field of the type {kind} has no {unknown}. It has: {', '.join(sorted(known))}.", unknown)
    return {name: "\n".join(value) if isinstance(value, list) else value for name, value in given.items()}
