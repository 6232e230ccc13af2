"""The Privacy tab: which data of visitors is kept, and for how long."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, RadioField, SelectChoice, StringField
from wtforms.validators import ValidationError

from webapp.models import Interface, IpAddresses
from webapp.services.interfaces.privacy import MAX_DAYS

IP_ADDRESSES = [
    SelectChoice(IpAddresses.WHOLE.value, "Keep it"),
    SelectChoice(IpAddresses.CUT.value, "Keep its network"),
    SelectChoice(IpAddresses.NONE.value, "Do not keep it"),
]
DAYS = {"autocomplete": "off", "inputmode": "numeric", "maxlength": 5}


class PrivacyForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    ip_addresses = RadioField("IP address of visitors", choices=IP_ADDRESSES, validate_choice=False)
    retention_days = StringField("Delete leads after", render_kw=DAYS)
    anonymises = BooleanField("Anonymise once delivered")

    @classmethod
    def of(cls, interface: Interface) -> "PrivacyForm":
        """The form with the saved values, or with what was posted."""
        kept = interface.ip_addresses.value, interface.retention_days or "", interface.anonymises
        form: PrivacyForm = cls(data=dict(zip(("ip_addresses", "retention_days", "anonymises"), kept, strict=True)))
        return form

    def validate_ip_addresses(self, field: RadioField) -> None:
        if field.data not in set(IpAddresses):
            raise ValidationError("Choose one of these.")

    def validate_retention_days(self, field: StringField) -> None:
        days = (field.data or "").strip()
        field.data = days
        if days and not (days.isascii() and days.isdigit() and 1 <= int(days[:5]) <= MAX_DAYS and len(days) <= 4):
            raise ValidationError(f"Write a whole number of days, from 1 to {MAX_DAYS:,}, or leave it empty.")

    @property
    def days(self) -> int | None:
        return int(self.retention_days.data) if self.retention_days.data else None

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `privacy.update`."""
        how = IpAddresses(self.ip_addresses.data)
        return {"ip_addresses": how, "retention_days": self.days, "anonymises": bool(self.anonymises.data)}
