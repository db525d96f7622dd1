"""The dashboards as they are stored: made by their sources, and keeping the rules."""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
from dashboard_lint import Known, Limit, limits_of, problems  # noqa: E402
from dashboard_queries import allow_list, allowed, dashboards, panels, queries  # noqa: E402

from tools.dashboards import build, limits  # noqa: E402

FILES = sorted(ROOT.glob("roles/*/files/dashboards/*.json"))
SHIPPED = {
    "alerts-overview",
    "backups",
    "postgresql",
    "prometheus-alertmanager",
    "ralph-dcim",
    "system-overview",
    "web-certificates",
}


@cache
def known() -> Known:
    """The limits of every alert, read from the rules by another way than the dashboards' own."""
    thresholds: dict[str, float] = {}
    for path in ROOT.glob("roles/*/files/thresholds/*.yml"):
        thresholds |= yaml.safe_load(path.read_text(encoding="utf-8"))
    found: dict[str, set[Limit]] = {}
    for path in ROOT.glob("roles/*/files/alerts/*.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    page = rule["annotations"]["runbook"]
                    of_rule = limits_of(rule["expr"], rule["labels"]["severity"], thresholds)
                    found.setdefault(page, set()).update(of_rule)
    return Known(found, {file.stem for file in FILES})


def test_the_dashboards_are_there() -> None:
    assert {file.stem for file in FILES} >= SHIPPED
    assert {build.target(source) for source in build.sources()} == set(FILES)


def test_what_is_stored_is_what_the_sources_make() -> None:
    assert list(build.differing()) == [], "run `make dashboards`"


def test_uids_and_titles_are_unique() -> None:
    for key in ("uid", "title"):
        counted = Counter(dashboard[key] for dashboard in dashboards())
        assert [value for value, count in counted.items() if count > 1] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_every_dashboard_keeps_the_rules(file: Path) -> None:
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    assert problems(dashboard, file.stem, known()) == []


def test_limits_are_drawn() -> None:
    """The rule about limits would be content with none."""
    drawn = [
        panel["title"]
        for dashboard in dashboards()
        for panel in panels(dashboard)
        if len(panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])) > 1
    ]
    assert len(drawn) > 20


def test_what_may_return_nothing_exists() -> None:
    every = [query for dashboard in dashboards() for query in queries(dashboard)]
    listed = allow_list()
    for scenario in listed:
        assert (ROOT / "molecule" / scenario / "tests/test_dashboards.py").exists()
        assert allowed(scenario, every, listed)


# The last one is only the second thing that its alert compares with.
@pytest.mark.parametrize("name", ["no_such_threshold", "NoSuchAlert", "bad_requests_minimum"])
def test_a_limit_that_no_alert_has_is_refused(name: str) -> None:
    with pytest.raises(limits.UnknownNameError, match=name):
        limits.limits(name)


def test_a_limit_brings_all_that_its_alerts_say() -> None:
    [warning] = limits.limits("cpu_busy_percent")
    assert (warning.value, warning.over, warning.rule.severity) == (80, True, "warning")
    assert warning.rule.runbook == "docs/runbooks/node_exporter.md#cpubusy"
    assert [(limit.value, limit.over) for limit in limits.limits("SiteCertificateExpiring")] == [
        (20, False),
        (3, False),
    ]


def test_a_stored_file_that_differs_or_has_no_source_is_named(tmp_path: Path) -> None:
    source = tmp_path / "roles/some/dashboards/some_page.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "from grafana_foundation_sdk.builders import dashboard as b\n"
        "def dashboard():\n    return b.Dashboard('Some').uid('some-page').build()\n"
    )
    stray = tmp_path / "roles/some/files/dashboards/stray.json"
    stray.parent.mkdir(parents=True)
    stray.write_text("{}")
    file = stray.with_name("some-page.json")
    changes = build.differing(tmp_path)
    assert set(changes) == {stray, file}
    assert changes[stray] == ""
    build.write(file, changes[file])
    stray.unlink()
    assert build.differing(tmp_path) == {}
    assert json.loads(file.read_text())["uid"] == "some-page"
    assert sorted(path.name for path in file.parent.iterdir()) == ["some-page.json"]
    file.write_text("{}")
    assert set(build.differing(tmp_path)) == {file}
