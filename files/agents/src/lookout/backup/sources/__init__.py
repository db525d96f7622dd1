"""Sources: the kinds of data that a part is made of, and what can be done with each.

The stage is a part's own folder, below which each source has one. A snapshot holds the stage and
nothing else, so that a restored copy looks like the stage did.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lookout.backup.parts import Part

# What a source tells of a copy, in JSON's types: what the manifest holds and a drill compares.
Facts = dict[str, Any]


class SourceError(Exception):
    """Why data could not be saved or put back, in words that need no trace."""


class CannotJudgeError(Exception):
    """Why nobody can tell here whether a copy is good: the copy is not to blame."""


class Source(Protocol):
    """One kind of data of one part. All methods may raise SourceError and OSError."""

    @property
    def name(self) -> str:
        """Name of its folder below the stage, and of its facts in the manifest."""

    def bytes_needed(self) -> int:
        """About how much room the copy takes in the stage."""

    def save(self, folder: Path) -> None:
        """Make a consistent copy of the live data in the empty folder `folder`."""

    def describe(self, folder: Path) -> Facts:
        """What is in a copy. May ask the live service for what the copy must show."""

    def judge(self, folder: Path, facts: Facts, scratch: Path) -> Iterator[str]:
        """What is wrong with a restored copy; nothing if it is good.

        Needs no privileges and touches nothing live: servers are started below the empty folder
        `scratch`, at private sockets or free ports of loopback, and are gone afterwards. Raises
        CannotJudgeError where a program that it takes is not on this host.
        """

    def put(self, folder: Path, facts: Facts, aside: Path) -> None:
        """Make the live data what the copy is, and move what was there into `aside` (or rename it).

        The part's units are stopped. `aside` is a folder of this restore alone: what is in it says
        how far that came. Killed in the midst, another `put` or `undo` makes it good.
        """

    def undo(self, aside: Path) -> None:
        """Make the live data what it was before `put`, however far that came."""

    def settle(self, aside: Path) -> None:
        """The new data is good: forget what was kept outside of `aside`."""


def of(part: Part) -> list[Source]:
    """The sources of a part, in the order in which they are saved and put back."""
    # They take the names above.
    from lookout.backup.sources.files import FilesSource  # noqa: PLC0415
    from lookout.backup.sources.postgresql import PostgresqlSource  # noqa: PLC0415
    from lookout.backup.sources.prometheus import PrometheusSource  # noqa: PLC0415
    from lookout.backup.sources.sqlite import SqliteSource  # noqa: PLC0415
    from lookout.backup.sources.victoriametrics import VictoriametricsSource  # noqa: PLC0415

    found: list[Source] = []
    if part.paths:
        found.append(FilesSource(part.paths, part.exclude))
    if part.sqlite:
        found.append(SqliteSource(part.sqlite, part.timeout_seconds))
    if part.postgresql:
        found.append(PostgresqlSource(part.postgresql, part.timeout_seconds))
    if part.prometheus:
        found.append(PrometheusSource(part.prometheus, part.timeout_seconds))
    if part.victoriametrics:
        found.append(VictoriametricsSource(part.victoriametrics, part.timeout_seconds))
    return found
