"""Parts: what the roles of a host want saved, each in a file of /etc/lookout/backup.d.

A part is data alone, so that any host can judge and restore the backup of any other one: how to
copy a kind of data is known to `lookout.backup.sources`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import ConfigError, load, option

_NAME = r"[a-z][a-z0-9_]{0,30}"


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
class Part:
    """What is saved, judged and restored together."""

    name: str = option(pattern=_NAME, must="be of a-z, 0-9 and _, and begin with a letter")
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
        for path in self.paths:
            if not path.is_absolute() or ".." in path.parts or path == Path("/"):
                yield f"paths: {path} has to be an absolute path, without .., and not /"


def read(folder: Path) -> tuple[list[Part], list[str]]:
    """The parts of all files, and a problem for each file that is none.

    A bad file must not keep the other parts from being saved; the caller counts it as a failure.
    """
    parts, problems = [], []
    for file in sorted(folder.glob("*.yml")):
        try:
            part = load(Part, file)
        except ConfigError as error:
            problems += error.problems
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{file.name}: it cannot be read: {error}")
            continue
        if part.name == file.stem:
            parts.append(part)
        else:
            problems.append(f"{file.name}: name: {part.name} is another name than the file's")
    return parts, problems
