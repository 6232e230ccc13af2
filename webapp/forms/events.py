"""The form of an account's events: their URL, their token, and which are sent."""

from collections.abc import Sequence

from flask_wtf import FlaskForm
from wtforms import SelectChoice, SelectField, SelectMultipleField, URLField
from wtforms.validators import ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from webapp.forms.rules import webhook_url
from webapp.models import ApiKey, Webhook
from webapp.services.webhooks.operational import WORDS, EventPlan


class EventsForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    webhook_url = URLField("URL for events", [webhook_url], render_kw={"autocomplete": "off", "maxlength": 2048})
    shared_token = SelectField("Shared Token", validate_choice=False)
    events = SelectMultipleField(
        "Events",
        choices=[SelectChoice(event, words) for event, words in WORDS.items()],
        option_widget=CheckboxInput(),
        widget=ListWidget(prefix_label=False),
        validate_choice=False,
    )

    @classmethod
    def of(cls, webhook: Webhook | None, tokens: Sequence[ApiKey]) -> "EventsForm":
        """The form with the saved values, or with what was posted."""
        token = webhook.shared_token if webhook else None
        wanted = (webhook.connection or {}).get("events", WORDS) if webhook else WORDS
        form: EventsForm = cls(
            webhook_url=(webhook.url if webhook else None) or "",
            shared_token=token.public_id if token else "",
            events=list(wanted),
        )
        names = [SelectChoice(each.public_id, each.name) for each in tokens]
        form.shared_token.choices = [SelectChoice("", "None: events are not signed"), *names]
        return form

    def validate_webhook_url(self, field: URLField) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Enter the URL, or press Remove.")

    def validate_events(self, field: SelectMultipleField) -> None:
        if not set(field.data or ()) & set(WORDS):
            raise ValidationError("Choose one event at least.")

    @property
    def plan(self) -> EventPlan:
        """The argument of `operational.save`."""
        return EventPlan(self.webhook_url.data, self.shared_token.data or None, tuple(self.events.data))
