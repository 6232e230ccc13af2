"""The types of field: the name of each, the settings it has, and its sample answer in a test lead."""

import json
from typing import Any, NamedTuple

from webapp.models import Field, FieldType
from webapp.services.files import links
from webapp.services.interfaces import numbers

HALF, HELP, REQUIRED = "half", "help", "required"
_ASKED = frozenset({HALF, HELP, REQUIRED})
_TYPED = _ASKED | {"placeholder", "default", "autocomplete"}
FILE_SETTINGS = ("file_types", "file_count", "file_megabytes", "file_link_days")
_LIMITED = frozenset({"minimum", "maximum"})
_CHOSEN = _ASKED | {"options", "default"}


class FieldKind(NamedTuple):
    """A type of field. `settings` are the columns of Field that people can set, in addition to label and key; `sends`
    is shown to people."""

    name: str
    icon: str
    settings: frozenset[str]
    sends: str
    sample: object


KINDS = {
    FieldType.TEXT: FieldKind(
        "Text", "type", _TYPED | _LIMITED, "Text; empty text if there is no answer.", "Ada Lovelace"
    ),
    FieldType.EMAIL: FieldKind("Email", "mail", _TYPED, "Text: the address.", "ada@example.com"),
    FieldType.PHONE: FieldKind(
        "Phone",
        "phone",
        _TYPED,
        "Text: E.164, such as +442079460958, or +442079460958;ext=4 with an extension, if the number is valid and has "
        "the digits that were typed; otherwise the text as it was typed.",
        "+15550100",
    ),
    FieldType.LONG_TEXT: FieldKind(
        "Long text",
        "text-align-start",
        (_TYPED | _LIMITED) - {HALF, "autocomplete"},
        "Text; each line ends with \\n.",
        "This is a test lead, sent from Leadhook.",
    ),
    FieldType.SELECT: FieldKind("Select", "list", _CHOSEN, "Text: the option, word for word.", None),
    FieldType.RADIO: FieldKind("Radio", "circle-dashed", _CHOSEN, "Text: the option, word for word.", None),
    FieldType.CHECKBOXES: FieldKind(
        "Checkboxes", "list-checks", _CHOSEN, "A list of texts: the ticked options; [] if there are none.", None
    ),
    FieldType.NUMBER: FieldKind(
        "Number",
        "chart-column",
        (_TYPED | _LIMITED) - {"autocomplete"},
        "A number, whole or decimal; null if there is no answer.",
        12,
    ),
    FieldType.DATE: FieldKind(
        "Date",
        "clock",
        _ASKED | _LIMITED | {"default", "autocomplete"},
        "Text: a date such as 2027-03-31.",
        "2027-03-31",
    ),
    FieldType.URL: FieldKind("URL", "external-link", _TYPED, "Text: an http or https address.", "https://example.com/"),
    FieldType.FILE: FieldKind(
        "File",
        "inbox",
        frozenset({HELP, REQUIRED, *FILE_SETTINGS}),
        "A list of files, each with name, size (bytes), type and url; [] if there are none.",
        None,
    ),
    FieldType.HIDDEN: FieldKind("Hidden", "eye", frozenset({"default"}), "Text that visitors do not see.", "test"),
    FieldType.CONSENT: FieldKind(
        "Consent",
        "square-check-big",
        frozenset({"statement", REQUIRED, HELP}),
        "true or false; the wording is in data.consents.",
        True,
    ),
    FieldType.HEADING: FieldKind("Heading", "panel-top", frozenset({HELP}), "Nothing: it is not in the payload.", None),
}
# Common questions, ready-made. By the word in the address: the type, and the settings that a new field starts with.
PRESETS: dict[str, tuple[FieldType, dict[str, Any]]] = {
    slug: (kind, {"label": label, "key": key, "autocomplete": token, "half": True})
    for slug, kind, label, key, token in (
        ("first-name", FieldType.TEXT, "First name", "first_name", "given-name"),
        ("last-name", FieldType.TEXT, "Last name", "last_name", "family-name"),
        ("company", FieldType.TEXT, "Company", "company", "organization"),
        ("job-title", FieldType.TEXT, "Job title", "job_title", "organization-title"),
        ("website", FieldType.URL, "Website", "website", "url"),
        ("street", FieldType.TEXT, "Street address", "street_address", "street-address"),
        ("city", FieldType.TEXT, "City", "city", "address-level2"),
        ("postcode", FieldType.TEXT, "Postcode", "postcode", "postal-code"),
        ("country", FieldType.TEXT, "Country", "country", "country-name"),
    )
}
# What browsers fill in for a new field of a type. Without "tel", Chromium leaves out the country code.
FILLED_IN = {FieldType.EMAIL: "email", FieldType.PHONE: "tel"}
CHOICES = frozenset({FieldType.SELECT, FieldType.RADIO, FieldType.CHECKBOXES})
SENT = frozenset(FieldType) - {FieldType.HEADING}  # the types that are in the payload


def as_typed(field: Field) -> dict[str, Any]:
    """The settings of a field as a person types them: what services/interfaces/fields.py reads."""
    names = {"label", "key", *KINDS[field.type].settings}
    found = {name: getattr(field, name) for name in names}
    found |= {name: "\n".join(found[name] or []) for name in ("options", "file_types") if name in found}
    if field.type == FieldType.NUMBER:
        limits = {name: found[name] for name in ("default", "minimum", "maximum") if found[name]}
        found |= {name: numbers.written(each, field.interface.language) for name, each in limits.items()}
    return found


def sample(field: Field) -> object:
    """The field's answer in a test lead, in the same JSON type as a real answer."""
    if field.type in CHOICES:
        first = field.options[0]
        return [first] if field.type == FieldType.CHECKBOXES else first
    if field.type == FieldType.FILE:
        return [{"name": "sample.txt", "size": 71, "type": "text/plain", "url": links.address(links.SAMPLE)}]
    if field.type in (FieldType.NUMBER, FieldType.DATE, FieldType.HIDDEN):
        known = field.default or field.minimum or field.maximum
        return numbers.exact(known) if known and field.type == FieldType.NUMBER else known or KINDS[field.type].sample
    return KINDS[field.type].sample


def shown(value: object) -> str:
    """An answer as people read it: options and names of files joined with commas, Yes or No, a number unchanged; empty
    if it is None.

    Of undeclared answers also an object, as JSON, and a file that was not kept, by its name and size.
    """
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if isinstance(value, dict):
        return _shown_object(value)
    return "" if value is None else str(value)


def _shown_object(value: dict[str, Any]) -> str:
    if value.keys() == {"name", "size", "type", "url"}:  # a file
        return str(value["name"])
    if value.keys() == {"file", "size"} and isinstance(value["size"], int):
        size = "1 byte" if value["size"] == 1 else f"{value['size']:,} bytes"
        return f"{value['file']} ({size}, the file was not kept)"
    return json.dumps(value, ensure_ascii=False)
