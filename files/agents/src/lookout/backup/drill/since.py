"""Since when hosts are to be drilled here: alerts count from then until a drill took place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from lookout.kit.files import write_atomically

# In the folder of the drills' state
FILE = "since.json"

Since = dict[str, float]


def follow(former: Mapping[str, float], hosts: Iterable[str], now: float) -> Since:
    """A new host counts from now on. A time ahead, by a clock that was wrong, is none."""
    return {host: min(former.get(host, now), now) for host in hosts}


def load(path: Path) -> Since:
    """What is known; nothing where there is no file, or a torn one: then they count anew."""
    try:
        return {str(host): float(at) for host, at in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save(since: Since, path: Path) -> None:
    """Write it. Raises OSError."""
    write_atomically(path, json.dumps(since, indent=1, sort_keys=True) + "\n", 0o640)


def publish(since: Since, registry: CollectorRegistry) -> None:
    """Add the metric of it."""
    gauge = Gauge(
        "lookout_restore_drill_known_since_timestamp_seconds",
        "Since when the host is to be drilled here.",
        ["host"],
        registry=registry,
    )
    for host, at in since.items():
        gauge.labels(host).set(at)
