"""A sender, a receiver on loopback, and the authority that the sender trusts. A file may have its own instead."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from tests.support.receiver import Receiver
from tests.support.tls import Authority
from webapp.webhooks.sender import Limits, Sender

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def sender(authority: Authority) -> Iterator[Sender]:
    sender = Sender(Limits(allowed_networks=LOOPBACK, ca_file=authority.ca_file))
    yield sender
    sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
