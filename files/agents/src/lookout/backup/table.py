"""Tables for people: what there is, and what a run would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lookout.backup.night import Plan
from lookout.backup.reach import Status
from lookout.backup.records import good_ids, named
from lookout.backup.restic import Snapshot
from lookout.backup.save import human
from lookout.backup.state import State
from lookout.kit.table import date, rows


def snapshots(found: Sequence[Snapshot], wanted: Iterable[str] = ()) -> str:
    """The snapshots of parts, the newest last, and whether each is good."""
    good = good_ids(found)
    only = set(wanted)
    return rows(
        ("DATE (UTC)", "PART", "GOOD", "SIZE", "SNAPSHOT"),
        *(
            (
                date(one.time),
                one.part,
                "yes" if named(one) in good else "no",
                human(one.bytes) if one.bytes is not None else "?",
                one.id[:8],
            )
            for one in found
            if one.part and (not only or one.part in only)
        ),
    )


def plan(work: Plan, needs: Mapping[str, int], state: State) -> str:
    """What would be saved."""
    lines = [("PART", "ABOUT", "SAVED LAST (UTC)", "PROBLEM")]
    for part in work.parts:
        size = needs.get(part.name)
        lines.append(
            (
                part.name,
                human(size) if size is not None else "?",
                _last(state, part.name),
                "" if size is not None else "it does not say how large it is",
            )
        )
    lines += [(name, "?", _last(state, name), why) for name, why in work.broken.items()]
    return rows(*lines)


def store(address: str, status: Status) -> str:
    """The store in one line."""
    return f"store {address}: {human(status.free_bytes)} of {human(status.size_bytes)} free"


def _last(state: State, name: str) -> str:
    known = state.parts.get(name)
    return date(known.last_success) if known and known.last_success else "never"
