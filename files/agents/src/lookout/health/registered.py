"""The files that roles left for their services, joined with the operator's own checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from lookout.health.config import Checks
from lookout.health.results import Result
from lookout.kit.config import ConfigError, parse

T = TypeVar("T")
_FIX = "run site.yml for this host, or delete the file"


def read(folder: Path) -> tuple[list[Checks], list[Result]]:
    """The checks of all files, and a verdict on each file: a bad one must not end the others.

    A folder that does not exist holds nothing.
    """
    found, verdicts = [], []
    try:
        files = sorted(folder.glob("*.yml"))
    except OSError as error:
        return [], [Result("registered", str(folder), f"it cannot be read: {error.strerror}")]
    for file in files:
        try:
            found.append(parse(Checks, file.read_text(encoding="utf-8"), file.name))
            problem = ""
        except FileNotFoundError:
            continue  # taken back meanwhile
        except ConfigError as error:
            problem = f"{'; '.join(error.problems)}: {_FIX}"
        except (OSError, UnicodeDecodeError) as error:
            problem = f"it cannot be read: {error}: {_FIX}"
        verdicts.append(Result("registered", str(file), problem, "its checks are read"))
    return found, verdicts


def _first_of_each(things: Iterable[T], name: Callable[[T], Any]) -> tuple[T, ...]:
    kept: dict[Any, T] = {}
    for thing in things:
        kept.setdefault(name(thing), thing)
    return tuple(kept.values())


def join(all_checks: Iterable[Checks]) -> Checks:
    """One list of several. What stands twice counts as it stands first, which is the operator's."""
    every = list(all_checks)
    return Checks(
        _first_of_each((d for c in every for d in c.disks), lambda disk: disk.path),
        _first_of_each((u for c in every for u in c.units), lambda unit: unit),
        _first_of_each((t for c in every for t in c.timers), lambda timer: timer.name),
        _first_of_each((e for c in every for e in c.endpoints), lambda e: e.name or e.url),
        _first_of_each((c for s in every for c in s.certificates), lambda c: c.name),
    )
