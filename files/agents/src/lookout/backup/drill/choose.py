"""Which snapshots a drill restores, by what the newest run says of itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lookout.backup import records
from lookout.backup.restic import WHOLE, Snapshot

_NO_MORE = "it is no longer part of the backup"


@dataclass(frozen=True)
class Choice:
    """The newest good snapshot of each part, and what is wrong already."""

    record: Snapshot | None = None
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    # Parts that the newest run has no good snapshot of, and why that is bad
    missing: dict[str, str] = field(default_factory=dict)
    # Parts that the host says it has no more, in words
    dropped: dict[str, str] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the host says that it has nothing to save."""
        return bool(self.record) and not (self.snapshots or self.missing or self.failures)


def said(at: float) -> str:
    """A time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + " UTC"


def choose(snapshots: Sequence[Snapshot], host: str, now: float) -> Choice:
    """What to judge of a host's repository.

    No part that an earlier run saved may be lacking, unless the newest one says that the host has
    it no more.
    """
    own = [one for one in records.past(snapshots, now) if one.host == host]
    # What was asked for some parts alone says nothing of the others.
    counting = records.last_runs(own)
    if not counting:
        found = f"{len(snapshots)} snapshots" if snapshots else "no snapshot"
        why = f"the repository has {found}, and no record of a run of {host}: what of it is good?"
        return Choice(failures=(why,))
    newest, known = counting[0], {records.named(one): one for one in own}
    last = {one.part: one for one in records.good(own)}
    chosen = {known[one].part: known[one] for run in counting for one in run.good if one in known}
    gone = records.dropped(own).keys() - chosen.keys()
    failures = [
        f"the run of {said(run.time)} saved snapshot {one[:8]}, and it is not there"
        for run in counting
        for one in run.good
        if one not in known
    ]
    # A host that has nothing to save says so.
    if not newest.good and (newest.names or WHOLE not in newest.tags):
        failures.append(f"the run of {said(newest.time)} saved nothing that is good")
    lacking = {*last, *newest.names} - chosen.keys() - gone
    ran = f"the run of {said(newest.time)}"
    return Choice(
        newest,
        chosen,
        {one: f"{ran} has no good snapshot of it; {_last(last, one)}" for one in lacking},
        {one: f"{ran} does not name it: {_NO_MORE}; {_last(last, one)}" for one in gone},
        tuple(failures),
    )


def _last(good: dict[str, Snapshot], part: str) -> str:
    known = good.get(part)
    return (
        f"the newest one that is known is of {said(known.time)}" if known else "nor has any other"
    )
