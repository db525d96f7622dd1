"""Which snapshots may go: decided from their times alone, so that it can be tried on any history.

The window is counted back from the newest good snapshot of each part, and never from a clock that
is ahead of it: backups that stopped, and a clock that jumps, make nothing old.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lookout.backup.records import good, good_ids, named
from lookout.backup.restic import RECORD, Snapshot

DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Rule:
    """How long snapshots are kept."""

    keep_days: int
    keep_last: int


def newest_good(snapshots: Collection[Snapshot], now: float) -> dict[str, float]:
    """When the newest good snapshot of each part was made; what is dated ahead does not count."""
    # The oldest first: the last one of each part remains.
    return {one.part: one.time for one in good(snapshots) if one.time <= now}


def forgettable(snapshots: Collection[Snapshot], rule: Rule, now: float) -> list[Snapshot]:
    """What is to be forgotten, the oldest first; `now` is in seconds since 1970.

    Of a part all stays as long as it has no good snapshot; after that goes what is older than the
    window, unless it is one of the newest good ones. A record goes when all that it names is gone.
    What carries neither a part nor the mark of a record is nobody's of ours, and stays.
    """
    known = good_ids(snapshots)
    going: list[Snapshot] = []
    for part, newest in newest_good(snapshots, now).items():
        made = [one for one in snapshots if one.part == part and one.time <= now]
        kept = sorted((one.time, one.id) for one in made if named(one) in known)[-rule.keep_last :]
        held = {id_ for _, id_ in kept}
        before = min(now, newest) - rule.keep_days * DAY_SECONDS
        going += [one for one in made if one.time < before and one.id not in held]
    going += _records(snapshots, {named(one) for one in going}, rule, now)
    return sorted(going, key=lambda one: (one.time, one.id))


def _records(
    snapshots: Collection[Snapshot], gone: Collection[str], rule: Rule, now: float
) -> list[Snapshot]:
    """The records that are older than the window and name nothing that stays."""
    newest = max(newest_good(snapshots, now).values(), default=None)
    if newest is None and not any(one.part for one in snapshots):
        # A host that has nothing to save says so every night: its records name nothing.
        told = (one.time for one in snapshots if RECORD in one.tags and one.time <= now)
        newest = max(told, default=None)
    if newest is None:
        return []
    before = min(now, newest) - rule.keep_days * DAY_SECONDS
    staying = {named(one) for one in snapshots}.difference(gone)
    return [
        one
        for one in snapshots
        if RECORD in one.tags and one.time < before and not staying.intersection(one.good)
    ]
