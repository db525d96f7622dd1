"""What there is in a repository at the store: how much, since when, and whether it is all."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from lookout.backup.records import dropped, named, past
from lookout.backup.restic import RECORD, UNFINISHED, Snapshot
from lookout.backup.retention import Arrivals, newest_good, nights_after
from lookout.backup.store_state import Part


def arrivals(folder: Path, snapshots: Collection[Snapshot]) -> dict[str, float]:
    """When the store got each of the snapshots, by the id by which records name it.

    rclone writes their files with the store's time, and lets nobody write one a second time. They
    are on the disk with the backups: a store that is built anew still knows.
    """
    found: dict[str, float] = {}
    for one in snapshots:
        with suppress(FileNotFoundError):
            arrival = (folder / "snapshots" / one.id).stat().st_mtime
            # Of two that bear one name the later one, which keeps longer
            found[named(one)] = max(arrival, found.get(named(one), arrival))
    return found


def folder_bytes(folder: Path) -> int:
    """Size of all files below it. What goes meanwhile is not counted."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def is_unfinished(snapshots: Collection[Snapshot], came: Arrivals) -> bool:
    """Whether the last run left an upload behind that the next one goes on with.

    No snapshot refers to what such a one has brought so far: prune would take it away, and what
    takes longer than a part may would never be saved.
    """
    told = [one for one in snapshots if RECORD in one.tags]
    last = max(told, key=lambda one: came.get(named(one), 0.0), default=None)
    return last is None or UNFINISHED in last.tags


def parts_of(snapshots: Collection[Snapshot], came: Arrivals, now: float) -> dict[str, Part]:
    """What there is of each part."""
    good, after = newest_good(snapshots, now), nights_after(snapshots, came, now)
    gone = dropped(past(snapshots, now))
    of_part: dict[str, list[Snapshot]] = defaultdict(list)
    for one in snapshots:
        if one.part:
            of_part[one.part].append(one)
    return {
        part: Part(
            len(ones),
            min(one.time for one in ones),
            good.get(part),
            max(after.get(one.id, 0) for one in ones),
            gone.get(part),
        )
        for part, ones in of_part.items()
    }
