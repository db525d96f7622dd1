"""Each rule for dashboards finds its mistake."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from dashboard_lint import SOURCE, Known, limits_of, problems

PAGE = "docs/runbooks/some.md#somebusy"
KNOWN = Known({PAGE: {(80.0, ">", "orange"), (5.0, "<", "red"), (15.0, "<", "orange")}}, {"some"})


def variable(name: str, query: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "query": query, "type": "query", "datasource": SOURCE, "refresh": 2,
        "sort": 1, "multi": False, "includeAll": False, **more,
    }  # fmt: skip


def good() -> dict[str, Any]:
    """A small dashboard without a mistake."""
    return {
        "uid": "some", "title": "Some", "description": "What it shows.", "editable": False,
        "timezone": "browser", "refresh": "1m", "tags": ["lookout", "on-call"],
        "links": [{"tags": ["lookout"]}],
        "templating": {"list": [
            variable("job", 'label_values(up{job=~"some"}, job)'),
            variable("instance", 'label_values(up{job=~"$job"}, instance)'),
        ]},
        "panels": [{
            "title": "Busy", "description": f"How busy.\n\nRunbook: `{PAGE}`",
            "type": "timeseries", "datasource": SOURCE,
            "gridPos": {"x": 12, "y": 0, "w": 12, "h": 8},
            "fieldConfig": {
                "defaults": {
                    "unit": "percent",
                    "thresholds": {"steps": [
                        {"value": None, "color": "green"}, {"value": 80, "color": "orange"},
                    ]},
                },
                "overrides": [{"properties": [{"id": "thresholds", "value": {"steps": [
                    {"value": None, "color": "red"}, {"value": 5, "color": "orange"},
                    {"value": 15, "color": "green"},
                ]}}]}],
            },
            "targets": [{
                "refId": "A", "datasource": SOURCE, "legendFormat": "{{instance}}",
                "expr": 'rate(busy{job=~"$job",instance=~"$instance"}[$__rate_interval])',
            }],
        }],
    }  # fmt: skip


def test_a_good_dashboard_has_no_problem() -> None:
    assert problems(good(), "some", KNOWN) == []


def at(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    """Put a value there; None takes it away."""

    def change(dashboard: dict[str, Any]) -> None:
        inner: Any = dashboard
        for key in path[:-1]:
            inner = inner[key]
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value

    return change


def twice(dashboard: dict[str, Any]) -> None:
    dashboard["panels"].append(copy.deepcopy(dashboard["panels"][0]))


def inside_a_row(dashboard: dict[str, Any]) -> None:
    panel = dashboard["panels"].pop()
    panel["description"] = ""
    dashboard["panels"].append({"type": "row", "title": "Closed", "panels": [panel]})


PANEL = ("panels", 0)
EXPR = (*PANEL, "targets", 0, "expr")
STEPS = (*PANEL, "fieldConfig", "defaults", "thresholds", "steps")
JOB, INSTANCE = ("templating", "list", 0), ("templating", "list", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("uid", value="other"), "uid is 'other', not 'some'"),
        (at("uid", value="No_good"), "only a-z, 0-9 and hyphens"),
        (at("id", value=3), "id: that is Grafana's to give"),
        (at("editable", value=True), "editable is True"),
        (at("timezone", value="utc"), "timezone is 'utc'"),
        (at("refresh", value=None), "refresh is None"),
        (at("description", value=""), "no title or no description"),
        (at("tags", value=["on-call"]), "no tag lookout"),
        (at("tags", value=["lookout"]), "not exactly one tag is a team"),
        (at("tags", value=["lookout", "on-call", "infrastructure"]), "not exactly one tag"),
        (at("links", value=[]), "no way to the other dashboards"),
        (twice, "2 panels are called Busy"),
        (at(*INSTANCE, "name", value="host"), "the first variables are not job and instance"),
        (at(*JOB, "query", value="label_values(job)"), "$job is label_values(job)"),
        (at(*INSTANCE, "query", value="label_values(up, instance)"), "$instance is label_values"),
        (at(*INSTANCE, "multi", value=True), "$instance: includeAll is False, not True"),
        (at(*INSTANCE, "refresh", value=1), "$instance: refresh is 1, not 2"),
        (at(*JOB, "datasource", value={"uid": "x"}), "$job: datasource is"),
        (at(*PANEL, "type", value="graph"), "Busy: graph is deprecated"),
        (at(*PANEL, "type", value="singlestat"), "Busy: singlestat is deprecated"),
        (at(*PANEL, "description", value=None), "Busy: no description"),
        (inside_a_row, "Busy: no description"),
        (at(*PANEL, "fieldConfig", "defaults", "unit", value=None), "Busy: no unit"),
        (
            at(*PANEL, "fieldConfig", "defaults", "unit", value="parsecs"),
            "Busy: Grafana has no unit parsecs",
        ),
        (
            at(*PANEL, "fieldConfig", "overrides", 0, "properties", 0,
               value={"id": "unit", "value": "days"}),
            "Busy: Grafana has no unit days",
        ),
        (at(*PANEL, "targets", value=[]), "Busy: no query"),
        (
            at(*PANEL, "transformations", value=[
                {"id": "organize", "options": {"renameByName": {"Value #A": "Expires in"}}},
            ]),
            "Busy: its table has no field Value #A",
        ),
        (at(*PANEL, "targets", 0, "legendFormat", value=None), "Busy: no legend for A"),
        (at(*PANEL, "targets", 0, "legendFormat", value="__auto"), "Busy: no legend for A"),
        (at(*PANEL, "datasource", value={"uid": "other"}), "Busy: another data source"),
        (at(*PANEL, "targets", 0, "datasource", value={"uid": "x"}), "Busy: another data source"),
        (at(*PANEL, "gridPos", "w", value=10), "Busy: neither the whole width"),
        (at(*PANEL, "gridPos", "x", value=6), "Busy: neither the whole width"),
        (at(*PANEL, "links", value=[{"url": "/d/gone?var-job=x"}]), "a link leads to gone"),
        (at(*EXPR, value="busy"), "Busy A: busy selects no job"),
        (at(*EXPR, value='up{job="a"} / up'), "Busy A: up selects no job"),
        (at(*EXPR, value='rate(busy{job="a"}[5m]'), "Busy A: unclosed left parenthesis"),
        (at(*EXPR, value='busy{job=~"$jobs"}'), "there is no variable jobs"),
        (at(*EXPR, value='busy{job="a"} or vector(0)'), "Busy A: vector() hides"),
        (at(*STEPS, 1, "value", value=81), "Busy: > 81 in orange is no limit of its alerts"),
        (at(*STEPS, 1, "color", value="red"), "Busy: > 80 in red is no limit of its alerts"),
        (
            at(*STEPS, value=[{"value": None, "color": "orange"}, {"value": 80, "color": "green"}]),
            "Busy: < 80 in orange is no limit of its alerts",
        ),
        (
            at(*PANEL, "fieldConfig", "overrides", 0, "properties", 0, "value", "steps", 1, "value",
               value=6),
            "Busy: < 6 in red is no limit of its alerts",
        ),
        (at(*PANEL, "description", value="How busy."), "Busy: > 80 in orange is no limit"),
        (
            at(*PANEL, "description", value="`docs/runbooks/some.md#gone`"),
            "there is no alert behind docs/runbooks/some.md#gone",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_found(change: Callable[[dict[str, Any]], None], message: str) -> None:
    dashboard = good()
    change(dashboard)
    found = problems(dashboard, "some", KNOWN)
    assert any(message in problem for problem in found), found


def test_limits_are_read_from_the_syntax_tree() -> None:
    expr = """
      100 * a{job="x"} > on (job, instance) group_left () lookout:threshold:a_percent
      and on (job, instance) b{job="x"} < 3
    """
    assert limits_of(expr, "critical", {"a_percent": 7}) == {(7.0, ">", "red"), (3.0, "<", "red")}
