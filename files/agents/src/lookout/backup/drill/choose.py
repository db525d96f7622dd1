"""Which snapshots a drill restores, by what the newest run says of itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    if not records:
        found = f"{len(snapshots)} snapshots" if snapshots else "no snapshot"
        return Choice(
            failures=(f"the repository has {found}, and no record of a run of {host}: "
                      "nobody knows which of them are good",)
        )  # fmt: skip
    newest = records[-1]
    chosen = {known[one].part: known[one] for one in newest.good if one in known}
    chosen.pop("", None)
    failures = [
        f"the run of {said(newest.time)} saved snapshot {one[:8]}, and it is not there"
        for one in newest.good
        if one not in known
    ]
    if not newest.good:
        failures.append(f"the run of {said(newest.time)} saved nothing that is good")
    missing = {}
    for record in records:
        for one in record.good:
            part = known[one].part if one in known else ""
            if part and part not in chosen:
                missing[part] = (
                    f"the run of {said(newest.time)} has no good snapshot of it; "
                    f"the newest one that is known is of {said(record.time)}"
                )
    return Choice(newest, chosen, missing, tuple(failures))
