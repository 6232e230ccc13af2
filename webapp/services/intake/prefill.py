"""Answers that the address of a form brings with it, such as ?name=Ada&email=ada@example.com.

They are shown as if the visitor had typed them: cleaned and cut, and judged only when the form is sent. A consent is
never given by an address. Hidden fields read the query with or without this, see answers.py.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from webapp.models import Field, FieldType
from webapp.services.intake.answers import Answer, LeadForm, clean, longest
from webapp.services.interfaces.field_types import CHOICES

NEVER = frozenset({FieldType.CONSENT, FieldType.HIDDEN, FieldType.HEADING})


def fill(form: LeadForm, query: Mapping[str, Sequence[str]]) -> None:
    """Puts the query's values (all of each name) into the controls of an empty form; empty ones change nothing."""
    for answer in form.answers:
        if answer.field.type not in NEVER and any(sent := query.get(answer.key, ())):
            _fill(answer, sent)


def _fill(answer: Answer, sent: Sequence[str]) -> None:
    field = answer.field
    if field.type == FieldType.CHECKBOXES:
        answer.ticked = _ticked(field, sent) or answer.ticked
        return
    value = clean(sent[-1][: 2 * longest(field)], multiline=field.type == FieldType.LONG_TEXT)[: longest(field)]
    if _can_show(field, value):
        answer.value = value


def _can_show(field: Field, value: str) -> bool:
    """Whether the control can show the value: a list shows its options only, a date picker only days."""
    if field.type in CHOICES:
        return value in (field.options or [])
    if field.type == FieldType.DATE:
        try:
            return date.fromisoformat(value).isoformat() == value
        except ValueError:
            return False
    return bool(value)


def _ticked(field: Field, sent: Sequence[str]) -> list[str]:
    """The options among the values: the name repeated, or one value with commas."""
    options = field.options or []
    wanted = {clean(each) for each in sent} | {clean(part) for each in sent for part in each.split(",")}
    return [option for option in options if option in wanted]
