"""The watchdog's metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from lookout.watchdog.decide import REASONS, Watched
from lookout.watchdog.killer import REASONS as REFUSALS
from lookout.watchdog.options import Rule


class Metrics:
    """All that the watchdog counts and measures, each with its series from the start."""

    def __init__(self, registry: CollectorRegistry, rules: Iterable[Rule]) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"watchdog_{name}", about, labels, registry=registry)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"watchdog_{name}", about, labels, registry=registry)

        self._rules = [rule.name for rule in rules]
        self.matched = gauge("matched_trees", "Trees of processes that a rule watches.", "rule")
        self.validated = gauge("validated_trees", "Of these, validated at least once.", "rule")
        self.validation_age = gauge(
            "oldest_validation_age_seconds", "Age of the oldest last validation.", "rule"
        )
        self.largest = gauge("largest_tree_bytes", "Resident memory of the largest tree.", "rule")
        self.kills = counter("kills", "Trees that were ended.", "rule", "reason")
        self.dry = counter(
            "dry_run_kills", "Trees that a dry run would have ended.", "rule", "reason"
        )
        self.refused = counter("kills_refused", "Processes that were let live after all.", "reason")
        self.undying = gauge("undying_trees", "Trees that SIGKILL has not ended within seconds.")
        self.processes = gauge("processes", "Processes of the host.")
        self.scans = counter("scans", "Scans of all processes.")
        self.duration = gauge("scan_duration_seconds", "How long the last scan took.")
        self.cpu = counter("scan_cpu_seconds", "Processor time of all scans.")
        self.last = gauge("last_scan_timestamp_seconds", "When the last scan ended.")
        self.interval = gauge("scan_interval_seconds", "How often it scans.")
        self.unreadable = counter("memory_unreadable", "Exact memory that could not be read.")
        self.directory = gauge(
            "validation_directory_usable",
            "Whether validations can be trusted; else none is asked for.",
        )
        self.validations_refused = counter(
            "validations_refused", "Files that were no validation.", "reason"
        )
        for name in self._rules:
            for reason in REASONS:
                self.kills.labels(name, reason)
                self.dry.labels(name, reason)
        for refusal in REFUSALS:
            self.refused.labels(refusal)
        for what in (
            "name",
            "owner",
            "symlink",
            "hard_link",
            "no_file",
            "size",
            "content",
            "future",
            "too_many",
        ):
            self.validations_refused.labels(what)

    def show(self, watched: Iterable[Watched], now: float) -> None:
        """Set what a scan found of each rule."""
        trees = list(watched)
        for name in self._rules:
            mine = [tree for tree in trees if tree.rule.name == name]
            ages = [now - tree.validated for tree in mine if tree.validated is not None]
            self.matched.labels(name).set(len(mine))
            self.validated.labels(name).set(len(ages))
            self.validation_age.labels(name).set(max(ages, default=0))
            self.largest.labels(name).set(max((tree.resident_bytes for tree in mine), default=0))
