"""What is kept between two runs: a file, and a spare one in memory for when the disk is full."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lookout.health.changes import FAILING, FLAPPING, OK, Entry

VERSION = 1
_MODE = 0o640
Write = Callable[[Path, bytes, int], None]


class StateError(Exception):
    """The file holds no state that could be used."""


@dataclass(frozen=True)
class State:
    """The things of the last run, its troubles (said once, not at every run), and their count."""

    entries: dict[str, Entry] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    written: float = 0.0


def dump(state: State) -> bytes:
    """As JSON, one thing a line, for people too."""
    return (json.dumps({"version": VERSION, **asdict(state)}, indent=1) + "\n").encode()


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StateError(f"{value!r} is no number")
    return float(value)


def _entry(raw: dict[str, Any]) -> Entry:
    if not isinstance(raw["failing"], bool) or not isinstance(raw["flapping"], bool):
        raise StateError("a state is neither true nor false")
    if raw["told"] not in (OK, FAILING, FLAPPING):
        raise StateError(f"{raw['told']!r} is no state")
    changes = tuple(_number(moment) for moment in raw["changes"])
    return Entry(raw["failing"], _number(raw["since"]), raw["told"], changes, raw["flapping"])


def parse(data: bytes) -> State:
    """Read a state back; StateError where it is torn, or another version's."""
    try:
        raw = json.loads(data)
        if raw["version"] != VERSION:
            raise StateError(f"version {raw['version']!r} is not {VERSION}")
        return State(
            {str(key): _entry(entry) for key, entry in raw["entries"].items()},
            tuple(str(trouble) for trouble in raw["troubles"]),
            {str(key): int(_number(count)) for key, count in raw["counts"].items()},
            _number(raw["written"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(f"{type(error).__name__}: {error}") from error


def load(path: Path, spare: Path) -> tuple[State, list[str]]:
    """The newer of the two files, and what is wrong with them. No file at all is no mistake."""
    found, wrong = [], []
    for file in (path, spare):
        try:
            found.append(parse(file.read_bytes()))
        except FileNotFoundError:
            continue
        except (OSError, StateError) as error:
            wrong.append(f"{file}: {error}")
    return max(found, key=lambda state: state.written, default=State()), wrong


def save(state: State, path: Path, spare: Path, write: Write) -> list[str]:
    """Write the file, the spare one where that fails; what is wrong is returned, never raised."""
    wrong = []
    for file in (path, spare):
        try:
            write(file, dump(state), _MODE)
        except OSError as error:
            wrong.append(f"{file}: {error.strerror or error}")
            continue
        break
    return wrong
