"""Deliveries a second from a backlog, as Leadhook's workers make them."""

from typing import NamedTuple

from tests.bench.leadhook import Hook, Installation
from tests.bench.machine import cpu_seconds
from tests.bench.nginx import Nginx

WARM_UP = 40


class Rate(NamedTuple):
    """What one measurement found. The processor time is that of the senders alone: not the database's, nor nginx's."""

    per_second: float
    cpu_us: float  # for each delivery


def leadhook_rate(installation: Installation, nginx: Nginx, count: int, hooks: list[Hook]) -> Rate:
    """From the backlog's commit until nothing is due: rung as captures ring, every lead recorded, received once."""
    installation.settle()
    with installation.workers() as workers:
        warm, _ = installation.backlog(hooks, WARM_UP)
        installation.ring(hooks)
        installation.wait_until_delivered(timeout=30)
        before = nginx.received()
        ids, began = installation.backlog(hooks, count)
        used = cpu_seconds(workers.pid)
        installation.ring(hooks)
        took = installation.wait_until_delivered(timeout=120) - began
        used = cpu_seconds(workers.pid) - used
    check(installation, nginx, before, warm, ids)
    return Rate(count / took, used / count * 1e6)


def check(installation: Installation, nginx: Nginx, before: int, warm: range, ids: range) -> None:
    """Fails unless each lead after those of the warm-up was received once, and all are recorded."""
    received = nginx.received() - before
    assert received == len(ids), f"{received} requests for {len(ids)} leads"
    installation.check(warm)
    installation.check(ids)
