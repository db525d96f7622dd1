"""What Prometheus is told: few series, read from the history at each scrape."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as _Collector

from lookout.status import history, storage
from lookout.status.options import StatusOptions
from lookout.status.service import History, Unavailable

UP = {"ok": 1.0, "failing": 0.0}


class Collector(_Collector):
    """Asks the history; without one the counters of errors still tell."""

    def __init__(self, options: StatusOptions, past: History) -> None:
        self._options, self._past = options, past
        self._since = time.time()

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask the history to know the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All series."""
        yield GaugeMetricFamily(
            "status_database_set_aside_files",
            "Damaged histories that were set aside and still lie there.",
            value=len(storage.damaged(self._options.database)),
        )
        try:
            yield from self._past.read(self._collect)
        except Unavailable:
            return

    def _collect(self, connection: sqlite3.Connection) -> list[Metric]:
        options, now = self._options, time.time()
        began = float(history.facts(connection).get("began", 0))
        state = GaugeMetricFamily(
            "status_task_up", "Whether the latest run of the task worked.", labels=["task"]
        )
        last = GaugeMetricFamily(
            "status_task_last_run_timestamp_seconds", "When the task ran last.", labels=["task"]
        )
        took = GaugeMetricFamily(
            "status_task_duration_seconds", "How long its latest run took.", labels=["task"]
        )
        every = GaugeMetricFamily(
            "status_task_interval_seconds", "How often the task is to run.", labels=["task"]
        )
        for name, entry in options.tasks.items():
            every.add_metric([name], 60.0 * entry.every_minutes)
            runs = history.runs_of(connection, name, now, limit=1)
            newest = runs[0] if runs else None
            # One that never ran is late as if it had run when the history, or this page, began.
            last.add_metric([name], newest.started if newest else max(began, self._since))
            seen = history.state_of(newest, entry.every_minutes, entry.timeout_seconds, now)
            if newest and seen in UP:
                state.add_metric([name], UP[seen])
                took.add_metric([name], newest.duration)
        beats = GaugeMetricFamily(
            "status_heartbeat_timestamp_seconds",
            "When the heartbeat came last.",
            labels=["heartbeat"],
        )
        seen_at = history.heartbeats(connection)
        for name, entry in options.tasks.items():
            if entry.kind == "heartbeat":
                beats.add_metric([name], seen_at.get(name, 0))
        failing = GaugeMetricFamily(
            "status_report_up", "Whether the latest run of the report worked.", labels=["report"]
        )
        for report in history.reports(connection):
            failing.add_metric([report.name], float(report.ok))
        facts = history.facts(connection)
        ongoing = len(history.incidents(connection, options, ongoing=True, limit=1000))
        return [
            state, last, took, every, beats, failing,
            GaugeMetricFamily("status_incidents_open", "Incidents that last.", value=ongoing),
            CounterMetricFamily(
                "status_pruned_rows", "Rows that were deleted as too old.",
                value=float(facts.get("pruned_rows", 0)),
            ),
            GaugeMetricFamily(
                "status_last_prune_timestamp_seconds", "When old rows were deleted last.",
                value=float(facts.get("pruned", 0)),
            ),
        ]  # fmt: skip


def register(registry: CollectorRegistry, options: StatusOptions, past: History) -> None:
    """Add the series to those that the program has already."""
    registry.register(Collector(options, past))
