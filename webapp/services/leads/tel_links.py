"""Links that dial a phone number: `tel:` addresses as RFC 3966 defines them."""

import phonenumbers

from webapp.services.intake import pasted


def tel_uri(value: str, country: str | None) -> str | None:
    """The link for a Phone answer; None for text that is not one number, and for a national number without `country`.

    tel:+12127365000;ext=4, and tel:030-12345;phone-context=+49 for a national number of the form's country (a code of
    ISO 3166): RFC 3966 has no national number without its context.
    """
    written = pasted.phone(value)
    if written is None:
        return None
    number, extension = "-".join(written.groups), f";ext={written.extension}" if written.extension else ""
    if written.has_plus:
        return f"tel:+{number}{extension}"
    code = phonenumbers.country_code_for_region(country) if country else 0
    if not code or number.replace("-", "").startswith("00"):  # 00 is an exit code
        return None
    return f"tel:{number}{extension};phone-context=+{code}"
