"""One look at everything: each source by itself, so that one that fails holds up none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from lookout.sensor.values import Latest, Value, bounded

log = logging.getLogger("lookout.sensor")

Source = Callable[[], Iterable[Value]]


class Collection:
    """All sources, and what is known about them."""

    def __init__(self, sources: Mapping[str, Source], registry: CollectorRegistry) -> None:
        self._sources = sources
        self.latest = Latest()
        registry.register(self.latest)
        self._failing = Gauge(
            "sensor_source_failing", "Whether a source failed.", ["source"], registry=registry
        )
        self._left_out = Gauge(
            "sensor_values_left_out", "Values beyond the bound.", ["source"], registry=registry
        )
        self._done = Counter("sensor_collections", "Looks at everything.", registry=registry)
        self._took = Gauge(
            "sensor_collection_duration_seconds", "How long the last look took.", registry=registry
        )
        self._failed: set[str] = set()
        for name in sources:
            self._failing.labels(name)
            self._left_out.labels(name)

    def run(self) -> list[Value]:
        """Look once; what a source that fails would have said is missing."""
        began = time.perf_counter()
        values: list[Value] = []
        for name, source in self._sources.items():
            values += self._one(name, source)
        self.latest.values = values
        self._took.set(time.perf_counter() - began)
        self._done.inc()
        return values

    def _one(self, name: str, source: Source) -> list[Value]:
        try:
            found, left_out = bounded(source())
        except Exception as error:
            # Drivers fail in ways that nobody foresees; the others are served.
            if name not in self._failed:
                log.warning("the source %s fails: %s: %s", name, type(error).__name__, error)
            self._failed.add(name)
            self._failing.labels(name).set(1)
            return []
        if name in self._failed:
            log.info("the source %s works again", name)
        self._failed.discard(name)
        self._failing.labels(name).set(0)
        self._left_out.labels(name).set(left_out)
        return found
