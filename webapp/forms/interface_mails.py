"""The E-mail tab: the texts of a lead's mails."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, StringField, TextAreaField

from webapp.models import Interface
from webapp.services.interfaces.interface_mails import MAX_BODY, MAX_SUBJECT, Words

SUBJECT = {"autocomplete": "off", "maxlength": MAX_SUBJECT}
BODY = {"rows": 8, "maxlength": MAX_BODY}


class InterfaceMailsForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """The service validates the texts, because it knows the fields of the form."""

    notification_subject = StringField("Subject of the notification", render_kw=SUBJECT)
    notification_body = TextAreaField("Text of the notification", render_kw=BODY)
    autoresponds = BooleanField("Answer visitors by e-mail")
    autoresponse_subject = StringField("Subject of the answer", render_kw=SUBJECT)
    autoresponse_body = TextAreaField("Text of the answer", render_kw=BODY)
    autoresponse_reply_to = StringField("Replies go to", render_kw={"autocomplete": "off", "maxlength": 320})

    @classmethod
    def of(cls, interface: Interface) -> "InterfaceMailsForm":
        """The form with the saved values, or with what was posted."""
        form: InterfaceMailsForm = cls(data=Words.of(interface)._asdict())
        return form

    @property
    def words(self) -> Words:
        return Words(**{name: self[name].data or Words._field_defaults[name] for name in Words._fields})
