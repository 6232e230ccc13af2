"""An interface: a new one, its General tab, its Lead Generation tab."""

from collections.abc import Sequence
from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, SelectChoice, SelectField, StringField, TextAreaField, URLField
from wtforms.validators import ValidationError

from webapp.forms.rules import Line, Lines, addresses, webhook_url
from webapp.models import ApiKey, Authentication, Interface

# The values are those app.css looks for, to show the Shared Token only when a signature is asked for.
AUTHENTICATION = {"none": Authentication.NONE, "shared": Authentication.SHARED_TOKEN}
AUTHENTICATION_CHOICES = [
    SelectChoice("none", "None"),
    SelectChoice("shared", "Signature Verification (Shared Token)"),
]
MAX_PARALLEL_REQUESTS = 16


class NewInterfaceForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    name = StringField("Name", [Line("The name", 200)], render_kw={"autocomplete": "off"})


class GeneralForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", [Line("The name", 200)], render_kw={"autocomplete": "off"})
    introduction = TextAreaField("Introduction", [Lines("The introduction", 1000)], render_kw={"rows": 2})
    thank_you = TextAreaField("Thank-you message", [Lines("The thank-you message", 1000)])


class LeadGenerationForm(FlaskForm):  # type: ignore[misc]
    """Built for one account: `tokens` are the Shared Tokens it may choose from."""

    webhook_url = URLField("Lead Webhook URL", [webhook_url], render_kw={"autocomplete": "off", "maxlength": 2048})
    authentication = SelectField(
        "Lead Webhook Authentication", choices=AUTHENTICATION_CHOICES, default="none", validate_choice=False
    )
    shared_token = SelectField("Shared Token", validate_choice=False)
    automatic_retries = BooleanField("Automatic retries")
    parallel_requests = IntegerField("Parallel requests", default=1)
    notification_emails = StringField("Lead Notification Email", [addresses], render_kw={"autocomplete": "off"})
    report_emails = StringField("Error reports also to", [addresses], render_kw={"autocomplete": "off"})

    def __init__(self, *args: Any, tokens: Sequence[ApiKey], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared_token.choices = [SelectChoice(token.public_id, token.name) for token in tokens]

    @classmethod
    def of(cls, interface: Interface, tokens: Sequence[ApiKey]) -> "LeadGenerationForm":
        """The form with what is saved, or with what was posted."""
        webhook = interface.webhook
        signs = webhook.authentication == Authentication.SHARED_TOKEN
        form: LeadGenerationForm = cls(
            tokens=tokens,
            webhook_url=webhook.url or "",
            authentication="shared" if signs else "none",
            shared_token=webhook.shared_token.public_id if webhook.shared_token else None,
            automatic_retries=webhook.automatic_retries,
            parallel_requests=webhook.parallel_requests,
            notification_emails=", ".join(interface.notification_emails),
            report_emails=", ".join(interface.report_emails),
        )
        return form

    def validate_authentication(self, field: SelectField) -> None:
        if field.data not in AUTHENTICATION:
            raise ValidationError("Choose None or Signature Verification (Shared Token).")

    def validate_shared_token(self, field: SelectField) -> None:
        """Whether it is the account's and live is known by `choices`; the service looks again, under a lock."""
        if self.authentication.data != "shared":
            return
        if not field.data:
            raise ValidationError("A signature needs a Shared Token: choose one, or make one with New.")
        if field.data not in {choice.value for choice in field.choices}:
            raise ValidationError("This Shared Token does not exist any more. Choose another.")

    def validate_parallel_requests(self, field: IntegerField) -> None:
        if field.data is None or not 1 <= field.data <= MAX_PARALLEL_REQUESTS:
            field.errors = []
            raise ValidationError(f"Parallel requests is a whole number from 1 to {MAX_PARALLEL_REQUESTS}.")
