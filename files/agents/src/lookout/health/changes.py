"""What changed since the last run, and what of it is to be told: pure, without a clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lookout.health.results import Result

# Four changes within an hour are two faults that came and went; at a run every five minutes more
# than one fault an hour for each thing is no news, but a state of its own.
FLAPPING_CHANGES = 4
FLAPPING_SECONDS = 3600
# Half an hour without a change, six runs, and it counts as calm.
CALM_SECONDS = 1800

OK, FAILING, FLAPPING = "ok", "failing", "flapping"


@dataclass(frozen=True)
class Entry:
    """What is remembered of a thing: its state, since when, and what people were told last."""

    failing: bool
    since: float
    told: str = OK
    changes: tuple[float, ...] = ()
    flapping: bool = False

    @property
    def state(self) -> str:
        """What people should know."""
        if self.flapping:
            return FLAPPING
        return FAILING if self.failing else OK


@dataclass(frozen=True)
class Message:
    """One message about one thing."""

    key: str
    text: str
    level: str
    state: str


def follow(former: Entry | None, failing: bool, now: float) -> Entry:
    """The entry after a run. Unknown before is no change: it counts from now on."""
    if former is None:
        return Entry(failing, now)
    recent = tuple(moment for moment in former.changes if now - moment < FLAPPING_SECONDS)
    if failing != former.failing:
        recent = (*recent, now)
        former = replace(former, failing=failing, since=now)
    flapping = len(recent) >= FLAPPING_CHANGES or (
        former.flapping and now - former.since < CALM_SECONDS
    )
    if former.flapping and now - former.since >= CALM_SECONDS:
        recent, flapping = (), False
    return replace(former, changes=recent, flapping=flapping)


def message(result: Result, entry: Entry, host: str) -> Message | None:
    """What is to be told; nothing while people know already."""
    state = entry.state
    if state == entry.told:
        return None
    where = f"{host}: {result.check} {result.name}"
    if state == FLAPPING:
        text = f"{where} flaps: {len(entry.changes)} changes within an hour"
        return Message(result.key, text, "warning", state)
    calm = " (it flapped, and is calm again)" if entry.told == FLAPPING else ""
    if state == FAILING:
        return Message(result.key, f"{where}: {result.problem}{calm}", "error", state)
    return Message(result.key, f"{where} is well again{calm}", "info", state)


def changed(former: Mapping[str, Entry], entries: Mapping[str, Entry]) -> list[str]:
    """The things whose state is another one than in the last run; those that begin badly, too."""
    return [
        key
        for key, entry in entries.items()
        if (former[key].failing != entry.failing if key in former else entry.failing)
    ]


def follow_all(
    former: Mapping[str, Entry], results: Iterable[Result], now: float
) -> dict[str, Entry]:
    """The entries of all results. What is checked no longer is forgotten."""
    return {result.key: follow(former.get(result.key), result.failing, now) for result in results}
