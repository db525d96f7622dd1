"""What records of runs say of a repository: which snapshots are good, which parts there are.

A record ends each run. It names the snapshots that were saved without an error, and the parts that
the run was about, saved or not: of a whole run those are all that the host has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable

from lookout.backup.restic import PARTIAL, RECORD, WHOLE, Snapshot

# Clocks differ a little. What is dated further ahead was made by a clock that was wrong, and
# would be the newest one until its time comes.
AHEAD_SECONDS = 3600.0


def named(snapshot: Snapshot) -> str:
    """The id by which records name it."""
    return snapshot.original or snapshot.id


def good_ids(snapshots: Iterable[Snapshot]) -> set[str]:
    """The snapshots that a record says were saved without an error, as it names them."""
    return {one for snapshot in snapshots for one in snapshot.good}


def good(snapshots: Collection[Snapshot]) -> list[Snapshot]:
    """Those that hold a part, and that the record of a run says to be whole; the oldest first."""
    known = good_ids(snapshots)
    found = [snapshot for snapshot in snapshots if snapshot.part and named(snapshot) in known]
    return sorted(found, key=lambda snapshot: snapshot.time)


def past(snapshots: Iterable[Snapshot], now: float) -> list[Snapshot]:
    """Without what a wrong clock dated ahead."""
    return [one for one in snapshots if one.time <= now + AHEAD_SECONDS]


def last_runs(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """The newest record of a whole run, and those of some parts alone that came after it."""
    records = sorted((one for one in snapshots if RECORD in one.tags), key=lambda one: one.time)
    whole = [number for number, one in enumerate(records) if PARTIAL not in one.tags]
    return records[whole[-1] :] if whole else []


def dropped(snapshots: Collection[Snapshot]) -> dict[str, float]:
    """The parts that there are snapshots of and that the host says it has no more, and since when.

    Records of before this was told are no such word: they name the good snapshots alone.
    """
    runs = last_runs(snapshots)
    if not runs or WHOLE not in runs[0].tags:
        return {}
    has = {part for run in runs for part in run.names}
    saved: dict[str, float] = {}
    for one in snapshots:
        if one.part and one.part not in has:
            saved[one.part] = max(one.time, saved.get(one.part, one.time))
    told = sorted(one.time for one in snapshots if WHOLE in one.tags)
    since = {part: bisect_right(told, last) for part, last in saved.items()}
    return {part: told[at] if at < len(told) else runs[0].time for part, at in since.items()}
