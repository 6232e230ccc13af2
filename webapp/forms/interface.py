"""The forms of an interface: create it, its General tab, its texts, its Lead Generation tab."""

from collections.abc import Sequence
from typing import Any

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    BooleanField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
    URLField,
)
from wtforms.validators import ValidationError

from webapp.countries import COUNTRIES
from webapp.forms.rules import MultipleLines, SingleLine, addresses, webhook_url
from webapp.models import ApiKey, Authentication, Corners, Interface, Scheme
from webapp.services.interfaces import after_submit, form_texts, interface_templates
from webapp.services.webhooks.editing import MAX_PARALLEL_REQUESTS, WRONG_NUMBER
from webapp.webhooks.authentications import schemes

# app.css uses these values to show the Shared Token only when signature verification is chosen.
AUTHENTICATION = {"none": Authentication.NONE, "shared": Authentication.SHARED_TOKEN}
CHOICE = {value: name for name, value in AUTHENTICATION.items()}
AUTHENTICATION_CHOICES = [
    SelectChoice("none", "None"),
    SelectChoice("shared", "Signature Verification (Shared Token)"),
]
PARALLEL_CHOICES = [SelectChoice("automatic", "Automatic"), SelectChoice("1", "1, in order")] + [
    SelectChoice(str(number), str(number)) for number in range(2, MAX_PARALLEL_REQUESTS + 1)
]
# app.css uses these values to show only the control of the chosen one.
AFTER = [SelectChoice("message", "Show a message"), SelectChoice("page", "Go to a page")]
SCHEMES = [
    SelectChoice(Scheme.AUTO.value, "Automatic"),
    SelectChoice(Scheme.LIGHT.value, "Light"),
    SelectChoice(Scheme.DARK.value, "Dark"),
]
CORNERS = [SelectChoice(each.value, each.value.capitalize()) for each in Corners]
COUNTRY_CHOICES = [SelectChoice("", "None: numbers need a country code")] + [
    SelectChoice(code, name) for code, name in COUNTRIES.items()
]
SAVED = ("name", "introduction", "thank_you", "language", "accent", "scheme", "corners")


class NewInterfaceForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    template = RadioField(
        "Begin with",
        choices=[SelectChoice(each.slug, each.title) for each in interface_templates.ALL.values()],
        default=interface_templates.CONTACT.slug,
        validate_choice=False,
    )
    name = StringField("Name", [SingleLine("The name", 200)], render_kw={"autocomplete": "off"})

    def validate_template(self, field: RadioField) -> None:
        if field.data not in interface_templates.ALL:
            raise ValidationError("Choose what the form begins with.")


class GeneralForm(FlaskForm):  # type: ignore[misc]
    """What visitors read, and how the form looks. Fields that are not posted stay unchanged."""

    name = StringField("Name", [SingleLine("The name", 200)], render_kw={"autocomplete": "off"})
    introduction = TextAreaField("Introduction", [MultipleLines("The introduction", 1000)], render_kw={"rows": 2})
    after = RadioField("After submit", choices=AFTER, default="message", validate_choice=False)
    thank_you = TextAreaField(
        "Thank-you message", [MultipleLines("The thank-you message", 1000)], render_kw={"rows": 2}
    )
    redirect_url = URLField("Page to go to", render_kw={"autocomplete": "off", "maxlength": 2048})
    language = StringField("Language", render_kw={"autocomplete": "off", "maxlength": 35})
    country = SelectField("Country of phone numbers", choices=COUNTRY_CHOICES, validate_choice=False)
    accent = StringField("Accent colour", render_kw={"type": "color"})
    scheme = RadioField("Light or dark", choices=SCHEMES, validate_choice=False)
    corners = RadioField("Corners", choices=CORNERS, validate_choice=False)
    logo = FileField("Logo", render_kw={"accept": "image/png,image/jpeg,image/webp,image/svg+xml"})
    remove_logo = BooleanField("Remove the logo")

    @classmethod
    def of(cls, interface: Interface) -> "GeneralForm":
        form: GeneralForm = cls(data={name: getattr(interface, name, None) for name in SAVED} | _after(interface))
        if not form.is_submitted() and interface.redirect_url and (fault := after_submit.fault(interface.redirect_url)):
            form.redirect_url.errors = [f"{fault} Until this is right, visitors get the thank-you message."]
        return form

    def validate_redirect_url(self, field: URLField) -> None:
        field.data = (field.data or "").strip()
        if self.after.data == "page" and not field.data.startswith("https://"):
            raise ValidationError("Enter the address of your page. It must begin with https://")

    def validate_scheme(self, field: RadioField) -> None:
        if field.data not in set(Scheme):
            raise ValidationError("Choose one of these.")

    def validate_corners(self, field: RadioField) -> None:
        if field.data not in set(Corners):
            raise ValidationError("Choose one of these.")

    @property
    def words(self) -> dict[str, Any]:
        """The arguments of `interfaces.update_general`."""
        names = ("name", "introduction", "thank_you", "language", "country")
        found = {name: self[name].data or "" for name in names}
        return {**found, "redirect_url": self.redirect_url.data if self.after.data == "page" else None}

    @property
    def look(self) -> dict[str, Any]:
        """The arguments of `interfaces.update_look`."""
        accent, scheme, corners = self.accent.data or "", Scheme(self.scheme.data), Corners(self.corners.data)
        return {"accent": accent.strip(), "scheme": scheme, "corners": corners}


def _after(interface: Interface) -> dict[str, Any]:
    url = interface.redirect_url
    return {"after": "page" if url else "message", "redirect_url": url or "", "country": interface.country or ""}


class TextsForm(FlaskForm):  # type: ignore[misc]
    """One control for each text of the form (form_texts.py); the controls are added below."""

    @classmethod
    def of(cls, interface: Interface) -> "TextsForm":
        form: TextsForm = cls(data=form_texts.of(interface))
        return form


for _text in form_texts.ALL:
    _kind = TextAreaField if _text.lines else StringField
    setattr(TextsForm, _text.name, _kind(_text.title, render_kw={"autocomplete": "off", "maxlength": form_texts.LIMIT}))


class LeadGenerationForm(FlaskForm):  # type: ignore[misc]
    """The form for one account: `tokens` are the Shared Tokens it can choose from."""

    webhook_url = URLField("Lead Webhook URL", [webhook_url], render_kw={"autocomplete": "off", "maxlength": 2048})
    authentication = SelectField(
        "Lead Webhook Authentication", choices=AUTHENTICATION_CHOICES, default="none", validate_choice=False
    )
    shared_token = SelectField("Shared Token", validate_choice=False)
    sends_undeclared = BooleanField("Send undeclared answers too")
    automatic_retries = BooleanField("Automatic retries")
    parallel_requests = SelectField("Parallel requests", choices=PARALLEL_CHOICES, validate_choice=False)
    notification_emails = StringField("Lead Notification Email", [addresses], render_kw={"autocomplete": "off"})
    report_emails = StringField("Error reports also to", [addresses], render_kw={"autocomplete": "off"})

    def __init__(self, *args: Any, tokens: Sequence[ApiKey], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared_token.choices = [SelectChoice(token.public_id, token.name) for token in tokens]

    @classmethod
    def of(cls, interface: Interface, tokens: Sequence[ApiKey]) -> "LeadGenerationForm":
        """The form with the saved values, or with what was posted."""
        webhook = interface.webhook
        form: LeadGenerationForm = cls(
            tokens=tokens,
            webhook_url=webhook.url or "",
            authentication=CHOICE.get(webhook.authentication, webhook.authentication.value),
            shared_token=webhook.shared_token.public_id if webhook.shared_token else None,
            sends_undeclared=interface.sends_undeclared,
            automatic_retries=webhook.automatic_retries,
            parallel_requests="automatic" if webhook.is_automatic else str(webhook.parallel_requests),
            notification_emails=", ".join(interface.notification_emails),
            report_emails=", ".join(interface.report_emails),
        )
        if scheme := schemes.SCHEMES.get(webhook.authentication):
            kept = SelectChoice(webhook.authentication.value, f"{scheme.TITLE}, set on the webhook’s page")
            form.authentication.choices = [*AUTHENTICATION_CHOICES, kept]
        return form

    def validate_authentication(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in field.choices}:
            raise ValidationError("Choose None or Signature Verification (Shared Token).")

    def validate_shared_token(self, field: SelectField) -> None:
        """`choices` has the account's valid tokens. The service checks again, under a lock."""
        if self.authentication.data != "shared":
            return
        if not field.data:
            raise ValidationError("A signature needs a Shared Token: choose one, or make one with New.")
        if field.data not in {choice.value for choice in field.choices}:
            raise ValidationError("This Shared Token does not exist any more. Choose another.")

    def validate_parallel_requests(self, field: SelectField) -> None:
        if field.data not in {choice.value for choice in PARALLEL_CHOICES}:
            raise ValidationError(WRONG_NUMBER)

    @property
    def chosen(self) -> Authentication:
        """The authentication; one that is not of this form is the webhook's as it is."""
        return AUTHENTICATION.get(self.authentication.data) or Authentication(self.authentication.data)

    @property
    def parallel(self) -> int | None:
        """The argument of `interfaces.update_lead_generation`."""
        return None if self.parallel_requests.data == "automatic" else int(self.parallel_requests.data)
