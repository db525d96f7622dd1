"""What a run leaves behind: metrics for the node exporter, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from lookout.health.changes import Entry
from lookout.health.results import Result

# Counted from 0, so that Prometheus sees the first one.
TROUBLES = ("state", "metrics", "messages")


def metrics(
    results: Sequence[Result],
    entries: Mapping[str, Entry],
    counts: Mapping[str, int],
    now: float,
    seconds: float,
) -> CollectorRegistry:
    """The metrics of a run, in a registry of their own."""
    registry = CollectorRegistry()
    names = ("check", "name")
    failing = Gauge(
        "lookout_health_check_failing",
        "Whether a check found something wrong; alert says whether Prometheus tells of it.",
        (*names, "alert"),
        registry=registry,
    )
    since = Gauge(
        "lookout_health_check_since_timestamp_seconds",
        "When a check began to say what it says now.",
        names,
        registry=registry,
    )
    for result in results:
        alert = "yes" if result.alert else "no"
        failing.labels(result.check, result.name, alert).set(result.failing)
        since.labels(result.check, result.name).set(entries[result.key].since)
    Gauge("lookout_health_checks", "How many checks there are.", registry=registry).set(
        len(results)
    )
    Gauge(
        "lookout_health_last_run_timestamp_seconds",
        "When the checks ran last.",
        registry=registry,
    ).set(now)
    Gauge(
        "lookout_health_last_run_duration_seconds",
        "How long the last run of all checks took.",
        registry=registry,
    ).set(seconds)
    troubles = Counter(
        "lookout_health_troubles",
        "Runs that could not keep their state, write their metrics, or deliver their messages.",
        ("what",),
        registry=registry,
    )
    for what in TROUBLES:
        troubles.labels(what).inc(counts.get(what, 0))
    return registry


def table(results: Sequence[Result]) -> str:
    """The results for people, what fails first."""
    rows = [("", "CHECK", "NAME", "WHAT")]
    for result in sorted(results, key=lambda result: (not result.failing, result.key)):
        mark = "FAIL" if result.failing else "ok"
        rows.append((mark, result.check, result.name, result.problem or result.detail))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
