"""The expressions of the Grafana dashboard, with values for its variables."""

import json
from typing import Any

from tests.support.tree import ROOT

DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
VARIABLES = {"$__rate_interval": "5m", "$job": "leadhook"}


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def expressions() -> list[str]:
    """Of every panel, in their order."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [text.replace(name, value) for text in found]
    return found
