"""What holds for every dashboard, read from its JSON alone; each rule returns what is wrong."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dashboard_queries import QueryError, panels, queries, variables
from grafana_foundation_sdk.models import units
from metric_names import matchers, selectors
from promql_parser import BinaryExpr, Expr, NumberLiteral, VectorSelector, parse, walk

TEAMS = {"infrastructure", "data-science", "on-call"}
TAG = "lookout"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
# With what they have to have beside a title and a description
NEEDS_UNIT = {"timeseries", "stat", "bargauge"}
NEEDS_LEGEND = {"timeseries", "stat", "bargauge", "state-timeline"}
TYPES = NEEDS_UNIT | NEEDS_LEGEND | {"table"}
WIDTHS = {24, 12, 8, 6}
# None at all is for the rule about missing ones.
UNITS = {"", *(unit for unit in vars(units).values() if isinstance(unit, str))}
# Of what there should be none of, one is bad whatever the alerts compare with.
ONE = {(1, ">", "orange"), (1, ">", "red")}
COLOURS = {"warning": "orange", "critical": "red"}
THRESHOLD = "lookout:threshold:"
INSTANCE_QUERY = 'label_values(up{job=~"$job"}, instance)'
JOB_QUERY = re.compile(r'label_values\(up\{job=~"[^"]+"\}, job\)')
RUNBOOK = re.compile(r"`(docs/runbooks/[a-z_]+\.md#[a-z]+)`")

# A number, the side on which an alert fires, and the colour of its severity
Limit = tuple[float, str, str]
Dashboard = Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """What the rest of the repository says: limits by runbook, and the dashboards there are."""

    limits: Mapping[str, set[Limit]]
    uids: set[str]


def limits_of(expr: str, severity: str, thresholds: Mapping[str, float]) -> set[Limit]:
    """Return every number that an alert's expression compares with."""
    found: set[Limit] = set()

    def visit(node: Expr) -> bool:
        if isinstance(node, BinaryExpr) and str(node.op) in ("<", ">", "<=", ">="):
            side, right = str(node.op)[0], node.rhs
            if isinstance(right, NumberLiteral):
                found.add((float(right.val), side, COLOURS.get(severity, "")))
            elif isinstance(right, VectorSelector) and str(right.name).startswith(THRESHOLD):
                value = thresholds[str(right.name).removeprefix(THRESHOLD)]
                found.add((float(value), side, COLOURS.get(severity, "")))
        return True

    walk(parse(expr), visit)
    return found


def settings(dashboard: Dashboard, name: str, _known: Known) -> Iterator[str]:
    """The page as a whole."""
    wanted = {"uid": name, "editable": False, "timezone": "browser", "refresh": "1m"}
    for key, value in wanted.items():
        if dashboard.get(key) != value:
            yield f"{key} is {dashboard.get(key)!r}, not {value!r}"
    if not re.fullmatch(r"[a-z0-9-]{1,40}", str(dashboard.get("uid"))):
        yield "uid: only a-z, 0-9 and hyphens, at most 40"
    if dashboard.get("id") is not None:
        yield "id: that is Grafana's to give"
    if not dashboard.get("title") or not dashboard.get("description"):
        yield "no title or no description"
    titles = Counter(panel.get("title") for panel in panels(dashboard))
    for title, count in titles.items():
        if count > 1:
            yield f"{count} panels are called {title}"


def ways(dashboard: Dashboard, _name: str, known: Known) -> Iterator[str]:
    """How people come to it, and from it to others."""
    tags = dashboard.get("tags", [])
    if TAG not in tags:
        yield f"no tag {TAG}"
    if len(TEAMS & set(tags)) != 1:
        yield "not exactly one tag is a team"
    if not any(link.get("tags") == [TAG] for link in dashboard.get("links", [])):
        yield "no way to the other dashboards"
    for uid in re.findall(r'"/d/([^?"/]+)', json.dumps(dashboard)):
        if uid not in known.uids:
            yield f"a link leads to {uid}, which does not exist"


def choices(dashboard: Dashboard, _name: str, _known: Known) -> Iterator[str]:
    """The same variables everywhere."""
    found = {variable["name"]: variable for variable in variables(dashboard)}
    if list(found)[:2] != ["job", "instance"]:
        yield "the first variables are not job and instance"
        return
    if not JOB_QUERY.fullmatch(found["job"]["query"]):
        yield f"$job is {found['job']['query']}"
    if found["instance"]["query"] != INSTANCE_QUERY:
        yield f"$instance is {found['instance']['query']}"
    for name, variable in found.items():
        several = variable.get("multi")
        same = {"type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1}
        same |= {"includeAll": several, "allValue": ".*" if several else None}
        for key, value in same.items():
            if variable.get(key) != value:
                yield f"${name}: {key} is {variable.get(key)!r}, not {value!r}"


def _overridden(config: Mapping[str, Any], name: str) -> list[Any]:
    """A property's values in the overrides of a panel."""
    return [
        prop["value"]
        for override in config.get("overrides", [])
        for prop in override["properties"]
        if prop["id"] == name
    ]


def looks(dashboard: Dashboard, _name: str, _known: Known) -> Iterator[str]:
    """What each panel needs so that one can read it."""
    for panel in panels(dashboard):
        title, kind = panel.get("title", "?"), panel["type"]
        if kind not in TYPES:
            yield f"{title}: {kind} is deprecated, or none of the kinds that we use"
        if not panel.get("description"):
            yield f"{title}: no description"
        config = panel.get("fieldConfig", {})
        unit = config.get("defaults", {}).get("unit", "")
        if kind in NEEDS_UNIT and not unit:
            yield f"{title}: no unit"
        for one in {unit, *_overridden(config, "unit")} - UNITS:
            yield f"{title}: Grafana has no unit {one}"
        targets = panel.get("targets", [])
        if not targets:
            yield f"{title}: no query"
        for target in targets:
            if kind in NEEDS_LEGEND and target.get("legendFormat", "__auto") in ("", "__auto"):
                yield f"{title}: no legend for {target['refId']}"


def fields(dashboard: Dashboard, _name: str, _known: Known) -> Iterator[str]:
    """What a table calls its values: Grafana numbers them where there are several queries."""
    for panel in panels(dashboard):
        targets = panel.get("targets", [])
        there = {f"Value #{target['refId']}" for target in targets} if targets[1:] else {"Value"}
        for part in panel.get("transformations", []):
            renamed = part["options"].get("renameByName", {}) if part["id"] == "organize" else {}
            for name in renamed:
                if name.startswith("Value") and name not in there:
                    yield f"{panel['title']}: its table has no field {name}"


def places(dashboard: Dashboard, _name: str, _known: Known) -> Iterator[str]:
    """Where a panel gets its data from, and where it stands."""
    for panel in panels(dashboard):
        title, place = panel.get("title", "?"), panel["gridPos"]
        sources = (panel, *panel.get("targets", []))
        if any(source.get("datasource") != SOURCE for source in sources):
            yield f"{title}: another data source than `prometheus`"
        if place["w"] not in WIDTHS or place["x"] % place["w"]:
            yield f"{title}: neither the whole width nor a half, a third or a quarter of it"


def promql(dashboard: Dashboard, _name: str, _known: Known) -> Iterator[str]:
    """Queries that can be asked, of a job, and that do not invent an answer."""
    try:
        asked = queries(dashboard)
    except QueryError as error:
        yield str(error)
        return
    for query in asked:
        try:
            found = selectors(query.expr)
        except ValueError as error:
            yield f"{query.panel} {query.ref}: {error}"
            continue
        for selector in found:
            if not any(label == "job" for label, _, _ in matchers(selector)):
                yield f"{query.panel} {query.ref}: {selector.prettify()} selects no job"
        if "vector(" in query.expr:
            yield f"{query.panel} {query.ref}: vector() hides that there is nothing; say `empty`"


def _drawn(steps: list[dict[str, Any]]) -> set[Limit]:
    """The limits that the steps of a panel draw; green is where all is well."""
    under = steps[-1]["color"] == "green" and len(steps) > 1
    return {
        (step["value"], "<" if under else ">", (before if under else step)["color"])
        for before, step in pairwise(steps)
    }


def thresholds(dashboard: Dashboard, _name: str, known: Known) -> Iterator[str]:
    """A panel draws what an alert compares with, and names that alert's runbook."""
    for panel in panels(dashboard):
        pages = RUNBOOK.findall(panel.get("description", ""))
        for page in pages:
            if page not in known.limits:
                yield f"{panel['title']}: there is no alert behind {page}"
        allowed = set().union(*(known.limits.get(page, set()) for page in pages))
        config = panel.get("fieldConfig", {})
        drawn = [config.get("defaults", {}).get("thresholds", {}).get("steps", [])]
        drawn += [found["steps"] for found in _overridden(config, "thresholds")]
        for steps in filter(None, drawn):
            for value, side, colour in sorted(_drawn(steps) - allowed - ONE):
                yield f"{panel['title']}: {side} {value} in {colour} is no limit of its alerts"


RULES: tuple[Callable[[Dashboard, str, Known], Iterator[str]], ...] = (
    settings,
    ways,
    choices,
    looks,
    fields,
    places,
    promql,
    thresholds,
)


def problems(dashboard: Dashboard, name: str, known: Known) -> list[str]:
    """Return what is wrong with a dashboard, whose file is called `name`."""
    return [problem for rule in RULES for problem in rule(dashboard, name, known)]
