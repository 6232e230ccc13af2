"""What there is to ask: how each type of field is called, what can be set about it, and what a test lead answers."""

from typing import Any, NamedTuple

from webapp.models import FieldType

HALF, HELP, REQUIRED = "half", "help", "required"
_ASKED = frozenset({HALF, HELP, REQUIRED})
_TYPED = _ASKED | {"placeholder", "default", "autocomplete"}
_LIMITED = frozenset({"minimum", "maximum"})
_CHOSEN = _ASKED | {"options", "default"}


class Kind(NamedTuple):
    """`settings` are the columns of Field that can be set, beside label and key; `sends` is told to people."""

    name: str
    icon: str
    settings: frozenset[str]
    sends: str
    sample: object


KINDS = {
    FieldType.TEXT: Kind("Text", "type", _TYPED | _LIMITED, "Text; empty text where left empty.", "Ada Lovelace"),
    FieldType.EMAIL: Kind("Email", "mail", _TYPED, "Text: the address.", "ada@example.com"),
    FieldType.PHONE: Kind(
        "Phone",
        "phone",
        _TYPED,
        "Text: E.164, such as +442079460958, where the number is valid; else as it was typed.",
        "+15550100",
    ),
    FieldType.LONG_TEXT: Kind(
        "Long text",
        "text-align-start",
        (_TYPED | _LIMITED) - {HALF, "autocomplete"},
        "Text, lines ended by \\n.",
        "This is a test lead, sent from Leadhook.",
    ),
    FieldType.SELECT: Kind("Select", "list", _CHOSEN, "Text: the option, word for word.", None),
    FieldType.RADIO: Kind("Radio", "circle-dashed", _CHOSEN, "Text: the option, word for word.", None),
    FieldType.CHECKBOXES: Kind(
        "Checkboxes", "list-checks", _CHOSEN, "A list of texts: the options ticked, [] where none was.", None
    ),
    FieldType.NUMBER: Kind(
        "Number",
        "chart-column",
        (_TYPED | _LIMITED) - {"autocomplete"},
        "A number, whole or with a fraction; null where left empty.",
        12,
    ),
    FieldType.DATE: Kind(
        "Date",
        "clock",
        _ASKED | _LIMITED | {"default", "autocomplete"},
        "Text: the date as 2027-03-31.",
        "2027-03-31",
    ),
    FieldType.URL: Kind("URL", "external-link", _TYPED, "Text: an http or https address.", "https://example.com/"),
    FieldType.HIDDEN: Kind("Hidden", "eye", frozenset({"default"}), "Text that visitors do not see.", "test"),
    FieldType.CONSENT: Kind(
        "Consent",
        "square-check-big",
        frozenset({"statement", REQUIRED, HELP}),
        "true or false; the words stand in data.consents.",
        True,
    ),
    FieldType.HEADING: Kind("Heading", "panel-top", frozenset({HELP}), "Nothing: it is not among the fields.", None),
}
# What is asked so often that it comes ready-made: the word in an address, the type, and what such a field begins with.
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
CHOICES = frozenset({FieldType.SELECT, FieldType.RADIO, FieldType.CHECKBOXES})
SENT = frozenset(FieldType) - {FieldType.HEADING}  # what is in the payload


def sample(field: Any) -> object:
    """What a test lead answers to it, in the JSON type that a real one has."""
    if field.type in CHOICES:
        first = field.options[0]
        return [first] if field.type == FieldType.CHECKBOXES else first
    if field.type in (FieldType.NUMBER, FieldType.DATE, FieldType.HIDDEN):
        known = field.default or field.minimum or field.maximum
        return number(known) if known and field.type == FieldType.NUMBER else known or KINDS[field.type].sample
    return KINDS[field.type].sample


def number(text: str) -> int | float:
    """Digits, perhaps with a sign and a fraction, as JSON's number; ValueError for anything else."""
    whole = text.lstrip("+-").replace(".", "", 1)
    if not (whole.isascii() and whole.isdigit()) or len(whole) > 15:  # more digits would not survive in JSON
        raise ValueError(text)
    found = float(text)
    return int(found) if found.is_integer() else found


def shown(value: object) -> str:
    """An answer as people read it: options with commas, yes or no, a number as it is; empty for none."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
