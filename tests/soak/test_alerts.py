"""The alert rules, the dashboard's expressions, and the metrics themselves, as promtool of Prometheus reads them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.conftest import METRICS_TOKEN
from tests.support.dashboard import expressions
from tests.support.site import ROOT

RULES = ROOT / "deploy" / "prometheus-alerts.yml"
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt: prometheus)")


@needs_promtool
def test_promtool_takes_the_alert_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_promtool
def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    """As recording rules: promtool has no other check of expressions. A wrong one is found."""
    for found, code in ((expressions(), 0), ([*expressions(), "sum(rate(leadhook_attempts_total"], 1)):
        rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(found)]
        file = tmp_path / "rules.yml"
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
        done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


@needs_promtool
def test_promtool_takes_the_metrics(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    done = subprocess.run(["promtool", "check", "metrics"], input=answer.data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_metric_of_a_rule_is_documented() -> None:
    named = set(re.findall(r"leadhook_[a-z_]+", RULES.read_text()))
    documented = (ROOT / "docs" / "operating.md").read_text()
    assert named
    assert [name for name in sorted(named) if f"`{name}`" not in documented] == []
