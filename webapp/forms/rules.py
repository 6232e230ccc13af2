"""Validators that give the reason in a sentence, and replace the control's value by what the service will store."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import Field
from wtforms.validators import StopValidation

from webapp import text
from webapp.services.errors import Refused
from webapp.services.webhooks import webhooks


class SingleLine:
    """One line of text; see `webapp.text.line`. The error sentence begins with `what`."""

    def __init__(self, what: str, limit: int, required: bool = True) -> None:
        self.what, self.limit, self.required = what, limit, required
        self.field_flags: dict[str, Any] = {"maxlength": limit, **({"required": True} if required else {})}

    def __call__(self, form: FlaskForm, field: Field) -> None:
        try:
            field.data = text.line(field.data or "", self.what, self.limit, self.required)
        except ValueError as error:
            raise StopValidation(str(error)) from None


class MultipleLines:
    """Several lines of text; see `webapp.text.lines`. The error sentence begins with `what`."""

    def __init__(self, what: str, limit: int) -> None:
        self.what, self.limit = what, limit
        self.field_flags = {"maxlength": limit}

    def __call__(self, form: FlaskForm, field: Field) -> None:
        try:
            field.data = text.lines(field.data or "", self.what, self.limit)
        except ValueError as error:
            raise StopValidation(str(error)) from None


class NotEmpty:
    """Refuses an empty control with `sentence`. Does not strip spaces, because a password may begin with one."""

    field_flags = {"required": True}  # noqa: RUF012 - WTForms' own name

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence

    def __call__(self, form: FlaskForm, field: Field) -> None:
        if not field.data:
            raise StopValidation(self.sentence)


def addresses(form: FlaskForm, field: Field) -> None:
    """E-mail addresses, separated by commas."""
    try:
        text.addresses(field.data or "")
    except ValueError as error:
        raise StopValidation(str(error)) from None


def webhook_url(form: FlaskForm, field: Field) -> None:
    """A URL that a webhook can have, or nothing. Makes no DNS lookup."""
    field.data = (field.data or "").strip()
    fault = webhooks.fault(field.data) if field.data else None
    if fault:
        raise StopValidation(fault)


def add_refusal(form: FlaskForm, refusal: Refused) -> None:
    """Shows a service's refusal at the control it is about, or else at the top of the form."""
    control = form[refusal.field] if refusal.field and refusal.field in form else None
    if control is None:
        form.form_errors = [*form.form_errors, str(refusal)]
    else:
        control.errors = [*control.errors, str(refusal)]
