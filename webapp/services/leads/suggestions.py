"""Fields that the answers of an interface's leads suggest: names that are sent, and that no field asks for.

One click adds the field and moves the answers of those leads into it. The new field refuses nothing that posts go on
sending under that name. An answer that a field of another kind does not accept stays undeclared. What a receiver was
sent already, or waits to be sent, stays as it is.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from webapp.extensions import db
from webapp.models import Field, FieldType, Interface, Lead
from webapp.services.errors import Refused
from webapp.services.intake import undeclared
from webapp.services.intake.answers import LeadForm, clean, rules_of
from webapp.services.intake.rules import CUT, JsonNumber, Rules
from webapp.services.intake.visitor import who
from webapp.services.interfaces import fields, interfaces
from webapp.services.interfaces.field_types import PRESETS

# Types whose answers are more than a value: what was agreed to, and files.
UNFIT = frozenset({FieldType.CONSENT, FieldType.HEADING, FieldType.FILE})
LOOKED_AT = 1000  # leads with undeclared answers, the newest
SHOWN = 8  # suggestions, the most frequent
SHORT = 200  # characters, the most that fit a Text field's one line

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARTS = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Suggestion(NamedTuple):
    """A name that leads sent: how many of those looked at, and the field for it.

    `field` is a new one with `label` and `key`; or, if it has an id, one of the interface's, on the form or removed.
    `fits` is False where no field can take the answers: objects.
    """

    name: str
    times: int
    field: Field
    fits: bool

    @property
    def is_new(self) -> bool:
        return self.field.id is None


def of(interface: Interface) -> list[Suggestion]:
    """The suggestions, the most frequent first. Tests and spam do not count."""
    found = _values(interface)
    names = sorted(found, key=lambda name: (-len(found[name]), name))
    return [_suggestion(interface, name, found[name]) for name in names[:SHOWN]]


def accept(interface: Interface, name: str) -> tuple[Field, list[int]]:
    """Adds the field for a name, or brings a removed one back; returns it, and the leads to fill it from, newest first.

    Refused if no lead that is looked at sent the name, or the form can have no such field.
    """
    values = _values(interface).get(name)
    chosen = _suggestion(interface, name, values) if values else None
    if not (values and chosen and chosen.fits):
        raise Refused("No lead has such an answer any more. Perhaps the field was just added.")
    field = chosen.field
    if chosen.is_new:
        given = {"label": field.label, "key": field.key, "half": True, "autocomplete": field.autocomplete}
        field = fields.add(interface, field.type, given)
        field.sent_as = name
    elif field.removed_at:
        fields.bring_back(interface, field)
    db.session.flush()
    return field, list(values)


def fill(interface: Interface, field: Field, name: str, ids: Sequence[int]) -> int:
    """Moves the answers of that name from these leads' undeclared ones into the field; returns of how many leads.

    The field then counts as one that leads carry, as if it had been there when the oldest of them came.
    """
    wanted = select(Lead).where(Lead.id.in_(ids), Lead.interface_id == interface.id, Lead.undeclared.is_not(None))
    rules, moved = rules_of(interface), 0
    for lead in db.session.scalars(wanted.order_by(Lead.id).with_for_update()):
        if _move(lead, field, name, rules):
            _recognise(lead, interface)
            moved += 1
            field.created_at = min(field.created_at, lead.received_at)
    db.session.flush()
    return moved


def record(interface: Interface, field: Field, moved: int) -> None:
    """Writes into the audit log how many leads a field was filled from."""
    number = "1 lead" if moved == 1 else f"{moved:,} leads"
    interfaces.record("changed", interface, f"Fields: {field.key} filled from undeclared answers of {number}")


def _values(interface: Interface) -> dict[str, dict[int, Any]]:
    """The answers by name and by the lead's id, of the newest leads that have undeclared ones."""
    newest = select(Lead.id, Lead.undeclared, Lead.test, Lead.spam).where(
        Lead.interface_id == interface.id, Lead.undeclared.is_not(None)
    )
    found: dict[str, dict[int, Any]] = defaultdict(dict)
    for row in db.session.execute(newest.order_by(Lead.id.desc()).limit(LOOKED_AT)):
        if row.test or row.spam is not None:
            continue
        for name, value in undeclared.answers(row.undeclared).items():
            found[name][row.id] = value
    return dict(found)


def _suggestion(interface: Interface, name: str, values: Mapping[int, Any]) -> Suggestion:
    both = (*interface.fields, *interface.removed_fields)
    if mine := next((field for field in both if name in (field.key, field.sent_as)), None):
        return Suggestion(name, len(values), mine, fits=mine.type not in UNFIT)
    kind = _kind(values.values())
    taken = {field.key for field in both} | fields.RESERVED
    key = next(key for key in _keys(name) if key not in taken)
    field = Field(type=kind or FieldType.TEXT, key=key, label=_label(name))
    field.autocomplete = _autocomplete(key) if kind == FieldType.TEXT else ""
    return Suggestion(name, len(values), field, fits=kind is not None)


def _keys(name: str) -> Iterator[str]:
    """Keys for the name, the best first: the name itself, or one made from it."""
    if _KEY.fullmatch(name):
        yield name
    words = "_".join(_PARTS.findall(_CAMEL.sub(" ", name))).lower()[:56].strip("_")
    stem = words if _KEY.fullmatch(words) else "answer"
    yield stem
    yield from (f"{stem}_{number}" for number in range(2, 2000))


def _label(name: str) -> str:
    words = " ".join(_PARTS.findall(_CAMEL.sub(" ", name)))
    return clean(words[:1].upper() + words[1:] if words else name)[:200]


def _autocomplete(key: str) -> str:
    begins = (settings for _, settings in PRESETS.values())
    return next((str(each["autocomplete"]) for each in begins if each["key"] == key), "")


def _kind(values: Collection[Any]) -> FieldType | None:
    """Text or Long text; None if one of the answers is an object.

    Every other type would refuse visitors who were accepted before: an address that is no URL, an option that no lead
    had yet. And such a field takes everything that comes, see `answers`.
    """
    if any(isinstance(value, dict) for value in values):
        return None
    parts = (part for value in values for part in (value if isinstance(value, list) else (value,)))
    is_long = any(isinstance(part, str) and ("\n" in part or len(part) > SHORT) for part in parts)
    return FieldType.LONG_TEXT if is_long else FieldType.TEXT


def _move(lead: Lead, field: Field, name: str, rules: Rules) -> bool:
    """Whether the answer is in the field now: the field accepts it, and the lead has no other answer to it."""
    kept = dict(lead.undeclared or {})
    if name not in undeclared.answers(kept) or lead.fields.get(field.key):
        return False
    value = kept.pop(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    form = LeadForm([field], {field.key: JsonNumber(value) if is_number else value}, rules=rules)
    if form.errors:
        return False
    lead.fields = {**lead.fields, **form.values}
    lead.typed = {**(lead.typed or {}), **form.typed} or None
    lead.marks = {**(lead.marks or {}), **form.marks} or None
    if name in kept.get(undeclared.CUT, ()):
        kept[undeclared.CUT] = [other for other in kept[undeclared.CUT] if other != name]
        lead.marks = {**(lead.marks or {}), field.key: CUT}
    lead.undeclared = {key: one for key, one in kept.items() if one != []} or None
    return True


def _recognise(lead: Lead, interface: Interface) -> None:
    """What a new lead with these answers would be found by, where this one has nothing yet."""
    name, email, visitor = who(interface.fields, lead.fields)
    lead.name = lead.name or name
    if email and not lead.email:
        lead.email, lead.visitor = email, visitor
    lead.visitor = lead.visitor or visitor
