"""How much of an IP address is stored: all of it, its network, or nothing."""

import pytest

from webapp.models import IpAddresses
from webapp.services.intake.visitor import kept_address


@pytest.mark.parametrize(
    ("address", "cut"),
    [
        ("203.0.113.7", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.7", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("not an address", None),
        (None, None),
    ],
)
def test_how_much_of_an_address_is_stored(address: str | None, cut: str | None) -> None:
    assert kept_address(address, IpAddresses.CUT) == cut
    assert kept_address(address, IpAddresses.WHOLE) == address
    assert kept_address(address, IpAddresses.NONE) is None
