"""E-mail addresses and phone numbers: cleaned of what people paste with them (pasted.py), then judged."""

import re
from collections.abc import Iterator

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from phonenumbers import CountryCodeSource, PhoneMetadata, PhoneNumberFormat

from webapp.models import Field
from webapp.services.intake import pasted
from webapp.services.intake.pasted import Written
from webapp.services.intake.rules import UNPARSED, Read, Rules

MOST_DIGITS = 15  # of an international number, without its extension: ITU-T E.164

# Addresses that email_validator accepts and leaves as they are, so it need not be asked. Most are of this kind.
_PLAIN_ADDRESS = re.compile(
    r"(?=[^@]{1,64}@[^@]{1,63}\Z)[a-z0-9_]+(?:[.+-][a-z0-9_]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]+"
    + "".join(f"(?<![.@]{re.escape(name)})" for name in SPECIAL_USE_DOMAIN_NAMES)
)
_PLAIN = re.compile(r"(\+?)([0-9](?:[ .-]?[0-9])*)")
_A_NUMBER = re.compile(r"\d(?:[\W_]*\d){3}")  # four digits with no letter between them
_NO_NUMBER = re.compile(r"\d{25}")
# All exit codes of the world that begin with 00 and are longer. A country code follows, as after 00.
_LONGER_EXIT = re.compile(
    "00(?:[0-9]|1[0-9]|2[1235]|3[01]|4[13]|5[059]|65|73|99|3[46]5|391|4[14]4|456|700|727|755|76[126])"
)


def email(field: Field, typed: str, rules: Rules) -> Read:
    """The address, normalised. Characters that cannot be seen and what was pasted around it are cut off."""
    if _PLAIN_ADDRESS.fullmatch(typed):
        return Read(typed)
    text = typed if typed.isascii() else pasted.visible(typed)
    for cleaned in (str, pasted.address):
        try:
            return Read(str(validate_email(cleaned(text), check_deliverability=False).normalized))
        except EmailNotValidError:
            continue
    name, at, domain = text.partition("@")
    incomplete = "email_dot" if name and domain and "." not in domain else "email"
    raise rules.invalid(incomplete if at else "email_at", field)


def phone(field: Field, typed: str, rules: Rules) -> Read:
    """E.164, with ;ext= for an extension, where the number is valid and has exactly the digits that were typed.

    Only country code, exit code and national prefix may be added or left out. Any other text with a number in it is
    kept as typed and UNPARSED, because a remark may be what matters; a text without a number is refused.
    """
    plain = _PLAIN.fullmatch(typed)
    written = Written(bool(plain[1]), tuple(re.findall("[0-9]+", plain[2]))) if plain else pasted.phone(typed)
    number = written and _international(written, rules.country)
    if written and number:
        return Read(f"{number};ext={written.extension}" if written.extension else number)
    if not _A_NUMBER.search(typed) or _NO_NUMBER.search(typed):
        raise rules.invalid("phone", field)
    return Read(typed, UNPARSED)


def _international(written: Written, country: str | None) -> str | None:
    """The only valid number that can be meant, in E.164; None if there is none, or more than one."""
    digits = "".join(written.groups)
    if written.has_plus:
        return _valid(digits, None)[0]
    number, exit_code = _valid(digits, country) if country else (None, "")
    if number and exit_code in ("00", written.groups[0]):
        return number
    meant = {number, *(_valid(rest, None)[0] for rest in _without_exit_code(written, bool(exit_code)))} - {None}
    if country and digits.startswith(str(phonenumbers.country_code_for_region(country))):
        meant |= {_valid(digits, None)[0]} - {None}  # the + was forgotten
    return meant.pop() if len(meant) == 1 else None


def _without_exit_code(written: Written, is_known: bool) -> Iterator[str]:
    """What follows the exit code in every way in which a text that begins with 00 can be read.

    In most countries 00 is the exit code. Elsewhere it is longer: 001 65 in Hong Kong is +65. So a longer one counts
    too, unless the form's country has said which it is, or the typed groups say that it is not: 0049 151.
    """
    groups = written.groups
    digits = "".join(groups)
    if not digits.startswith("00"):
        return
    yield digits[2:]
    for length in (3, 4, 5) if not is_known else ():
        if _LONGER_EXIT.fullmatch(digits[:length]) and (len(groups) == 1 or len(groups[0]) == length):
            yield digits[length:]


def _valid(digits: str, country: str | None) -> tuple[str | None, str]:
    """The number in E.164 that the digits mean in a country, or without one after a +; None unless it has them all.

    And the exit code that it was typed with, which may be empty.
    """
    try:
        number = phonenumbers.parse(digits if country else f"+{digits}", country, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None, ""
    if not _is_valid(number):
        return None, ""
    source, code = number.country_code_source, str(number.country_code)
    exit_code = _exit_code(digits, country) if country and source == CountryCodeSource.FROM_NUMBER_WITH_IDD else ""
    before = exit_code + ("" if source == CountryCodeSource.FROM_DEFAULT_COUNTRY else code)
    significant = phonenumbers.national_significant_number(number)
    if len(code + significant) > MOST_DIGITS:
        return None, ""
    if digits != before + significant and not _has_prefix(digits, before, significant, number):
        return None, ""
    return f"+{code}{significant}", exit_code


def _is_valid(number: phonenumbers.PhoneNumber) -> bool:
    """As phonenumbers.is_valid_number, which finds out twice what kind of number it is: once to find its region, once
    within that region. Most numbers are valid in the first region of their country code."""
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    return phonenumbers.is_valid_number_for_region(number, region) or phonenumbers.is_valid_number(number)


def _has_prefix(digits: str, before: str, significant: str, number: phonenumbers.PhoneNumber) -> bool:
    """Whether only a national prefix was left out; or the digits are the number as its country writes it.

    The second is for Argentina's mobile numbers: 011 15-2345-6789 is +54 9 11 2345-6789. Other prefixes choose a
    carrier, make a collect call or add an area code, so they say more than the number does.
    """
    if digits.startswith(before) and digits.endswith(significant) and not number.preferred_domestic_carrier_code:
        prefix = digits[len(before) : len(digits) - len(significant)]
        region = phonenumbers.region_code_for_country_code(number.country_code or 0)
        if len(prefix) == 1 or prefix == phonenumbers.ndd_prefix_for_region(region, True):
            return True
    if before:
        return False
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    return str(phonenumbers.normalize_digits_only(national)) == digits


def _exit_code(digits: str, country: str) -> str:
    """The exit code of the country that the digits begin with."""
    metadata = PhoneMetadata.metadata_for_region(country)
    found = re.match(metadata.international_prefix or "", digits) if metadata else None
    return found[0] if found else ""
