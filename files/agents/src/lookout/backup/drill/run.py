"""A drill of some hosts: each part in a process of its own, and nothing left of it afterwards."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lookout.backup.bounded import BoundedError, bounded
from lookout.backup.drill import since
from lookout.backup.drill.choose import Choice, choose, said
from lookout.backup.drill.interrupt import Interrupted, interruptible
from lookout.backup.drill.options import DrillOptions
from lookout.backup.drill.part import Examiner
from lookout.backup.drill.repository import BadBackupError, Judged
from lookout.backup.drill.results import Drill, HostResult, PartResult
from lookout.backup.drill.scratch import Scratch
from lookout.backup.restic import Snapshot
from lookout.backup.sources import CannotJudgeError

LOG = logging.getLogger("lookout.backup.drill")

_NO_NIGHT_YET = "it is new here, and its first backup is still to come: nothing is to be judged yet"


@dataclass(frozen=True)
class Order:
    """What is to be drilled now: some hosts, and all of their parts or some."""

    hosts: tuple[str, ...]
    parts: tuple[str, ...] = ()
    keep_scratch: bool = False


def drill(options: DrillOptions, order: Order) -> Drill:
    """Judge the backups of the hosts, one after the other. Never raises for what it finds."""
    started = time.time()
    work = _Work(options, order)
    hosts = work.all_hosts()
    return Drill(options.instance, started, time.time() - started, hosts, partial=bool(order.parts))


class _Work:
    """One drill while it goes on."""

    def __init__(self, options: DrillOptions, order: Order) -> None:
        self._options, self._order = options, order
        self._scratch = Scratch(options.scratch_dir)
        self._until = time.monotonic() + options.timeout_hours * 3600
        self._max_age = options.max_age_hours * 3600
        # Why it has to end before its time
        self._stopped = ""

    def all_hosts(self) -> tuple[HostResult, ...]:
        """What was found of each host."""
        found: dict[str, HostResult] = {}
        try:
            with interruptible():
                self._scratch.clear()
                for host in self._order.hosts:
                    found[host] = self._host(host)
                    LOG.info("%s: %s", host, found[host].result)
        except Interrupted as error:
            self._stopped = str(error)
        except OSError as error:
            self._stopped = f"the scratch place cannot be used: {error}"
        problem = self._clean_up()
        rest = {
            host: HostResult(host, errors=(self._stopped,))
            for host in self._order.hosts
            if host not in found
        }
        every = [{**found, **rest}[host] for host in self._order.hosts]
        if problem:
            every = [replace(one, errors=(*one.errors, problem)) for one in every]
        return tuple(every)

    def _clean_up(self) -> str:
        """What could not be cleaned up; empty where nothing is left."""
        if self._order.keep_scratch:
            LOG.info("the copies stay in %s until the next drill", self._scratch.root)
            return ""
        try:
            self._scratch.clear()
        except OSError as error:
            return f"the scratch place cannot be cleaned up: {error}"
        return ""

    def _host(self, host: str) -> HostResult:
        if self._stopped:
            return HostResult(host, errors=(self._stopped,))
        with self._scratch.folder() as cache:
            repository = Judged(self._options, host, cache)
            try:
                repository.look()
                LOG.info("%s: lists its snapshots", host)
                snapshots = repository.list()
                if not snapshots and self._is_new(host):
                    return HostResult(host, errors=(_NO_NIGHT_YET,))
                choice = choose(snapshots, host, time.time())
                # Of one part somebody may want to know what can be had all the same.
                if not self._order.parts:
                    LOG.info("%s: checks its repository", host)
                    repository.check()
            except BadBackupError as error:
                return HostResult(host, failures=(str(error),))
            except CannotJudgeError as error:
                return HostResult(host, errors=(str(error),))
            return self._parts(host, repository, choice)

    def _is_new(self, host: str) -> bool:
        """Whether it was added so late that its first backup is still to come."""
        known = since.load(self._options.state_dir / since.FILE).get(host)
        return known is not None and time.time() - known < self._max_age

    def _parts(self, host: str, repository: Judged, choice: Choice) -> HostResult:
        if choice.record:
            LOG.info("%s: the newest run ended on %s", host, said(choice.record.time))
        known = {*choice.snapshots, *choice.missing}
        skipped = {name.partition("/")[2] for name in self._options.skip
                   if name.partition("/")[0] == host}  # fmt: skip
        wanted = self._order.parts or tuple(sorted(known - skipped))
        found = []
        for part in wanted:
            if part in choice.snapshots:
                found.append(self._part(host, part, choice.snapshots[part], repository))
            elif part in choice.missing:
                found.append(PartResult(part, failures=(choice.missing[part],)))
            else:
                why = choice.dropped.get(part, "no run has saved such a part")
                found.append(PartResult(part, errors=(why,)))
            for problem in (*found[-1].failures, *found[-1].errors):
                LOG.warning("%s: part %s: %s: %s", host, part, found[-1].result, problem)
        notes = tuple(
            f"{part}: {why}" for part, why in sorted(choice.dropped.items()) if part not in skipped
        )
        for note in notes:
            LOG.warning("%s: part %s", host, note)
        failures = choice.failures
        # Where there are parts, each tells how old its data is.
        if choice.nothing and choice.record and choice.record.time < time.time() - self._max_age:
            failures = (
                f"its last run was on {said(choice.record.time)}: nobody knows what it has",
            )
        return HostResult(host, tuple(found), failures, notes=notes, nothing=choice.nothing)

    def _part(self, host: str, part: str, snapshot: Snapshot, repository: Judged) -> PartResult:
        left = self._until - time.monotonic()
        if left <= 0 and not self._stopped:
            self._stopped = f"the time limit of {self._options.timeout_hours:g} hours was reached"
        if self._stopped:
            return PartResult(part, snapshot=snapshot.id, errors=(self._stopped,))
        examiner = Examiner(
            here=self._options.instance,
            host=host,
            scratch=self._scratch,
            parts_dir=self._options.parts_dir,
            max_age_seconds=self._max_age,
            now=time.time(),
        )
        try:
            with self._scratch.folder(self._order.keep_scratch) as folder:
                # In a process of its own: servers that it starts end with it, whatever happens.
                return part_of(
                    bounded(
                        lambda: asdict(examiner.examine(part, snapshot, repository, folder, left)),
                        left,
                    )
                )
        except (BoundedError, OSError) as error:
            return PartResult(part, snapshot=snapshot.id, errors=(str(error),))
        except Interrupted as error:
            self._stopped = str(error)
            return PartResult(part, snapshot=snapshot.id, errors=(self._stopped,))


def part_of(data: dict[str, Any]) -> PartResult:
    """A result that has been JSON."""
    lists = ("failures", "errors", "notes")
    return PartResult(**{**data, **{name: tuple(data[name]) for name in lists}})


def in_order(asked: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The hosts to drill: those that are asked for, or all. Raises ValueError for others."""
    for one in asked:
        if one not in known:
            raise ValueError(f"{one} is none of {', '.join(known)}, whose backups are drilled here")
    return tuple(dict.fromkeys(asked)) or tuple(known)
