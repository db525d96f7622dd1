"""What a host remembers of its runs, from which its metrics are made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from lookout.kit.files import write_atomically

VERSION = 1
# The copy failed before restic ran.
NOT_COPIED = 255


class StateError(Exception):
    """The file holds no state that could be used."""


@dataclass(frozen=True)
class PartState:
    """What is known of one part. Of a time that never was, 0."""

    last_success: float = 0.0
    duration_seconds: float = 0.0
    # Of the last copy that was saved, and what of it was new to the repository
    bytes: int = 0
    added_bytes: int = 0
    exit_code: int = NOT_COPIED


@dataclass(frozen=True)
class State:
    """What is known of the host."""

    last_attempt: float = 0.0
    last_success: float = 0.0
    duration_seconds: float = 0.0
    parts: dict[str, PartState] = field(default_factory=dict)
    # Also after one that was killed, until the next one
    running: bool = False

    def begin(self, now: float) -> State:
        """A run begins. What is dated in the future, by a clock that was wrong, never was."""
        parts = {
            name: replace(part, last_success=_past(part.last_success, now))
            for name, part in self.parts.items()
        }
        return replace(
            self,
            last_attempt=now,
            last_success=_past(self.last_success, now),
            running=True,
            parts=parts,
        )

    def with_part(self, name: str, part: PartState) -> State:
        """What became of a part."""
        return replace(self, parts={**self.parts, name: part})

    def only(self, names: Iterable[str]) -> State:
        """Without parts that are registered no more."""
        wanted = set(names)
        return replace(self, parts={n: part for n, part in self.parts.items() if n in wanted})


def _past(moment: float, now: float) -> float:
    return moment if moment <= now else 0.0


def dump(state: State) -> str:
    """As JSON, for people too."""
    return json.dumps({"version": VERSION, **asdict(state)}, indent=1, sort_keys=True) + "\n"


def parse(text: str | bytes) -> State:
    """Read a state back; StateError where it is torn, or another version's."""
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            raise StateError(f"version {raw['version']!r} is not {VERSION}")
        parts = {str(name): _part(part) for name, part in raw["parts"].items()}
        return State(
            _number(raw["last_attempt"]),
            _number(raw["last_success"]),
            _number(raw["duration_seconds"]),
            parts,
            bool(raw.get("running")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(f"{type(error).__name__}: {error}") from error


def _part(raw: Mapping[str, Any]) -> PartState:
    return PartState(
        _number(raw["last_success"]),
        _number(raw["duration_seconds"]),
        int(_number(raw["bytes"])),
        int(_number(raw["added_bytes"])),
        int(_number(raw["exit_code"])),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StateError(f"{value!r} is no number")
    return float(value)


def load(path: Path) -> tuple[State, str]:
    """The state, and what is wrong with the file. No file at all is no mistake."""
    try:
        return parse(path.read_bytes()), ""
    except FileNotFoundError:
        return State(), ""
    except (OSError, StateError) as error:
        return State(), f"{path}: {error}"


def save(state: State, path: Path) -> None:
    """Write the state. Raises OSError."""
    write_atomically(path, dump(state), 0o640)


# Metrics by name: the field, what it says, and whether it is there before the first success
_HOST = {
    "last_attempt_timestamp_seconds": ("last_attempt", "When the last backup began.", True),
    "last_success_timestamp_seconds": (
        "last_success",
        "When the last backup began that saved every part.",
        False,
    ),
    "duration_seconds": ("duration_seconds", "How long the last backup took.", True),
}
_PART = {
    "last_success_timestamp_seconds": (
        "last_success",
        "When the last backup began that saved the part.",
        False,
    ),
    "duration_seconds": ("duration_seconds", "How long the part took in the last backup.", True),
    "bytes": ("bytes", "Size of the last copy of the part that was saved.", False),
    "added_bytes": ("added_bytes", "How much of it was new to the repository.", False),
    "exit_code": ("exit_code", "0: saved. Otherwise restic's, or 255 where the copy failed.", True),
}


def metrics(state: State, time_limit_seconds: float) -> CollectorRegistry:
    """The metrics of a host, in a registry of their own."""
    registry = CollectorRegistry()
    about = "Whether a backup has begun and not come to its end."
    Gauge("lookout_backup_running", about, registry=registry).set(state.running)
    about = "What a backup may take."
    Gauge("lookout_backup_time_limit_seconds", about, registry=registry).set(time_limit_seconds)
    for name, (key, says, always) in _HOST.items():
        if always or state.last_success:
            gauge = Gauge(f"lookout_backup_{name}", says, registry=registry)
            gauge.set(getattr(state, key))
    for name, (key, says, always) in _PART.items():
        gauge = Gauge(f"lookout_backup_part_{name}", says, ("part",), registry=registry)
        for part, known in state.parts.items():
            if always or known.last_success:
                gauge.labels(part).set(getattr(known, key))
    return registry
