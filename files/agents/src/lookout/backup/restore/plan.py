"""What a restore would do: which parts of which snapshots, and what of them fits this host."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lookout.backup.parts import Part, below
from lookout.backup.restic import Snapshot
from lookout.backup.restore.choice import ChoiceError, shown
from lookout.backup.save import human
from lookout.backup.sources import Facts

# Kept free on every filesystem, for those who go on working beside it
_SPARE_BYTES = 64 << 20
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Item:
    """One part of the plan."""

    # What is put, and what the copy is judged by
    part: Part
    saved: Part
    snapshot: Snapshot
    size: int
    notes: tuple[str, ...] = ()
    # Of the part's databases the one that is put; empty: all of them
    database: str = ""
    # What the manifest tells, by source
    facts: Mapping[str, Facts] = field(default_factory=dict)


def judged(local: Part, saved: Part) -> Part:
    """The part as it was saved, with the programs of this host."""
    return dataclasses.replace(saved, postgresql=saved.postgresql and local.postgresql)


def fitting(local: Part, saved: Part) -> tuple[Part, tuple[str, ...]]:
    """What both this host and the snapshot have of a part, and what one of them has not.

    How it is put, by which user and with which programs, is this host's to say; what no role of
    this host registers any more would be of no use to anybody.
    """
    notes: list[str] = []
    paths = [path for path in saved.paths if below(path, local.paths)]
    paths += [path for path in local.paths if path not in paths and below(path, saved.paths)]
    sqlite = [one for one in local.sqlite if one.database in _files(saved)]
    mine: list[object] = [*local.paths, *_files(local)]
    theirs: list[object] = [*saved.paths, *_files(saved)]
    fits: list[Path] = [*paths, *(one.database for one in sqlite)]
    for kind in ("postgresql", "prometheus", "victoriametrics"):
        mine += [kind] if getattr(local, kind) else []
        theirs += [kind] if getattr(saved, kind) else []
    for one in theirs:
        known = one in mine if isinstance(one, str) else _touches(Path(str(one)), fits)
        if not known:
            notes.append(f"{one} is in the snapshot, and no role of this host knows it: left out")
    for one in mine:
        known = one in theirs if isinstance(one, str) else _touches(Path(str(one)), fits)
        if not known:
            notes.append(f"{one} is not in the snapshot: it stays as it is")
    part = dataclasses.replace(
        local.limited(paths),
        exclude=tuple(dict.fromkeys((*local.exclude, *saved.exclude))),
        sqlite=tuple(sqlite),
        postgresql=saved.postgresql and local.postgresql,
        prometheus=saved.prometheus and local.prometheus,
        victoriametrics=saved.victoriametrics and local.victoriametrics,
    )
    if not part.saves_something:
        raise ChoiceError(f"{local.name}: the snapshot has nothing that this host knows")
    return part, tuple(notes)


def narrowed(part: Part, file: Path | None, database: str) -> Part:
    """The part with one file or folder of its paths, or one database, alone."""
    if file is not None:
        if not below(file, part.paths):
            there = ", ".join(map(str, part.paths)) or "nothing"
            raise ChoiceError(f"{part.name}: {file} is not below its paths, which are {there}")
        one = part.limited((file,))
        return dataclasses.replace(
            one, sqlite=(), postgresql=None, prometheus=None, victoriametrics=None
        )
    if database:
        sqlite = [one for one in part.sqlite if database in (one.database.name, str(one.database))]
        if not sqlite and not part.postgresql:
            there = ", ".join(one.database.name for one in part.sqlite) or "none"
            raise ChoiceError(f"{part.name}: it has no database {database}; of SQLite: {there}")
        return dataclasses.replace(
            part,
            paths=(),
            sqlite=tuple(sqlite),
            postgresql=None if sqlite else part.postgresql,
            prometheus=None,
            victoriametrics=None,
        )
    return part


def order(items: Sequence[Item]) -> list[Item]:
    """The database server first, as others may keep their data there."""
    return sorted(items, key=lambda item: (item.part.postgresql is None, item.part.name))


def text(items: Sequence[Item], host: str, aside: Path, now: float) -> str:
    """The plan, for people."""
    lines = [f"From the backup of {host}:", ""]
    for item in items:
        made, age = shown(item.snapshot.time), _age(now - item.snapshot.time)
        lines += [
            f"  {item.part.name}: snapshot {item.snapshot.id[:8]} of {made} ({age} old), "
            f"{human(item.size)}",
            f"    stopped:  {', '.join(item.part.units) or 'nothing'}",
            f"    replaced: {', '.join(replaced(item))}",
            f"    kept in:  {aside}/<time>/{item.part.name}",
            *(f"    note:     {note}" for note in item.notes),
        ]
    return "\n".join([*lines, ""])


def replaced(item: Item) -> Iterator[str]:
    """What of this host an item replaces."""
    part = item.part
    yield from map(str, part.paths)
    yield from (f"{one.database} (SQLite)" for one in part.sqlite)
    if part.postgresql:
        which = f"database {item.database}" if item.database else "databases"
        yield f"{which} of PostgreSQL at port {part.postgresql.port}"
    if part.prometheus:
        yield f"{part.prometheus.data_dir} (samples of Prometheus)"
    if part.victoriametrics:
        yield f"{part.victoriametrics.data_dir} (samples of VictoriaMetrics)"


def room(
    items: Sequence[Item], work: Path, servers: Iterable[tuple[Path, int]] = ()
) -> Iterator[str]:
    """Which filesystems are too small for the copies, for judging them and for putting them.

    What is there now is renamed, mostly; a copy has to have room beside it. `servers` says what
    servers of databases need at which place, for what is restored beside what is live.
    """
    wants = [want for item in items for want in _wants(item, work)]
    needed: dict[int, int] = {}
    where: dict[int, Path] = {}
    for place, size in [*wants, *servers]:
        device = _device(place)
        needed[device] = needed.get(device, 0) + size
        where.setdefault(device, place)
    for device, count in needed.items():
        free = _free(where[device])
        if free < count + _SPARE_BYTES:
            yield (
                f"the filesystem of {where[device]} has {human(free)} free, and "
                f"{human(count + _SPARE_BYTES)} are needed"
            )


def _wants(item: Item, work: Path) -> Iterator[tuple[Path, int]]:
    live = [*item.part.paths, *(one.database for one in item.part.sqlite)]
    live += [one.data_dir for one in (item.part.prometheus, item.part.victoriametrics) if one]
    # A copy, beside it what judges it or compares it, and what becomes live
    places = [work, work, *{_device(one): one for one in live}.values()]
    # Where the server runs that judges a dump
    places += [Path("/var/tmp")] if item.part.postgresql else []  # noqa: S108
    yield from ((place, item.size) for place in places)


def _age(seconds: float) -> str:
    return f"{seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else f"{seconds / _HOUR:.1f} h"


def _files(part: Part) -> list[Path]:
    return [one.database for one in part.sqlite]


def _touches(path: Path, paths: Sequence[Path]) -> bool:
    return below(path, paths) or any(below(one, (path,)) for one in paths)


def _there(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _device(path: Path) -> int:
    return _there(path).stat().st_dev


def _free(path: Path) -> int:
    stat = os.statvfs(_there(path))
    return stat.f_bavail * stat.f_frsize
