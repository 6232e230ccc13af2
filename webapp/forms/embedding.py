"""The settings of the Embed tab: which sites may show the form, and which senders count as spam."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, TextAreaField

from webapp.models import Interface

PLAIN = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class EmbeddingForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    allowed_sites = TextAreaField("Only these may show the form", render_kw={"rows": 3, "maxlength": 10_000, **PLAIN})
    blocklist = TextAreaField("Blocked senders", render_kw={"rows": 4, "maxlength": 50_000, **PLAIN})
    blocklist_published = BooleanField("Tell blocked senders")
    prefills = BooleanField("Let addresses fill in answers")

    @classmethod
    def of(cls, interface: Interface) -> "EmbeddingForm":
        lists = {name: "\n".join(getattr(interface, name) or []) for name in ("allowed_sites", "blocklist")}
        switches = {name: getattr(interface, name) for name in ("blocklist_published", "prefills")}
        form: EmbeddingForm = cls(data={**lists, **switches})
        return form
