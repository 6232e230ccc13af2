"""The Grafana dashboard and the alert rules use only metrics that /metrics really has, and the dashboard shows all."""

import re

import pytest
from flask.testing import FlaskClient

from tests.conftest import METRICS_TOKEN
from tests.support.dashboard import dashboard, expressions
from tests.support.tree import ROOT
from webapp.delivery.sweep import Sweep
from webapp.models import Interface

RULES = ROOT / "deploy" / "prometheus-alerts.yml"


def names(text: str) -> set[str]:
    return set(re.findall(r"\bleadhook_\w+", text))


@pytest.fixture
def offered(client: FlaskClient, interface: Interface) -> dict[str, str]:
    """The names of the samples that /metrics can have, by the metric they belong to, from a real answer."""
    sweeper = Sweep()
    sweeper.once()  # before the first sweep there is no time of the last
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 200
    found = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", answer.text, re.M):
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {f"{name}{part}": name for part in parts}
    sweeper.resign()
    return found


def test_every_expression_uses_metrics_that_exist(offered: dict[str, str]) -> None:
    found = expressions()
    assert len(found) > 20
    for text in (*found, *(line for line in RULES.read_text().splitlines() if " expr: " in line and "up{" not in line)):
        assert names(text), text
        assert names(text) <= offered.keys(), text


def test_the_dashboard_shows_every_metric(offered: dict[str, str]) -> None:
    shown = {offered[name] for text in expressions() for name in names(text)}
    assert set(offered.values()) - shown == set()


def test_a_metric_that_does_not_exist_is_found(offered: dict[str, str]) -> None:
    for text in ("leadhook_form_posts", "rate(leadhook_attempt_duration_seconds[5m])", "leadhook_no_such_metric"):
        assert not names(text) <= offered.keys()


def test_every_panel_says_what_it_shows_and_fits_beside_the_others() -> None:
    panels = dashboard()["panels"]
    places = set()
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["title"]
        assert panel["targets"]
        assert "datasource" in str(panel["datasource"])  # the one that the reader chose
        places |= cells


def test_every_variable_of_an_expression_is_known() -> None:
    assert [text for text in expressions() if "$" in text] == []
    assert {each["name"] for each in dashboard()["templating"]["list"]} == {"datasource", "job"}
