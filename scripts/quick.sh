#!/bin/sh
# What to run before each commit: under a minute on two cores. `make test` runs everything.
set -eu
cd "$(dirname "$0")/.."

.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet .
.venv/bin/mypy
.venv/bin/pytest -n 2 --dist worksteal -q -m "not long" tests/unit tests/house tests/db tests/webhooks \
  --deselect tests/webhooks/test_sender_outcomes.py --ignore tests/house/test_make.py
