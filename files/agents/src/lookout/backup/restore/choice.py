"""Which snapshot a date means. Pure: all times are seconds since 1970, all dates are UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lookout.backup.records import good
from lookout.backup.restic import Snapshot

LATEST = "latest"
_DAY = r"\d{4}-\d\d-\d\d"
_MINUTE = _DAY + r"[T ]\d\d:\d\d"
_ZONE = r"(Z|[+-]\d\d:\d\d)?"
# As written, without the zone -> how long what is meant lasts
_LASTS = {
    _DAY: timedelta(days=1),
    _MINUTE + _ZONE: timedelta(minutes=1),
    _MINUTE + r":\d\d" + _ZONE: timedelta(seconds=1),
    _MINUTE + r":\d\d\.\d+" + _ZONE: timedelta(0),
}
# Of the dates that there are, in a message
_SHOWN = 5


class ChoiceError(Exception):
    """Why there is nothing to restore, and what there is instead."""


def shown(time: float) -> str:
    """A time as people read it, and as `moment` takes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str, now: float) -> float:
    """The end of what a date names: of that day, minute or second; of `latest`, now."""
    if text == LATEST:
        return now
    for pattern, lasts in _LASTS.items():
        if re.fullmatch(pattern, text):
            try:
                begin = datetime.fromisoformat(text)
                begin = begin if begin.tzinfo else begin.replace(tzinfo=UTC)
                return (begin + lasts).timestamp()
            except (ValueError, OverflowError) as error:
                raise ChoiceError(f"{text} is no date: {error}") from error
    raise ChoiceError(
        f"{text!r} is no date. Say `latest`, a day as in 2026-11-20, or a time as in "
        "2026-11-20T23:00:07Z; all of them are UTC"
    )


def dates(snapshots: Sequence[Snapshot]) -> dict[str, list[float]]:
    """When the good snapshots of each part were made."""
    found: dict[str, list[float]] = {}
    for snapshot in good(snapshots):
        found.setdefault(snapshot.part, []).append(snapshot.time)
    return dict(sorted(found.items()))


def choose(snapshots: Sequence[Snapshot], part: str, text: str, now: float) -> Snapshot:
    """The newest good snapshot of a part that is not younger than the date."""
    until = moment(text, now)
    all_good = [snapshot for snapshot in good(snapshots) if snapshot.part == part]
    fitting = [snapshot for snapshot in all_good if snapshot.time <= until]
    if fitting:
        return fitting[-1]
    if all_good:
        there = ", ".join(shown(snapshot.time) for snapshot in all_good[:_SHOWN])
        more = f" and {len(all_good) - _SHOWN} newer ones" if len(all_good) > _SHOWN else ""
        raise ChoiceError(
            f"{part}: there is no good snapshot at or before {shown(until)}; "
            f"the nearest are {there}{more}"
        )
    bad = [shown(snapshot.time) for snapshot in snapshots if snapshot.part == part]
    if bad:
        raise ChoiceError(
            f"{part}: no snapshot is good: no run that ended says so of those of {', '.join(bad)}. "
            "`--to FOLDER --snapshot ID` writes such a copy out for a look"
        )
    known = ", ".join(dates(snapshots)) or "none"
    raise ChoiceError(f"{part}: there is no snapshot of it; parts with a good one: {known}")
