"""One backup of a host: the store is asked, every part is saved, and the record says which."""

from __future__ import annotations

import functools
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from lookout.backup.bounded import BoundedError, bounded
from lookout.backup.options import RunOptions
from lookout.backup.parts import NAME, Part, read
from lookout.backup.reach import Client, Status, StoreError, patiently
from lookout.backup.restic import (
    GOOD,
    NAMES,
    PARTIAL,
    RECORD,
    UNFINISHED,
    WHOLE,
    Repository,
    ResticError,
    is_locked,
    passes,
)
from lookout.backup.save import MEBIBYTE, Outcome, Saver, clear, empty, human
from lookout.backup.state import NOT_COPIED, State

log = logging.getLogger("lookout.backup")
T = TypeVar("T")

# To say how large its data is, a server that is well needs no longer.
_MEASURE_SECONDS = 120.0
_ASK_SECONDS = 300.0
# Of data that the repository has already: as much may be new. What it compresses is on top.
_NEW_SHARE = 0.1
NO_PARTS = (
    "no part is registered in {}, and there were some when site.yml ran last: let it run for this "
    "host, which writes them anew, or says that there is nothing to save"
)
# restic's files have 16 MiB, and there may be one on the way for each processor.
_PACK_BYTES = 64 * MEBIBYTE


@dataclass(frozen=True)
class Plan:
    """What a run is to save, and what of it is known to fail before it begins."""

    parts: tuple[Part, ...]
    # What is wrong with the files that name parts, by the part that each would be
    broken: dict[str, str]
    # Only some of the host's parts were asked for.
    partial: bool = False

    def without(self, half_restored: Iterable[str]) -> Plan:
        """As long as nobody finished a restore, its parts must not pass for good ones."""
        why = "its restore was interrupted: `lookout-restore --resume` or `--undo`, then again"
        halves = [part.name for part in self.parts if part.name in set(half_restored)]
        return replace(
            self,
            parts=tuple(part for part in self.parts if part.name not in halves),
            broken=self.broken | dict.fromkeys(halves, why),
        )


@dataclass(frozen=True)
class Result:
    """What became of a run."""

    outcomes: dict[str, Outcome]
    # Why nothing could be saved, or why the record could not; empty otherwise
    problem: str = ""
    # Whether the store was there at all
    store: bool = True

    @property
    def failed(self) -> list[str]:
        """The parts that were not saved."""
        return [name for name, outcome in self.outcomes.items() if outcome.exit_code != 0]


def plan(folder: Path, wanted: Sequence[str] = ()) -> Plan:
    """What is registered on this host. Raises StoreError for a wanted part that is not."""
    parts, problems = read(folder)
    broken: dict[str, str] = {}
    for problem in problems:
        name = Path(problem.partition(":")[0]).stem
        broken[name] = "; ".join(filter(None, (broken.get(name), problem)))
    if not wanted:
        return Plan(tuple(parts), broken)
    known = {part.name for part in parts} | set(broken)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise StoreError(
            f"there is no part {', '.join(unknown)} on this host: {', '.join(sorted(known))}"
        )
    chosen = tuple(part for part in parts if part.name in wanted)
    mine = {name: why for name, why in broken.items() if _part_of(name) in wanted or name in wanted}
    return Plan(chosen, mine, partial=True)


def _part_of(name: str) -> str:
    """The part that a file with this name is a piece of, or is."""
    return name.partition("-")[0]


def new_bytes(needs: Mapping[str, int], state: State) -> int:
    """About how much the repository will grow by copies of these sizes."""
    total = 0.0
    for name, size in needs.items():
        known = state.parts.get(name)
        has = known.bytes if known and known.last_success else 0
        total += max(size - has, size * _NEW_SHARE)
    return round(total)


class Night:
    """One run over the parts of a host."""

    def __init__(self, options: RunOptions, client: Client, saver: Saver, state: State) -> None:
        self._options, self._client, self._saver, self._state = options, client, saver, state
        self._until = time.monotonic() + options.timeout_seconds

    def save(self, work: Plan) -> Result:
        """Save all parts; what cannot be saved is in the result, and never raised."""
        if not work.parts and not work.broken:
            if self._options.has_parts:
                return Result({}, NO_PARTS.format(self._options.parts_dir), store=False)
            log.info("no role has registered a part on this host: there is nothing to save")
        broken = {name: Outcome(problem=why) for name, why in work.broken.items()}
        for why in work.broken.values():
            log.error("a part is not known: %s", why)
        try:
            clear(self._options.stage_dir)
            status = self.ready()
            self.check_room(self.measure(work.parts), status)
            repository = self._client.repository(self._saver.host)
            self._ask(repository.unlock)
        except (StoreError, ResticError, OSError) as error:
            return Result(self._none(work, str(error)), str(error), store=False)
        outcomes = broken
        for part in work.parts:
            outcomes[part.name] = self._part(part, repository)
        problem = self._record(work, outcomes, repository)
        return Result(outcomes, problem)

    def ready(self) -> Status:
        """What the store says. Raises StoreError where it cannot keep a backup of this host."""
        host = self._saver.host
        status = self._client.status(host)
        if not status.mounted:
            raise StoreError(
                "the store's filesystem for backups is not mounted, or not the one that it should "
                "be: nothing is saved elsewhere"
            )
        if not status.repository:
            raise StoreError(
                f"the store has no repository for {host}: run site.yml for the store; one that "
                "was there before has been lost"
            )
        return status

    def measure(self, parts: Iterable[Part]) -> dict[str, int]:
        """About how large the copy of each part gets; without those that do not say."""
        needs = {}
        for part in parts:
            ask = functools.partial(self._needs, part)
            try:
                needs[part.name] = int(bounded(ask, min(_MEASURE_SECONDS, self._left())))
            except BoundedError as error:
                log.warning("part %s does not say how large it is: %s", part.name, error)
        return {name: size for name, size in needs.items() if size >= 0}

    def _needs(self, part: Part) -> int:
        try:
            return self._saver.needs(part)
        except Exception as error:  # Whatever it is, its copy will say so again.
            log.warning("part %s does not say how large it is: %s", part.name, error)
            return -1

    def check_room(self, needs: Mapping[str, int], status: Status) -> None:
        """Raise StoreError where the store may get full in the midst."""
        grows, reserve = new_bytes(needs, self._state), self._options.reserve_megabytes * MEBIBYTE
        if grows + reserve > status.free_bytes:
            raise StoreError(
                f"the store has {human(status.free_bytes)} free, of which {human(reserve)} are to "
                f"stay free, and this backup may add {human(grows)}"
            )

    def _part(self, part: Part, repository: Repository) -> Outcome:
        log.info("part %s: begins", part.name)
        started = time.monotonic()
        left = min(part.timeout_seconds, self._left())
        try:
            if left <= 0:
                raise BoundedError("no time is left: the parts before it took all of it")
            outcome = Outcome(**bounded(lambda: asdict(self._saver.save(part, repository)), left))
        except BoundedError as error:
            outcome = Outcome(
                # Each question may take a minute, of the last ones of the run.
                problem=str(error) + (self._full() if left > 0 else ""),
                begun=left > 0,
                seconds=time.monotonic() - started,
            )
        if outcome.exit_code not in (0, NOT_COPIED):
            outcome = replace(outcome, problem=outcome.problem + self._full())
        self._clear(part)
        if outcome.exit_code:
            log.error("part %s: NOT saved: %s", part.name, outcome.problem)
        else:
            log.info(
                "part %s: saved in %.0f s as %s, %s new",
                part.name, outcome.seconds, outcome.snapshot[:8], human(outcome.added_bytes),
            )  # fmt: skip
        return outcome

    def _full(self) -> str:
        """Whether the store has got full: restic tries for a while whether that passes, and may be
        ended meanwhile; what it says last is not that.
        """
        free = self._client.free_bytes(self._saver.host)
        reserve = self._options.reserve_megabytes * MEBIBYTE
        if free is None or free >= max(reserve, _PACK_BYTES):
            return ""
        return f"; the store is full: {human(free)} are free"

    def _clear(self, part: Part) -> None:
        """What a part that was ended at its limit could not take away itself."""
        try:
            empty(self._options.stage_dir / part.name)
        except OSError as error:
            log.warning("part %s: its stage stays until the next run: %s", part.name, error)

    def _record(self, work: Plan, outcomes: Mapping[str, Outcome], repository: Repository) -> str:
        """Save the record of the run; why that failed, empty where it did not."""
        folder = self._options.stage_dir / RECORD
        record = {
            "host": self._saver.host,
            "run": self._saver.run,
            "release": self._saver.release,
            "partial": work.partial,
            "parts": {name: asdict(outcome) for name, outcome in outcomes.items()},
        }
        try:
            tags = [RECORD, PARTIAL if work.partial else WHOLE]
            # A file with another name is no part's, and restic would take its comma for two tags.
            names = dict.fromkeys(map(_part_of, outcomes))
            tags += [f"{NAMES}{name}" for name in names if re.fullmatch(NAME, name)]
            tags += [UNFINISHED] if any(one.begun for one in outcomes.values()) else []
            tags += [f"{GOOD}{one}" for one in self._ids(outcomes, repository)]
            folder.mkdir(mode=0o700)
            text = json.dumps(record, indent=1, sort_keys=True)
            (folder / "run.json").write_text(text + "\n", encoding="utf-8")
            self._ask(lambda: repository.backup(folder, tags, _ASK_SECONDS))
        except (ResticError, OSError) as error:
            # Without it the store does not know which snapshots are good.
            return f"the record of the run could not be saved: {error}"
        finally:
            empty(folder)
        return ""

    def _ids(self, outcomes: Mapping[str, Outcome], repository: Repository) -> list[str]:
        """The full identifiers of the good snapshots, of which restic may have said the begin."""
        said = [outcome.snapshot for outcome in outcomes.values() if outcome.exit_code == 0]
        if not said:
            return []
        full = [one.id for one in self._ask(lambda: repository.snapshots(_ASK_SECONDS))]
        found = [next((one for one in full if one.startswith(short)), "") for short in said]
        if "" in found:
            raise ResticError("the repository does not have what was just saved", -1)
        return found

    def _ask(self, what: Callable[[], T]) -> T:
        until = max(self._until, time.monotonic() + _ASK_SECONDS)
        return patiently(
            what,
            passes,
            self._saver.pauses,
            waits=lambda error: is_locked(error) and time.monotonic() < until,
        )

    @staticmethod
    def _none(work: Plan, why: str) -> dict[str, Outcome]:
        names = [*(part.name for part in work.parts), *work.broken]
        return {name: Outcome(NOT_COPIED, why) for name in names}

    def _left(self) -> float:
        return self._until - time.monotonic()
