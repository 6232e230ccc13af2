"""The short form, once on each database. `make soak` is the long one."""

import os
import secrets
from pathlib import Path

import pytest

from tests.conftest import ON_POSTGRESQL
from tests.fault.run import SHORT, Run
from tests.fault.world import running_world


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_lead_is_lost_and_none_is_sent_twice_whatever_fails(tmp_path: Path) -> None:
    """FAULT_SEED repeats a run; pytest shows the seed of one that failed."""
    database = "postgresql" if ON_POSTGRESQL else "sqlite"
    seed = os.environ.get("FAULT_SEED") or str(secrets.randbelow(1_000_000))
    print(f"FAULT_SEED={seed} on {database}; what the processes said is in {tmp_path / 'log'}")
    with running_world(database, seed, tmp_path / "log") as world:
        Run(world, database, print).round(seed, SHORT)
