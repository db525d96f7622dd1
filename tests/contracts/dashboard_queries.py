"""Every query of the dashboards as Prometheus can be asked it, and what its silence means.

Nothing here asks anybody: the scenarios `default` and `postgres_exporter` do, and hand the answers
to `problems`. Whatever returns no series stands in queries_allowed.yml with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from metric_names import metric_names

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = ROOT / "tests/contracts/queries_allowed.yml"

# What Grafana puts in for its own variables, for a page of an hour with a scrape every 15 s
MACROS = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__interval_ms": "15000",
    "__range": "1h",
    "__range_s": "3600",
    "__range_ms": "3600000",
}
ANYTHING = ".*"

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)", re.DOTALL)


class QueryError(Exception):
    """A query, or an entry of the allow-list, that cannot be understood."""


@dataclass(frozen=True)
class Query:
    """A question of a dashboard: of a panel by its title, or of a variable by `$name`."""

    dashboard: str
    panel: str
    ref: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.ref}: {' '.join(self.expr.split())}"


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, also those inside of closed rows; rows are none."""
    for panel in dashboard.get("panels", []):
        if panel["type"] == "row":
            yield from panels(panel)
        else:
            yield panel


def variables(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the variables of a dashboard."""
    found: list[dict[str, Any]] = dashboard.get("templating", {}).get("list", [])
    return found


def values(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """Return variable -> a value that stands for all that may be chosen."""
    chosen = {}
    for variable in variables(dashboard):
        current = variable.get("current", {}).get("value", "")
        fixed = variable.get("hide") == 2 and isinstance(current, str) and current
        chosen[variable["name"]] = current if fixed else variable.get("allValue") or ANYTHING
    return chosen


def substituted(text: str, chosen: Mapping[str, str]) -> str:
    """Return a query without variables.

    Raises:
        QueryError: for a variable that the dashboard does not have.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in MACROS:
            return MACROS[name]
        if name not in chosen:
            raise QueryError(f"there is no variable {name}: {text}")
        return chosen[name]

    return _VARIABLE.sub(value, text)


def of_variable(query: str) -> str:
    """Return PromQL that has series where the variable has values."""
    found = _LABEL_VALUES.fullmatch(query.strip())
    if not found:
        raise QueryError(f"not of the form label_values(selector, label): {query}")
    selector, label = found[1].strip(), found[2]
    matcher = f'{label}!=""'
    if selector.endswith("}"):
        return f"count by ({label}) ({selector[:-1]},{matcher}}})"
    return f"count by ({label}) ({selector}{{{matcher}}})"


def queries(dashboard: Mapping[str, Any]) -> list[Query]:
    """Return every query of the panels and variables of a dashboard, ready to be asked."""
    uid, chosen = dashboard["uid"], values(dashboard)
    found = [
        Query(uid, f"${variable['name']}", "", of_variable(substituted(variable["query"], chosen)))
        for variable in variables(dashboard)
        if variable["type"] == "query"
    ]
    return found + [
        Query(uid, panel["title"], target["refId"], substituted(target["expr"], chosen))
        for panel in panels(dashboard)
        for target in panel.get("targets", [])
    ]


def dashboards(root: Path = ROOT) -> list[dict[str, Any]]:
    """Return all dashboards of the repository."""
    files = sorted(root.glob("roles/*/files/dashboards/*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def allowed(scenario: str, asked: Sequence[Query], listed: Mapping[str, Any]) -> dict[Query, str]:
    """Return query -> why it may return nothing in a scenario.

    Args:
        asked: what the scenario asks.
        listed: the allow-list: scenario -> dashboard -> panel -> ref, where a reason may stand in
            place of all that is below. It begins with `never:` (not in this scenario) or with
            `sometimes:` (it depends on the moment).

    Raises:
        QueryError: with the entries that name no query, and the reasons of another form.
    """
    reasons: dict[Query, str] = {}
    wrong = []

    def visit(entry: Any, path: tuple[str, ...]) -> None:
        if isinstance(entry, dict):
            for key, below in entry.items():
                visit(below, (*path, str(key)))
            return
        found = [q for q in asked if (q.dashboard, q.panel, q.ref)[: len(path)] == path]
        if not found:
            wrong.append(f"{scenario}: {' / '.join(path)} names no query")
        if not re.match(r"(never|sometimes): \w", str(entry)):
            wrong.append(f"{scenario}: {' / '.join(path)}: begin with `never: ` or `sometimes: `")
        reasons.update(dict.fromkeys(found, str(entry)))

    visit(listed.get(scenario) or {}, ())
    if wrong:
        raise QueryError("\n".join(wrong))
    return reasons


def allow_list() -> dict[str, Any]:
    """Return queries_allowed.yml."""
    listed: dict[str, Any] = yaml.safe_load(ALLOWED.read_text(encoding="utf-8"))
    return listed


def problems(
    counts: Mapping[Query, int | str], emitted: set[str], reasons: Mapping[Query, str]
) -> list[str]:
    """Return what is wrong with the answers; empty where every query is alive.

    Args:
        counts: query -> number of series, or Prometheus' own words where it refused.
        emitted: every metric name that Prometheus has.
        reasons: the queries that may return nothing, from `allowed`.
    """
    found = []
    for query, count in counts.items():
        reason = reasons.get(query, "")
        if isinstance(count, str):
            found.append(f"refused: {query}\n    {count}")
        elif count == 0 and not reason:
            found.append(f"no series: {query}")
        elif count and reason.startswith("never:"):
            found.append(f"has series, take it off queries_allowed.yml: {query}")
        # One side of an `or` may be dead while the other answers.
        dead = metric_names(query.expr) - emitted
        if dead and count != 0 and not isinstance(count, str):
            found.append(f"dead metric {', '.join(sorted(dead))}: {query}")
        elif dead and reason.startswith("sometimes:"):
            found.append(f"dead metric {', '.join(sorted(dead))}, not only sometimes: {query}")
    return found
