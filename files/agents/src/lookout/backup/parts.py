"""Parts: what the roles of a host want saved, each in a file of /etc/lookout/backup.d.

A part is data alone, so that any host can judge and restore the backup of any other one: how to
copy a kind of data is known to `lookout.backup.sources`.

A part may have several roles: each registers a piece of it, in a file `<part>-<piece>.yml`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lookout.kit.config import ConfigError, load, option

T = TypeVar("T")
# What a part may be called
NAME = r"[a-z][a-z0-9_]{0,30}"


@dataclass(frozen=True)
class Sqlite:
    """One database of SQLite."""

    database: Path
    # Owner of the file. The copy is made as this user, so that no file of root is left beside it.
    user: str
    # Tables that there have to be
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Postgresql:
    """All databases of one PostgreSQL server, and what belongs to none (roles, settings)."""

    bin_dir: Path
    socket_dir: Path
    port: int = option(5432, at_least=1, at_most=65535)


@dataclass(frozen=True)
class Prometheus:
    """The samples of one Prometheus, which has its admin API on."""

    url: str
    data_dir: Path
    user: str
    # For a server that asks for a certificate of the site
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None


@dataclass(frozen=True)
class Victoriametrics:
    """The samples of one VictoriaMetrics, which answers on loopback."""

    url: str
    data_dir: Path
    user: str


@dataclass(frozen=True)
class Piece:
    """What one role has in a part that it shares with others."""

    name: str
    paths: tuple[Path, ...]
    units: tuple[str, ...] = ()
    check: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """What is saved, judged and restored together."""

    name: str = option(pattern=NAME, must="be of a-z, 0-9 and _, and begin with a letter")
    # Files and folders, with all that is below them. What does not exist is an error.
    paths: tuple[Path, ...] = ()
    # Of those, names or patterns that are left out, as in *.tmp
    exclude: tuple[str, ...] = ()
    sqlite: tuple[Sqlite, ...] = ()
    postgresql: Postgresql | None = None
    prometheus: Prometheus | None = None
    victoriametrics: Victoriametrics | None = None
    # Units that must not run while the part is put back
    units: tuple[str, ...] = ()
    # A command whose exit status 0 says that a restored copy is good; {files} is the folder that
    # holds `paths`. Taken from this host's own file alone, never from a snapshot.
    check: tuple[str, ...] = ()
    # A command to run before anything is copied
    prepare: tuple[str, ...] = ()
    timeout_seconds: float = option(3600.0, at_least=1, at_most=86400)
    # In a file: the piece of the part that this one is; empty for a whole part
    piece: str = option("", pattern=f"({NAME})?", must="be of a-z, 0-9 and _")
    # What it was put together from: their paths and units are the part's
    pieces: tuple[Piece, ...] = ()

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}-{self.piece}.yml" if self.piece else f"{self.name}.yml"

    @property
    def checks(self) -> list[tuple[str, ...]]:
        """The commands that judge a copy."""
        return [one for one in (self.check, *(piece.check for piece in self.pieces)) if one]

    def limited(self, paths: Sequence[Path]) -> Part:
        """The part with these paths, and of its pieces with those alone that have one of them."""
        pieces = tuple(one for one in self.pieces if _meet(one.paths, paths))
        units = _together(one.units for one in pieces) if self.pieces else self.units
        return dataclasses.replace(self, paths=tuple(paths), pieces=pieces, units=units)

    @property
    def saves_something(self) -> bool:
        """Whether it has a source at all."""
        servers = self.postgresql or self.prometheus or self.victoriametrics
        return bool(self.paths or self.sqlite or servers)

    def problems(self) -> Iterator[str]:
        """What is wrong across the keys."""
        if not self.saves_something:
            yield (
                "paths: the part saves nothing: name paths, sqlite, postgresql, prometheus or"
                " victoriametrics"
            )
        servers = self.postgresql or self.prometheus or self.victoriametrics
        if self.piece and (servers or self.exclude or self.sqlite or self.prepare):
            yield "piece: a piece of a part has paths, units and check, and no more"
        for path in self.paths:
            if not path.is_absolute() or ".." in path.parts or path == Path("/"):
                yield f"paths: {path} has to be an absolute path, without .., and not /"


def read(folder: Path) -> tuple[list[Part], list[str]]:
    """The parts of all files, and a problem for each file that is none.

    A bad file must not keep the other parts from being saved; the caller counts it as a failure.
    """
    parts: dict[str, list[Part]] = {}
    problems: list[str] = []
    for file in sorted(folder.glob("*.yml")):
        try:
            part = load(Part, file)
        except ConfigError as error:
            problems += error.problems
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{file.name}: it cannot be read: {error}")
            continue
        others = parts.setdefault(part.name, [])
        if part.file != file.name:
            problems.append(
                f"{file.name}: name: {Path(part.file).stem} is another name than the file's"
            )
        elif others and not (part.piece and others[0].piece):
            problems.append(f"{file.name}: {part.name} is a whole part, which has no pieces")
        else:
            others.append(part)
    return [_whole(files) for files in parts.values() if files], problems


def _whole(files: Sequence[Part]) -> Part:
    """The part that stands in these files."""
    first = files[0]
    if not first.piece:
        return first
    return Part(
        first.name,
        paths=_together(one.paths for one in files),
        units=_together(one.units for one in files),
        timeout_seconds=max(one.timeout_seconds for one in files),
        pieces=tuple(Piece(one.piece, one.paths, one.units, one.check) for one in files),
    )


def below(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a path is one of the folders, or in one of them."""
    return any(path == folder or folder in path.parents for folder in folders)


def _meet(some: Sequence[Path], others: Sequence[Path]) -> bool:
    return any(below(one, others) for one in some) or any(below(one, some) for one in others)


def _together(lists: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(one for each in lists for one in each))
