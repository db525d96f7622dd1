"""What there is in a repository at the store: how much, since when, and whether it is all."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from lookout.backup.parts import NAME
from lookout.backup.records import dropped, named, past
from lookout.backup.restic import RECORD, UNFINISHED, Snapshot
from lookout.backup.retention import Arrivals, newest_good, nights_after
from lookout.backup.store_state import Part

log = logging.getLogger("lookout.backup.store")

# Of a host that was broken into: more series or longer names than Prometheus takes from one target
# would keep it from all that the store says of the others.
MOST_PARTS = 100
# A run that goes on with an upload ends within that of the one before it, each night.
GOES_ON_SECONDS = 36 * 3600.0


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


def is_unfinished(snapshots: Collection[Snapshot], came: Arrivals, now: float) -> bool:
    """Whether the last run left an upload behind that the next one goes on with.

    No snapshot refers to what such a one has brought so far: prune would take it away, and what
    takes longer than a part may would never be saved. Where no run came since, none goes on with
    it: the store may have no room for one until it is pruned.
    """
    told = [one for one in snapshots if RECORD in one.tags]
    last = max(told, key=lambda one: came.get(named(one), 0.0), default=None)
    if last is None:
        return True
    return UNFINISHED in last.tags and now - came.get(named(last), 0.0) < GOES_ON_SECONDS


def parts_of(snapshots: Collection[Snapshot], came: Arrivals, now: float) -> dict[str, Part]:
    """What there is of each part that could be one."""
    good, after = newest_good(snapshots, came, now), nights_after(snapshots, came, now)
    gone = dropped(past(snapshots, now))
    of_part: dict[str, list[Snapshot]] = defaultdict(list)
    for one in snapshots:
        if re.fullmatch(NAME, one.part):
            of_part[one.part].append(one)
    if len(of_part) > MOST_PARTS:
        log.warning("of its %d parts the %d that came first are told", len(of_part), MOST_PARTS)
    # Of an unknown arrival: the last
    first = {part: min(came.get(named(one), now) for one in ones) for part, ones in of_part.items()}
    told = sorted(first, key=lambda part: first[part])[:MOST_PARTS]
    return {
        part: Part(
            len(ones),
            min(one.time for one in ones),
            good.get(part),
            max(after.get(one.id, 0) for one in ones),
            gone.get(part),
        )
        for part in told
        for ones in [of_part[part]]
    }
