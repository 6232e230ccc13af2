"""The questions of an interface: add, change, move, remove, bring back.

Receivers know a field by its key, so a key must never change its meaning once a lead carries it. Every lead carries
every field of its form. So a field is carried as soon as one lead has arrived after the field was added. From then on
its key cannot change, and removing the field keeps its row: the key stays taken until the field is brought back. A
field that no lead carries can be changed and deleted freely.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from werkzeug.exceptions import NotFound

from webapp import text
from webapp.clock import utcnow
from webapp.extensions import db
from webapp.models import Field, FieldType, Interface, Lead
from webapp.services.errors import Refused, refusing
from webapp.services.interfaces import dates, file_settings, interfaces, numbers
from webapp.services.interfaces.field_types import CHOICES, FILLED_IN, KINDS
from webapp.webhooks.payload import TRACKED

MAX_FIELDS = 60
MAX_OPTIONS = 250
TEXTS = (FieldType.TEXT, FieldType.LONG_TEXT)
LONGEST = {FieldType.TEXT: 500, FieldType.LONG_TEXT: 20_000}  # characters
# What the form sends beside the answers, and what the CSV has columns for. "first_": see FIRST in visitor.py.
_FIRST = (f"first_{name}" for name in (*TRACKED, "at", "click_ids"))
RESERVED = frozenset({*TRACKED, *_FIRST, "ip", "user_agent", "csrf_token"})
AUTOCOMPLETE = {  # WHATWG's tokens, and what people call each
    "name": "Full name",
    "given-name": "First name",
    "family-name": "Last name",
    "email": "Email address",
    "tel": "Phone number",
    "organization": "Company",
    "organization-title": "Job title",
    "street-address": "Street address",
    "address-level2": "City",
    "postal-code": "Postcode",
    "country-name": "Country",
    "url": "Website",
    "bday": "Birthday",
    "off": "Nothing, ever",
}

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")


def get(interface: Interface, field_id: int) -> Field:
    """A field of the interface, including a removed one; NotFound for any other."""
    # Not with a SELECT: the id comes from an address and may be larger than the column can hold.
    found = next((field for field in (*interface.fields, *interface.removed_fields) if field.id == field_id), None)
    if found is None:
        raise NotFound
    return found


def carried(interface: Interface) -> set[int]:
    """The ids of the fields that at least one lead carries, and of all removed fields."""
    newest = select(Lead.received_at).where(Lead.interface_id == interface.id).order_by(Lead.id.desc()).limit(1)
    last = db.session.scalar(newest)
    fields = (*interface.fields, *interface.removed_fields)
    return {field.id for field in fields if field.removed_at or (last and last >= field.created_at)}


def add(interface: Interface, kind: FieldType, given: Mapping[str, Any]) -> Field:
    """Adds a question at the end; `given` holds its settings by column. Without a key, one is made from the label.

    Without `autocomplete`, browsers fill in what the type asks for; "" is nothing in particular.
    """
    _lock(interface)
    if len(interface.fields) >= MAX_FIELDS:
        raise Refused(f"A form can have at most {MAX_FIELDS} fields.")
    begins, position = {"autocomplete": FILLED_IN.get(kind, "")}, len(interface.fields) + 1
    field = Field(type=kind, position=position, **checked(kind, {**begins, **given}, interface.language))
    field.key = _new_key(interface, field, str(given.get("key") or "").strip())
    interface.fields.append(field)
    _changed(interface, "added", field)
    return field


def change(interface: Interface, field: Field, given: Mapping[str, Any]) -> Field:
    """Saves new settings; the type stays. Refused for a new key if leads carry the current one."""
    _lock(interface)
    settings = checked(field.type, given, interface.language)
    key = str(given.get("key") or "").strip() or field.key
    if key != field.key:
        if field.id in carried(interface):
            raise Refused(f"Leads carry the key “{field.key}”, so it stays.", "key")
        field.key = _free(interface, field, key)
    if settings.get("statement", field.statement) != field.statement:
        field.version += 1
    for name, value in settings.items():
        setattr(field, name, value)
    _changed(interface, "changed", field)
    return field


def move(interface: Interface, field: Field, up: bool) -> int:
    """Swaps the field with its neighbour, unless it is at that end already; returns its place, counted from 1."""
    _lock(interface)
    return put(interface, field, field.position - 1 if up else field.position + 1)


def put(interface: Interface, field: Field, place: int) -> int:
    """Moves the field to a place, counted from 1, or to the end that is nearest to it; returns its place then."""
    _lock(interface)
    order = list(interface.fields)
    if field not in order:
        raise NotFound
    order.remove(field)
    order.insert(min(max(place, 1), len(order) + 1) - 1, field)
    _number(order)
    _changed(interface, "moved", field)
    return order.index(field) + 1


def remove(interface: Interface, field: Field) -> bool:
    """Takes the field off the form. True if leads carry it: then its row is kept and it can be brought back."""
    _lock(interface)
    if field.removed_at:
        raise NotFound
    kept = field.id in carried(interface)
    if kept:
        field.removed_at = utcnow()
    else:
        db.session.delete(field)
    _number([other for other in interface.fields if other is not field])
    _changed(interface, "removed", field)
    return kept


def bring_back(interface: Interface, field: Field) -> Field:
    """Puts a removed field back at the end of the form, with the settings it had."""
    _lock(interface)
    if len(interface.fields) >= MAX_FIELDS:
        raise Refused(f"A form can have at most {MAX_FIELDS} fields.")
    if field.removed_at:
        field.removed_at, field.position = None, len(interface.fields) + 1
    _changed(interface, "brought back", field)
    return field


def draft(interface: Interface, kind: FieldType, given: Mapping[str, Any], of: Field | None) -> list[Field]:
    """The interface's fields for a preview, with `given` applied to the field `of`, or to a new one; saves nothing."""
    new = Field(type=kind, key=of.key if of else "new", version=1, **checked(kind, given, interface.language))
    return [new if field is of else field for field in interface.fields] + ([] if of else [new])


def checked(kind: FieldType, given: Mapping[str, Any], language: str = "en") -> dict[str, Any]:
    """The settings of a field of that type, validated; Refused with the name of the first that is wrong.

    `language`: of the form; numbers and dates are read in it, as those of visitors are.
    """
    offered = KINDS[kind].settings
    found: dict[str, Any] = {"label": _line("label", "The label", given, 200, required=True)}
    found |= {name: bool(given.get(name)) for name in ("required", "half") if name in offered}
    if "help" in offered:
        with refusing("help"):
            found["help"] = text.lines(str(given.get("help") or ""), "The help text", 500)
    if "placeholder" in offered:
        found["placeholder"] = _line("placeholder", "The placeholder", given, 200)
    if "autocomplete" in offered:
        found["autocomplete"] = token = str(given.get("autocomplete") or "")
        if token and token not in AUTOCOMPLETE:
            raise Refused("Choose what browsers fill in from the list.", "autocomplete")
    if "statement" in offered:
        with refusing("statement"):
            statement = str(given.get("statement") or "")
            found["statement"] = text.lines(statement, "What the visitor agrees to", 2000, required=True)
    if "options" in offered:
        found["options"] = _options(given)
    if "minimum" in offered:
        found |= _limits(kind, given, language)
    if "file_types" in offered:
        found |= file_settings.checked(given)
    if "default" in offered:
        found["default"] = _default(kind, given, found, language)
    return found


def _line(name: str, what: str, given: Mapping[str, Any], limit: int, required: bool = False) -> str:
    with refusing(name):
        return text.line(str(given.get(name) or ""), what, limit, required)


def _options(given: Mapping[str, Any]) -> list[str]:
    with refusing("options"):
        typed = text.lines(str(given.get("options") or ""), "The options", 20_000, required=True)
        options = [text.line(" ".join(line.split()), "An option", 200) for line in typed.splitlines() if line.strip()]
    doubled = {option for option in options if options.count(option) > 1}
    if doubled:
        raise Refused(f"“{min(doubled)}” is listed twice. List each option once.", "options")
    if len(options) > MAX_OPTIONS:
        raise Refused(f"You can list at most {MAX_OPTIONS} options; there are {len(options)}.", "options")
    return options


def _limits(kind: FieldType, given: Mapping[str, Any], language: str) -> dict[str, str]:
    typed = {name: str(given.get(name) or "").strip() for name in ("minimum", "maximum")}
    found = {name: _limit(kind, name, text, language) for name, text in typed.items()}
    least, most = found["minimum"], found["maximum"]
    in_order = least <= most if kind == FieldType.DATE else float(least or 0) <= float(most or 0)
    if least and most and not in_order:
        raise Refused(f"This is less than the minimum, {least}, so no answer could be right.", "maximum")
    return found


def _limit(kind: FieldType, name: str, typed: str, language: str) -> str:
    if not typed:
        return ""
    try:
        if kind == FieldType.DATE:
            return _likely_day(name, dates.read(typed, language))
        found = numbers.read(typed, language)
    except numbers.Unclear as unclear:
        raise Refused(f"This can mean {unclear.first} or {unclear.second}. Write one of them.", name) from None
    except ValueError:
        what = "a date, such as 2027-03-31" if kind == FieldType.DATE else "a number"
        raise Refused(f"This is not {what}.", name) from None
    if kind in TEXTS and not (isinstance(found, int) and 1 <= found <= LONGEST[kind]):
        raise Refused(f"Write a whole number of characters, from 1 to {LONGEST[kind]:,}.", name)
    return str(found)


def _likely_day(name: str, day: str, first: str = dates.OLDEST, last: str = dates.LAST) -> str:
    if not first <= day <= last:
        raise Refused(f"Write a day from {first} to {last}. The year has four digits.", name)
    return day


def _default(kind: FieldType, given: Mapping[str, Any], settings: Mapping[str, Any], language: str) -> str:
    typed = str(given.get("default") or "")
    with refusing("default"):
        if kind in (FieldType.LONG_TEXT, FieldType.CHECKBOXES):
            found = text.lines(typed, "What it begins with", 5000)
        else:
            found = text.line(typed, "What it begins with", 500, required=False)
    if kind in CHOICES and set(found.splitlines()) - set(settings["options"]):
        raise Refused("This is not one of the options. Write it exactly as in the options.", "default")
    if kind in (FieldType.NUMBER, FieldType.DATE):
        found = _limit(kind, "default", found, language)
    if kind == FieldType.DATE and found:
        limits = Field(minimum=settings["minimum"], maximum=settings["maximum"])
        return _likely_day("default", found, *dates.bounds(limits))
    return found


def _new_key(interface: Interface, field: Field, wanted: str) -> str:
    """The wanted key, or one made from the label. A heading sends nothing, so its key starts with _ and blocks no
    other."""
    if wanted and field.type != FieldType.HEADING:
        return _free(interface, field, wanted)
    plain = re.sub(r"[^a-z0-9]+", "_", field.label.lower()).strip("_")[:40].strip("_")
    stem = "_heading" if field.type == FieldType.HEADING else plain if _KEY.fullmatch(plain) else str(field.type)
    taken = _taken(interface, field) | RESERVED
    return next(key for key in (stem, *(f"{stem}_{number}" for number in range(2, 1000))) if key not in taken)


def _free(interface: Interface, field: Field, key: str) -> str:
    if not _KEY.fullmatch(key):
        raise Refused("Use only small letters, digits and _, at most 64 characters, beginning with a letter.", "key")
    if key in RESERVED:
        raise Refused(f"“{key}” is reserved: it says where the visitor came from. Choose another key.", "key")
    if key in {other.key for other in interface.removed_fields}:
        words = f"“{key}” is the key of a removed field, and leads carry it."
        raise Refused(f"{words} Bring that one back, or choose another key.", "key")
    if key in _taken(interface, field):
        raise Refused(f"Another field of this form has the key “{key}”.", "key")
    return key


def _taken(interface: Interface, field: Field) -> set[str]:
    return {other.key for other in (*interface.fields, *interface.removed_fields) if other is not field}


def _lock(interface: Interface) -> None:
    """Lets one transaction at a time change the form, and reads its fields again."""
    db.session.execute(select(Interface.id).where(Interface.id == interface.id).with_for_update())
    db.session.refresh(interface, ["fields", "removed_fields"])


def _number(order: list[Field]) -> None:
    for place, field in enumerate(order, start=1):
        field.position = place


def _changed(interface: Interface, action: str, field: Field) -> None:
    interfaces.record("changed", interface, f"Fields: {field.key} {action}")
    interface.updated_at = utcnow()
    db.session.flush()
    db.session.expire(interface, ["fields", "removed_fields"])
