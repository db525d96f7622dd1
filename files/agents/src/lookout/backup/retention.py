"""Which snapshots may go: decided from their times alone, so that it can be tried on any history.

A snapshot goes once good ones of its part came after it on more nights than are kept. The nights
are those of the store: a snapshot is no older than its arrival there, whatever date its host wrote
into it. Backups that stopped, a clock that jumps, and a score of snapshots that somebody forges in
one night make nothing old.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from lookout.backup.records import good, named
from lookout.backup.restic import PART, RECORD, Snapshot

DAY_SECONDS = 86400.0

# When the store got each snapshot, by the id by which records name it: seconds since 1970
Arrivals = Mapping[str, float]


def newest_good(
    snapshots: Collection[Snapshot], arrivals: Arrivals, now: float
) -> dict[str, float]:
    """When the newest good snapshot of each part was made; what is dated ahead does not count.

    Nor is one newer than its arrival: dated ahead, by a clock that was wrong or by whoever broke
    into its host, it would pass for the backup of a night on which there was none.
    """
    newest: dict[str, float] = {}
    for one in good(snapshots):
        made = min(one.time, arrivals.get(named(one), one.time))
        if made <= now:
            newest[one.part] = max(made, newest.get(one.part, made))
    return newest


def nights_after(snapshots: Collection[Snapshot], arrivals: Arrivals, now: float) -> dict[str, int]:
    """By id: on how many nights good snapshots of its part came after this one; records after one.

    A night is a day back from `now`, and counts for a good one when the store was told that it is
    good: old ones that are bad must not be many nights at once. What is dated ahead, or came ahead
    by a clock of the store that was wrong, is not among them, and counts for nothing.
    """
    # Of two clocks that differ, the one that keeps it longer. Of an unknown arrival: now.
    ages = {one.id: now - max(one.time, arrivals.get(named(one), now)) for one in snapshots}
    told: dict[str, float] = {}
    for one in snapshots:
        for id_ in one.good if ages[one.id] >= 0 else ():
            told[id_] = max(ages[one.id], told.get(id_, 0.0))
    of_kind: dict[str, list[Snapshot]] = defaultdict(list)
    for one in snapshots:
        if ages[one.id] >= 0 and (one.part or RECORD in one.tags):
            of_kind[PART + one.part if one.part else RECORD].append(one)
    after: dict[str, int] = {}
    for kind, ones in of_kind.items():
        # Its own age, and for how long it counts; the youngest first
        counting = sorted(
            (age, age if kind == RECORD else min(age, told[named(one)]))
            for one in ones
            for age in [ages[one.id]]
            if kind == RECORD or named(one) in told
        )
        # Once through all: thousands, which a host can add, must not take the store's night.
        nights: set[float] = set()
        younger = 0
        for one in sorted(ones, key=lambda one: ages[one.id]):
            while younger < len(counting) and counting[younger][0] < ages[one.id]:
                nights.add(counting[younger][1] // DAY_SECONDS)
                younger += 1
            after[one.id] = len(nights)
    return after


def forgettable(
    snapshots: Collection[Snapshot], arrivals: Arrivals, keep_days: int, now: float
) -> list[Snapshot]:
    """What is to be forgotten, the oldest first; `now` is in seconds since 1970.

    So a good snapshot that n good ones have come after stays for `keep_days` less n more days of
    the store's clock, whatever its host adds meanwhile. A record goes only when all that it names
    is gone. What carries neither a part nor the mark of a record is nobody's of ours, and stays.
    """
    after = nights_after(snapshots, arrivals, now)
    old = [one for one in snapshots if after.get(one.id, 0) > keep_days]
    going = [one for one in old if one.part]
    staying = {named(one) for one in snapshots} - {named(one) for one in going}
    going += [one for one in old if not one.part and not staying.intersection(one.good)]
    return sorted(going, key=lambda one: (one.time, one.id))
