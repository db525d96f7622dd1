"""GET /metrics: a handful of the metrics that Grafana has, by their names."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import Counter
from pathlib import Path

from . import VERSION
from .database import Database

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and the histogram of requests since the start."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.started = time.time()
        self.logins = 0
        self.in_flight = 0
        self._lock = threading.Lock()
        self._buckets: Counter[tuple[Labels, float]] = Counter()
        self._counts: Counter[Labels] = Counter()
        self._sums: dict[Labels, float] = {}
        self._sources: Counter[Labels] = Counter()

    def request(self, handler: str, method: str, status: int, took: float) -> None:
        labels = (("handler", handler), ("method", method), ("status_code", str(status)))
        with self._lock:
            self._counts[labels] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + took
            for bound in BUCKETS:
                self._buckets[(labels, bound)] += took <= bound

    def source_request(self, name: str, kind: str, code: int) -> None:
        with self._lock:
            self._sources[
                (("code", str(code)), ("datasource", name), ("datasource_type", kind))
            ] += 1

    def text(self) -> str:
        count = self.database.count
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        build = (
            ("branch", "stand-in"),
            ("edition", "oss"),
            ("revision", "none"),
            ("version", VERSION),
        )
        lines: list[str] = []
        for name, kind, value in (
            ("grafana_instance_start_total", "counter", 1),
            ("grafana_stat_totals_dashboard", "gauge", count("dashboard")),
            ("grafana_stat_totals_folder", "gauge", count("folder")),
            ("grafana_stat_total_users", "gauge", count("user", "is_service_account = 0")),
            ("grafana_stat_total_orgs", "gauge", 1),
            ("grafana_api_login_post_total", "counter", self.logins),
            ("grafana_http_request_in_flight", "gauge", self.in_flight),
            ("process_cpu_seconds_total", "counter", round(usage.ru_utime + usage.ru_stime, 3)),
            ("process_resident_memory_bytes", "gauge", pages * os.sysconf("SC_PAGE_SIZE")),
            ("process_start_time_seconds", "gauge", round(self.started, 3)),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        lines += ["# TYPE grafana_build_info gauge", f"grafana_build_info{_braces(build)} 1"]
        lines.append("# TYPE grafana_stat_totals_datasource gauge")
        kinds = self.database.run("SELECT type, count(*) AS n FROM data_source GROUP BY type")
        for row in kinds:
            plugin = _braces((("plugin_id", row["type"]),))
            lines.append(f"grafana_stat_totals_datasource{plugin} {row['n']}")
        with self._lock:
            name = "grafana_http_request_duration_seconds"
            lines.append(f"# TYPE {name} histogram")
            for labels, total in self._counts.items():
                for bound in BUCKETS:
                    le = (*labels, ("le", f"{bound:g}"))
                    lines.append(f"{name}_bucket{_braces(le)} {self._buckets[(labels, bound)]}")
                lines.append(f"{name}_bucket{_braces((*labels, ('le', '+Inf')))} {total}")
                lines.append(f"{name}_sum{_braces(labels)} {self._sums[labels]:.6f}")
                lines.append(f"{name}_count{_braces(labels)} {total}")
            lines.append("# TYPE grafana_datasource_request_total counter")
            for labels, total in self._sources.items():
                lines.append(f"grafana_datasource_request_total{_braces(labels)} {total}")
        return "\n".join(lines) + "\n"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}"
