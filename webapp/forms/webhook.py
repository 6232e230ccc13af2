"""The forms of a webhook: add one, its own page, a new secret."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    BooleanField,
    DateTimeLocalField,
    FieldList,
    FormField,
    HiddenField,
    PasswordField,
    SelectChoice,
    SelectField,
    StringField,
    URLField,
)
from wtforms.validators import StopValidation, ValidationError

from webapp.forms import webhook_values as values
from webapp.forms.interface import AUTHENTICATION, AUTHENTICATION_CHOICES, PARALLEL_CHOICES
from webapp.forms.rules import SingleLine, webhook_url
from webapp.forms.webhook_parts import (
    PLAIN,
    MaskedLinesField,
    RuleForm,
    SecretAreaField,
    add_controls,
    formats,
    schemes,
)
from webapp.models import ApiKey, Authentication, Webhook
from webapp.services.webhooks.connections import Wanted
from webapp.services.webhooks.editing import FASTEST, WRONG_NUMBER, Plan
from webapp.services.webhooks.shown import Facts
from webapp.webhooks.conditions import MOST_RULES, KnownField
from webapp.webhooks.connectors import METHODS
from webapp.webhooks.settings import Setting
from webapp.webhooks.success_rules import SEARCHES, SuccessRule

URL = {"autocomplete": "off", "maxlength": 2048}
SPARE_RULES = 2  # empty rows below those of a condition
SEARCH_CHOICES = [SelectChoice(name, words) for name, words in SEARCHES.items()]
MATCH_CHOICES = [SelectChoice("all", "All of these hold"), SelectChoice("any", "One of these holds")]


def a_time(form: FlaskForm, field: DateTimeLocalField) -> None:
    """A date and a time, as browsers send them."""
    if field.data is None:
        field.errors = []
        raise StopValidation("Enter a date and a time, such as 2027-01-31T22:00.")


class NewWebhookForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    name = StringField("Name", [SingleLine("The name", 100)], render_kw={"autocomplete": "off"})
    webhook_url = URLField("Lead Webhook URL", [webhook_url], render_kw=URL)


class SecretForm(FlaskForm):  # type: ignore[misc]
    """A new secret for a webhook's signature; empty for one that Leadhook makes."""

    secret = SecretAreaField("New secret", render_kw={"rows": 2, **PLAIN})


class MaintenanceForm(FlaskForm):  # type: ignore[misc]
    """When leads are held, in UTC: a page without scripts does not know the time zone of its reader."""

    maintenance_from = DateTimeLocalField("From (UTC)", format="%Y-%m-%dT%H:%M", validators=[a_time])
    maintenance_until = DateTimeLocalField("Until (UTC)", format="%Y-%m-%dT%H:%M", validators=[a_time])

    @property
    def times(self) -> tuple[datetime, datetime]:
        """Both, with their time zone."""
        begins, ends = (self[name].data.replace(tzinfo=UTC) for name in ("maintenance_from", "maintenance_until"))
        return begins, ends


class WebhookForm(FlaskForm):  # type: ignore[misc]
    """All settings of a webhook. The controls of authentications and formats are added below."""

    name = StringField("Name", [SingleLine("The name", 100, required=False)], render_kw={"autocomplete": "off"})
    webhook_url = URLField("Lead Webhook URL", [webhook_url], render_kw=URL)
    method = SelectField("Method", choices=[SelectChoice(each, each) for each in METHODS], validate_choice=False)
    authentication = SelectField("Lead Webhook Authentication", default="none", validate_choice=False)
    shared_token = SelectField("Shared Token", validate_choice=False)
    custom_headers = MaskedLinesField("Custom headers", render_kw={"rows": 3, **PLAIN})
    certificate = SecretAreaField("Client certificate", render_kw={"rows": 3, **PLAIN})
    certificate_file = FileField("Or a file", render_kw={"accept": ".pem,.crt,.cer,.key,.p12,.pfx"})
    passphrase = PasswordField("Pass phrase of its key", render_kw=PLAIN)
    remove_certificate = BooleanField("Remove the client certificate")
    format = SelectField("Payload format", default="json", validate_choice=False)
    preset = HiddenField()
    match = SelectField("Send a lead if", choices=MATCH_CHOICES, validate_choice=False)
    condition = FieldList(FormField(RuleForm), "Condition", max_entries=MOST_RULES)
    codes = StringField("Codes that are a success", render_kw={"placeholder": "200-299", **PLAIN})
    header_name = StringField("Header", render_kw=PLAIN)
    header_is = SelectField("The header", choices=SEARCH_CHOICES, validate_choice=False)
    header = StringField("Text in the header", render_kw=PLAIN)
    body_is = SelectField("The answer’s body", choices=SEARCH_CHOICES, validate_choice=False)
    body = StringField("Text in the body", render_kw=PLAIN)
    give_up = StringField("Codes that are not tried again", render_kw={"placeholder": "403,404", **PLAIN})
    stops = HiddenField()
    drop_stops = BooleanField("Try again after these, too")
    automatic_retries = BooleanField("Automatic retries")
    parallel_requests = SelectField("Parallel requests", choices=PARALLEL_CHOICES, validate_choice=False)
    rate = StringField("Requests a second, at most", render_kw={"inputmode": "numeric", **PLAIN})
    is_shadow = BooleanField("Shadow webhook")

    @classmethod
    def of(
        cls,
        webhook: Webhook,
        tokens: Sequence[ApiKey],
        known: Mapping[str, KnownField],
        facts: Facts,
        more: Mapping[str, Any] | None = None,
    ) -> "WebhookForm":
        """The form with the saved values, or with what was posted. `known`: what a condition may name.

        `more`: values of a preset, which take the place of saved ones.
        """
        form: WebhookForm = cls(data={**values.saved(webhook, facts), **(more or {})})
        form.authentication.choices = [
            *AUTHENTICATION_CHOICES,
            *(SelectChoice(name, title) for name, title, _ in schemes()),
        ]
        form.format.choices = [SelectChoice(name, title) for name, title, _ in formats()]
        form.shared_token.choices = [SelectChoice(token.public_id, token.name) for token in tokens]
        if not form.is_submitted():
            for _ in range(min(SPARE_RULES, MOST_RULES - len(form.condition))):
                form.condition.append_entry()
        for row in form.condition:
            row.form.field.choices = values.fields(known, row.form.field.data)
        return form

    def settings(self, kind: str) -> list[tuple[str, str, list[tuple[Setting, Any]]]]:
        """For the template: of each scheme (`auth`) or format (`format`) its name, title, settings and controls."""
        declared = schemes() if kind == "auth" else formats()
        return [
            (name, title, [(setting, self[f"{kind}-{name}-{setting.name}"]) for setting in settings])
            for name, title, settings in declared
        ]

    def validate_method(self, field: SelectField) -> None:
        if field.data not in METHODS:
            raise ValidationError(f"The method must be one of {', '.join(METHODS)}.")

    def validate_authentication(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in field.choices}:
            raise ValidationError("Choose one of these.")

    def validate_format(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in field.choices}:
            raise ValidationError("Choose one of these.")

    def validate_parallel_requests(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in PARALLEL_CHOICES}:
            raise ValidationError(WRONG_NUMBER)

    def validate_rate(self, field: StringField) -> None:
        field.data = (field.data or "").strip()
        if field.data and not (field.data.isascii() and field.data.isdigit() and 0 < int(field.data[:4]) <= FASTEST):
            raise ValidationError(f"Enter a whole number from 1 to {FASTEST}, or leave it empty.")

    def validate_stops(self, field: HiddenField) -> None:
        try:
            json.loads(field.data or "[]")
        except (ValueError, RecursionError):
            raise ValidationError("The answers that stop the tries cannot be read. Load the page again.") from None

    @property
    def faults(self) -> list[str]:
        """Every error, with the name of its control."""
        own = {name: errors for name, errors in self.errors.items() if name is not None}
        named = [f"{self[name].label.text}: {error}" for name, errors in own.items() for error in values.flat(errors)]
        return [*self.form_errors, *named]

    @property
    def stop_words(self) -> list[str]:
        """For the template: the answers that stop the tries, in words."""
        try:
            return [stop.in_words() for stop in SuccessRule.of({"stops": json.loads(self.stops.data or "[]")}).stops]
        except (ValueError, RecursionError):  # WrongSetting is one, too; the form says so
            return []

    @property
    def plan(self) -> Plan:
        """What the form says, for services/webhooks/editing.py. Ask once: it reads the posted file."""
        automatic = self.parallel_requests.data == "automatic"
        return Plan(
            self.webhook_url.data or None,
            self.name.data or "",
            self.shared_token.data,
            automatic_retries=self.automatic_retries.data,
            parallel_requests=None if automatic else int(self.parallel_requests.data),
            rate=int(self.rate.data) if self.rate.data else None,
            is_shadow=self.is_shadow.data,
            wanted=self._wanted,
        )

    @property
    def _wanted(self) -> Wanted:
        chosen = AUTHENTICATION.get(self.authentication.data) or Authentication(self.authentication.data)
        own = {setting: values.lines(control.data) for setting, control in self._of("auth", self.authentication.data)}
        stored = {
            **{setting.name: values.lines(control.data) for setting, control in self._of("format", self.format.data)},
            "method": self.method.data,
            "format": self.format.data,
            "preset": self.preset.data,
            "condition": self._condition,
            "success": self._success,
        }
        return Wanted(
            chosen,
            stored,
            options={setting.name: value for setting, value in own.items() if not setting.secret},
            secrets={setting.name: value for setting, value in own.items() if setting.secret},
            custom_headers=self.custom_headers.data or "",
            certificate=self._certificate,
            passphrase=self.passphrase.data or "",
        )

    def _of(self, kind: str, chosen: str) -> list[tuple[Setting, Any]]:
        return next((settings for name, _, settings in self.settings(kind) if name == chosen), [])

    @property
    def _certificate(self) -> bytes | None:
        if self.remove_certificate.data:
            return b""
        posted = b""
        if file := self.certificate_file.data:
            file.seek(0)  # it may have been read before
            posted = file.read()
        return posted or (self.certificate.data or "").encode() or None

    @property
    def _condition(self) -> dict[str, Any] | None:
        rows = [row.form for row in self.condition if row.form.field.data]
        rules = [{"field": row.field.data, "is": row.comparison.data, "value": row.value.data or ""} for row in rows]
        return {"match": self.match.data or "all", "rules": rules} if rules else None

    @property
    def _success(self) -> dict[str, Any] | None:
        header_name, header, body = ((self[name].data or "").strip() for name in ("header_name", "header", "body"))
        codes = (self.codes.data or "").strip()
        rule = {
            "codes": "" if codes == "200-299" else codes,
            "header": {"name": header_name, "is": self.header_is.data, "text": header} if header_name or header else {},
            "body": {"is": self.body_is.data, "text": body} if body else {},
            "give_up": (self.give_up.data or "").strip(),
            "stops": [] if self.drop_stops.data else json.loads(self.stops.data or "[]"),
        }
        return {key: value for key, value in rule.items() if value} or None


add_controls(WebhookForm, "auth", schemes())
add_controls(WebhookForm, "format", formats())
