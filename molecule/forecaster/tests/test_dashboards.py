"""Every query of the dashboard has series, every metric of the alerts is there: also of tokens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dashboard_gate import dead_queries
from stage import metrics
from testinfra.host import Host

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "contracts"))
from dashboard_queries import dashboards, queries  # noqa: E402
from metric_names import rule_metrics  # noqa: E402

pytestmark = pytest.mark.usefixtures("token")


def test_every_query_returns_series(host: Host) -> None:
    asked = [
        query
        for dashboard in dashboards()
        if dashboard["uid"] == "ml-insights"
        for query in queries(dashboard)
    ]
    assert len(asked) > 10
    found = dead_queries(host, "forecaster", asked)
    assert not found, "\n".join(found)


def test_every_metric_of_the_alerts_exists(host: Host) -> None:
    told = {line.partition("{")[0].partition(" ")[0] for line in metrics(host)}
    named = {
        name for name in rule_metrics(ROOT) if name.startswith(("lookout_forec", "lookout_api"))
    }
    assert len(named) > 10
    assert named <= told
