"""Stands in."""

from datetime import datetime
from typing import NamedTuple


class Parsed(NamedTuple):
    pem: str
    until: datetime


def parse(data: bytes, passphrase: str = "") -> Parsed:
    raise NotImplementedError
