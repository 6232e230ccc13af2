"""Links that dial: RFC 3966."""

import re

import pytest

from webapp.services.leads.tel_links import tel_uri

# RFC 3966, section 3, as far as Leadhook uses it
GLOBAL = re.compile(r"tel:\+[0-9.()-]*[0-9][0-9.()-]*(;ext=[0-9.()-]+)?")
LOCAL = re.compile(r"tel:[0-9A-Fa-f*#.()-]*[0-9][0-9.()-]*(;ext=[0-9.()-]+)?;phone-context=\+[0-9]+")


@pytest.mark.parametrize(
    ("value", "country", "link"),
    [
        ("+12127365000", None, "tel:+12127365000"),
        ("030-12345", "DE", "tel:030-12345;phone-context=+49"),
        # Their neighbours
        ("+12127365000;ext=4", None, "tel:+12127365000;ext=4"),
        ("+12127365000;ext=4", "DE", "tel:+12127365000;ext=4"),
        ("+1 555 0100", None, "tel:+1-555-0100"),
        ("+15550100", "US", "tel:+15550100"),
        ("555 0100", "US", "tel:555-0100;phone-context=+1"),
        ("(02) 555 ext. 12", "IT", "tel:02-555;ext=12;phone-context=+39"),
        ("٠٣٠ ١٢٣", "DE", "tel:030-123;phone-context=+49"),
        ("020 7946 0958", "GB", "tel:020-7946-0958;phone-context=+44"),
    ],
)
def test_a_number_gets_a_link_with_its_plus_its_extension_or_its_country(
    value: str, country: str | None, link: str
) -> None:
    assert tel_uri(value, country) == link
    assert GLOBAL.fullmatch(link) or LOCAL.fullmatch(link)


@pytest.mark.parametrize(
    ("value", "country"),
    [
        ("030-12345", None),  # RFC 3966 has no national number without its context
        ("+49 30 123456 (ab 18h)", "DE"),
        ("030 12345 abends", "DE"),
        ("030 123456 / 030 123457", "DE"),
        ("0033612345678", "DE"),
        ("00 33 6", "US"),
        ("javascript:alert(1234)", "US"),
        ('+1"><script>', "US"),
        ("", "US"),
        ("030-12345", "ZZ"),
    ],
)
def test_text_that_cannot_be_dialled_gets_none(value: str, country: str | None) -> None:
    assert tel_uri(value, country) is None
