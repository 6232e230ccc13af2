"""What is kept of an address: all of it, its network, or nothing."""

import pytest

from webapp.models import IpAddresses
from webapp.services.interfaces.privacy import kept_address


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
def test_what_is_kept_of_an_address(address: str | None, cut: str | None) -> None:
    assert kept_address(address, IpAddresses.CUT) == cut
    assert kept_address(address, IpAddresses.WHOLE) == address
    assert kept_address(address, IpAddresses.NONE) is None
