"""What is remembered of the drills, and the metrics that are made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from lookout.backup.drill.results import PASSED, RESULTS, Drill, HostResult
from lookout.kit.files import write_atomically

VERSION = 1


@dataclass(frozen=True)
class PartState:
    """What the last drill said of a part."""

    passed: bool
    restore_seconds: float | None = None


@dataclass(frozen=True)
class HostState:
    """What the last drill said of a host's backup, and when one passed last."""

    last_run: float
    result: str
    last_passed: float | None = None
    restore_seconds: float | None = None
    data_age_seconds: float | None = None
    parts: Mapping[str, PartState] = field(default_factory=dict)

    def before(self, now: float) -> HostState:
        """What is dated in the future, by a clock that was wrong, ages from now on."""
        passed = None if self.last_passed is None else min(self.last_passed, now)
        return replace(self, last_run=min(self.last_run, now), last_passed=passed)


States = dict[str, HostState]


def follow(former: States, drill: Drill, hosts: tuple[str, ...]) -> States:
    """The states after a drill. Of some parts alone it says nothing of the whole."""
    known = {host: state.before(drill.started) for host, state in former.items() if host in hosts}
    if drill.partial:
        return known
    return {**known, **{one.host: _state(known.get(one.host), one, drill) for one in drill.hosts}}


def _state(former: HostState | None, found: HostResult, drill: Drill) -> HostState:
    passed = drill.started if found.result == PASSED else former.last_passed if former else None
    return HostState(
        last_run=drill.started,
        result=found.result,
        last_passed=passed,
        restore_seconds=found.restore_seconds,
        data_age_seconds=None if found.saved is None else drill.started - found.saved,
        parts={
            one.part: PartState(one.result == PASSED, one.restore_seconds) for one in found.parts
        },
    )


def load(path: Path) -> tuple[States, str]:
    """The states, and what is wrong with the file. No file at all is no mistake."""
    try:
        data = json.loads(path.read_bytes())
        if data["version"] != VERSION:
            return {}, f"{path}: it has version {data['version']}, not {VERSION}"
        return {str(host): _host(one) for host, one in data["hosts"].items()}, ""
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, f"{path}: {error!r}"


def _host(data: dict[str, Any]) -> HostState:
    parts = {str(name): PartState(**part) for name, part in data["parts"].items()}
    return HostState(**{**data, "parts": parts})


def save(states: States, path: Path) -> None:
    """Write the states. Raises OSError."""
    data = {"version": VERSION, "hosts": {host: asdict(one) for host, one in states.items()}}
    write_atomically(path, json.dumps(data, indent=1, sort_keys=True) + "\n", 0o640)


# Name after lookout_restore_drill_, what it says, where it comes from
_OF_HOSTS: tuple[tuple[str, str, Callable[[HostState], float | None]], ...] = (
    ("last_run_timestamp_seconds", "When the last drill began.", lambda one: one.last_run),
    (
        "last_passed_timestamp_seconds",
        "When the last drill began that the backup passed.",
        lambda one: one.last_passed,
    ),
    (
        "restore_seconds",
        "How long it took to get all parts from the store.",
        lambda one: one.restore_seconds,
    ),
    (
        "data_age_seconds",
        "How old the oldest data was that the last drill restored.",
        lambda one: one.data_age_seconds,
    ),
)


def metrics(states: States) -> CollectorRegistry:
    """The metrics of all hosts, in a registry of their own; what never was has no sample."""
    registry = CollectorRegistry()
    for name, says, value in _OF_HOSTS:
        gauge = Gauge(f"lookout_restore_drill_{name}", says, ["host"], registry=registry)
        for host, state in states.items():
            known = value(state)
            if known is not None:
                gauge.labels(host).set(known)
    result = Gauge(
        "lookout_restore_drill_result",
        "Whether the last drill ended so: passed, failed (the backup is bad), or error (it could "
        "not judge).",
        ["host", "result"],
        registry=registry,
    )
    passed = Gauge(
        "lookout_restore_drill_part_passed",
        "Whether the part passed the last drill.",
        ["host", "part"],
        registry=registry,
    )
    took = Gauge(
        "lookout_restore_drill_part_restore_seconds",
        "How long it took to get the part from the store.",
        ["host", "part"],
        registry=registry,
    )
    for host, state in states.items():
        for one in RESULTS:
            result.labels(host, one).set(state.result == one)
        for part, about in state.parts.items():
            passed.labels(host, part).set(about.passed)
            if about.restore_seconds is not None:
                took.labels(host, part).set(about.restore_seconds)
    return registry
