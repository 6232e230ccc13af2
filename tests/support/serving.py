"""The job that serves rung lanes, in this process: what it does at once, without waiting for another ring."""

from collections.abc import Callable

import pytest

from webapp.delivery import serving
from webapp.delivery.rings import FAST, queues
from webapp.extensions import db


def serve(stopping: Callable[[], bool] = lambda: False) -> None:
    """Serves what is rung now."""
    db.session.rollback()  # a transaction of the test's would lock it out on SQLite
    queues.redis.delete("leadhook:rung:serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "WAITS", 0.01)
        serving.serve(stopping)


def rung() -> list[int]:
    """The lanes that are rung."""
    return [int(lane) for lane in queues.redis.zrange("leadhook:rung-lanes", 0, -1)]  # type: ignore[union-attr]


def drains(queue: str = FAST) -> list[str]:
    """The jobs that wait in a queue for one lane each."""
    return [job for job in queues.get(queue).get_job_ids() if not job.startswith("serve-")]
