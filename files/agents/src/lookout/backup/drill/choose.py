"""Which snapshots a drill restores, by what the newest run says of itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lookout.backup.night import PARTIAL
from lookout.backup.restic import RECORD, Snapshot

# Clocks differ a little. What is dated further ahead was made by a clock that was wrong, and
# would be the newest one until its time comes.
AHEAD_SECONDS = 3600.0


@dataclass(frozen=True)
class Choice:
    """The newest good snapshot of each part, and what is wrong already."""

    record: Snapshot | None = None
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    # Parts that the newest run has no good snapshot of, and why that is bad
    missing: dict[str, str] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def said(at: float) -> str:
    """A time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + " UTC"


def choose(snapshots: Sequence[Snapshot], host: str, now: float) -> Choice:
    """What to judge of a host's repository. No part that an earlier run saved may be lacking."""
    known = {
        one.id: one for one in snapshots if one.host == host and one.time <= now + AHEAD_SECONDS
    }
    records = sorted(
        (one for one in known.values() if RECORD in one.tags), key=lambda one: one.time
    )
    # What was asked for some parts alone says nothing of the others.
    whole = [one for one in records if PARTIAL not in one.tags]
    if not whole:
        found = f"{len(snapshots)} snapshots" if snapshots else "no snapshot"
        why = f"the repository has {found}, and no record of a run of {host}: what of it is good?"
        return Choice(failures=(why,))
    newest = whole[-1]
    counting = [newest, *(one for one in records if one.time > newest.time)]
    chosen = {known[one].part: known[one] for run in counting for one in run.good if one in known}
    failures = [
        f"the run of {said(run.time)} saved snapshot {one[:8]}, and it is not there"
        for run in counting
        for one in run.good
        if one not in known
    ]
    if not newest.good:
        failures.append(f"the run of {said(newest.time)} saved nothing that is good")
    missing = {}
    for run in records:
        for one in run.good:
            part = known[one].part if one in known else ""
            if part and part not in chosen:
                missing[part] = (
                    f"the run of {said(newest.time)} has no good snapshot of it; "
                    f"the newest one that is known is of {said(run.time)}"
                )
    return Choice(newest, chosen, missing, tuple(failures))
