"""What one call of `lookout-restore` works with; the tests put other things in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookout.backup import sources as kinds
from lookout.backup.options import RunOptions
from lookout.backup.restic import Repository
from lookout.backup.restore.fetch import Archive, Restic
from lookout.backup.restore.journal import Entry
from lookout.backup.restore.units import Systemd, Units
from lookout.backup.restore.wishes import Wishes
from lookout.backup.sources import Source
from lookout.backup.sources.postgresql import PostgresqlSource

UNTOUCHED, AS_BEFORE, NEITHER = 1, 3, 4


class Stop(Exception):  # noqa: N818
    """Why the call ends before its end. `failed`: somebody should hear of it."""

    def __init__(self, message: str, status: int = UNTOUCHED, failed: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.failed = failed


@dataclass(frozen=True)
class Context:
    """Options, wishes, and the doors to the outside."""

    options: RunOptions
    wishes: Wishes
    archive: Archive
    units: Units
    sources: Callable[[Entry], Sequence[Source]]
    ask: Callable[[str], str] = input

    @property
    def work(self) -> Path:
        """The folder of the backup on this host."""
        return self.options.stage_dir.parent

    @property
    def copies(self) -> Path:
        """Where copies are fetched to, one folder a part."""
        return self.work / "restore"

    @property
    def aside(self) -> Path:
        """Where what was there before is kept, one folder a restore."""
        return self.work / "aside"


def of_this_host(options: RunOptions, wishes: Wishes) -> Context:
    """The real doors."""
    archive = Restic(Repository(options, wishes.host or options.instance))
    return Context(options, wishes, archive, Systemd(), sources_of)


def sources_of(entry: Entry) -> Sequence[Source]:
    """The sources of a part, or of the one database that is wanted of it."""
    found = kinds.of(entry.part)
    if not entry.database:
        return found
    return [
        dataclasses.replace(source, databases=(entry.database,))
        if isinstance(source, PostgresqlSource)
        else source
        for source in found
    ]
