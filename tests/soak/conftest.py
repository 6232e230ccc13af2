"""Long or heavy tests with real components. `make soak` runs them, `make test` does not: SOAK=1 turns them on."""

import os

if not os.environ.get("SOAK"):
    collect_ignore_glob = ["test_*.py"]
