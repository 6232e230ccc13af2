"""E-mail addresses and phone numbers: cleaned of what people paste with them, then judged."""

import re
import unicodedata

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from webapp.models import Field
from webapp.services.intake.rules import UNPARSED, Read, Rules

_PHONE = re.compile(r"[+\d\s().,/–-]{3,}(?:\s*(?:ext|x|#|\*|,|;)\.?\s*\d{1,8})?", re.IGNORECASE)


def email(field: Field, typed: str, rules: Rules) -> Read:
    try:
        return Read(str(validate_email(typed, check_deliverability=False).normalized))
    except EmailNotValidError:
        name, at, domain = typed.partition("@")
        incomplete = "email_dot" if name and domain and "." not in domain else "email"
        raise rules.invalid(incomplete if at else "email_at", field) from None


def phone(field: Field, typed: str, rules: Rules) -> Read:
    """E.164 where the number is valid, alone or in the form's country; as typed where it only looks like a number."""
    international = f"+{typed[2:]}" if typed.startswith("00") else typed
    try:
        number = phonenumbers.parse(international, rules.country)
        if phonenumbers.is_valid_number(number) and not number.extension:  # E.164 would lose the extension
            return Read(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    except phonenumbers.NumberParseException:
        pass  # a national number whose country is not known: only its shape can be checked
    digits = sum(unicodedata.category(character) == "Nd" for character in typed)
    if not _PHONE.fullmatch(typed) or not 4 <= digits <= 24:
        raise rules.invalid("phone", field)
    return Read(typed, UNPARSED)
