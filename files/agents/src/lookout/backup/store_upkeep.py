"""One night's work at the store: check, forget, prune and copy each repository, and tell of it."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from lookout.backup import store_options, store_state
from lookout.backup.records import dropped, past
from lookout.backup.restic import ResticError, Snapshot
from lookout.backup.retention import Rule, forgettable, newest_good
from lookout.backup.store_options import StoreOptions
from lookout.backup.store_repository import (
    LOCKED,
    Clock,
    Kept,
    Locks,
    at_store,
    elsewhere,
    patiently,
)
from lookout.backup.store_state import Notes, Part, State

log = logging.getLogger("lookout.backup.store")

# (key, text): what Sentry is told; reports of one key are one issue there.
Tell = Callable[[str, str], None]

COPY_CHECK_SECONDS = 6.5 * 86400


class Upkeep:
    """The work on one repository. What goes wrong is in `problems`."""

    def __init__(self, options: StoreOptions, host: str, notes: Notes, clock: Clock) -> None:
        self._options = options
        self._host = host
        self._notes = notes
        self._clock = clock
        self._kept = at_store(options, host, clock)
        self._rule = Rule(options.keep_days, options.keep_last)
        self._locks = Locks(options.path / host, options.lock_dead_seconds)
        self.problems: list[str] = []
        self._steps = [self._check, self._forget, self._look, self._copy]
        self._waits = True

    def all(self, *, wait: bool) -> bool:
        """Check, and only what is whole is thinned out and copied.

        False: a lock is in the way and was not waited for; the next call goes on where this ended.
        """
        self._notes.tried = time.time()
        self._waits = wait
        while self._steps:
            try:
                self._steps[0]()
            except (ResticError, OSError, ValueError) as error:
                if not wait and LOCKED in str(error):
                    return False
                self.problems.append(str(error))
                log.error("%s: %s", self._host, error)
                break
            self._steps.pop(0)
        return True

    def look(self) -> None:
        """What is there, as far as it can be read: what is wrong with it the check says."""
        try:
            self._look()
        except (ResticError, OSError, ValueError) as error:
            log.warning("%s: cannot say what is there: %s", self._host, error)

    def _patiently(self, act: Callable[[], None]) -> None:
        patiently(act, self._locks, self._clock if self._waits else Clock(0))

    def _check(self) -> None:
        notes, nights = self._notes, self._options.check_nights
        share = min(notes.next_share, nights)
        try:
            self._patiently(lambda: self._run("check", f"--read-data-subset={share}/{nights}"))
        except ResticError as error:
            # Without an answer nothing is known; one that was read wrongly is read again tomorrow.
            if error.status != -1 and LOCKED not in str(error):
                notes.check_success, notes.check_time = False, time.time()
            raise
        notes.check_success, notes.check_time = True, time.time()
        notes.next_share = share % nights + 1

    def _forget(self) -> None:
        going = forgettable(self._kept.snapshots(), self._rule, time.time())
        if going:
            log.info("%s: forgets %d snapshots", self._host, len(going))
            self._patiently(lambda: self._kept.forget([one.id for one in going]))
            # restic 0.18 ends with 0 also where it could not delete them.
            left = {one.id for one in self._kept.snapshots()}.intersection(one.id for one in going)
            if left:
                raise ResticError(
                    f"{len(left)} snapshots that were to be forgotten are still there", 1
                )
        self._patiently(lambda: self._run("prune"))
        self._notes.prune_time = time.time()

    def _look(self) -> None:
        self._notes.bytes = folder_bytes(self._options.path / self._host)
        self._notes.parts = parts_of(self._kept.snapshots(), time.time())

    def _copy(self) -> None:
        to, notes = self._options.copy, self._notes
        if to is None:
            return
        if to.mount and not os.path.ismount(to.mount):
            raise ResticError(f"the second copy: {to.mount} is not mounted", 1)
        copy = elsewhere(to, self._host, self._clock)
        source = ("--from-repo", self._kept.where)
        if not notes.copy_id:
            self._begin_copy(copy, source)
        elif copy.identity() != notes.copy_id:
            raise ResticError(f"the second copy {copy.where} is another repository than before", 1)
        # Nobody but this program writes there: a lock of its own that is left has no owner.
        copy.run("unlock")
        copy.run("copy", *source)
        going = forgettable(copy.snapshots(), self._rule, time.time())
        if going:
            copy.forget([one.id for one in going])
            copy.run("prune")
        if (
            notes.copy_check_time is None
            or time.time() > notes.copy_check_time + COPY_CHECK_SECONDS
        ):
            copy.run("check")
            notes.copy_check_time = time.time()
        notes.copy_time = time.time()

    def _begin_copy(self, copy: Kept, source: tuple[str, ...]) -> None:
        """The first time alone: a copy that is gone later is no reason to make an empty one."""
        try:
            self._notes.copy_id = copy.identity()
        except ResticError:
            copy.run("init", "--copy-chunker-params", *source)
            self._notes.copy_id = copy.identity()

    def _run(self, *arguments: str) -> None:
        self._kept.run(*arguments)


def folder_bytes(folder: Path) -> int:
    """Size of all files below it. What goes meanwhile is not counted."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue
    return total


def parts_of(snapshots: list[Snapshot], now: float) -> dict[str, Part]:
    """What there is of each part."""
    ours = [one for one in snapshots if one.part]
    count = Counter(one.part for one in ours)
    good, gone = newest_good(snapshots, now), dropped(past(snapshots, now))
    return {
        part: Part(
            number,
            min(one.time for one in ours if one.part == part),
            good.get(part),
            gone.get(part),
        )
        for part, number in count.items()
    }


def once(options: StoreOptions, hosts: Iterable[str], tell: Tell, now: float) -> int:
    """Look after all of them, first those that have waited longest. The exit status."""
    state = store_state.read(options.state_file)
    state.hosts = {host: state.hosts.get(host, Notes()) for host in hosts}
    state.last_run = now
    wrong = store_options.trouble(options)
    if wrong:
        log.error("%s", wrong)
        tell("destination", f"The backups have no destination. {wrong}")
    failed = bool(wrong) or _work(options, state, tell)
    if not failed:
        state.last_success = now
    _keep(options, state)
    return 1 if failed else 0


def look(options: StoreOptions) -> int:
    """Say whether the destination is there and what room it has; else what is known already.

    The metrics are the answer: what is missing has an alert, and needs no failed unit as well.
    """
    wrong = store_options.trouble(options)
    if wrong:
        log.error("%s", wrong)
    _publish(options, store_state.read(options.state_file))
    return 0


def _work(options: StoreOptions, state: State, tell: Tell) -> bool:
    """Whether anything failed."""
    clock = Clock(options.time_limit_seconds)
    # All of them first: the locks of all are then watched for the whole run, and how old the
    # newest backup of each is does not wait for the others' checks.
    work = [
        (host, Upkeep(options, host, notes, clock))
        for host, notes in sorted(state.hosts.items(), key=lambda one: one[1].tried or 0)
    ]
    for _, upkeep in work:
        upkeep.look()
    _keep(options, state)
    failed = False
    # One that is being saved to must not hold up the others: it is waited for when they are done.
    for wait in (False, True):
        locked = []
        for host, upkeep in work:
            if not clock.left():
                upkeep.problems.append("no time was left for it")
            elif not upkeep.all(wait=wait):
                locked.append((host, upkeep))
                continue
            if upkeep.problems:
                failed = True
                tell(host, f"The backups of {host}: {'; '.join(upkeep.problems)}")
            else:
                log.info("%s: all is well", host)
            _keep(options, state)
        work = locked
    return failed


def _keep(options: StoreOptions, state: State) -> None:
    store_state.write(options.state_file, state)
    _publish(options, state)


def _publish(options: StoreOptions, state: State) -> None:
    there = not store_options.trouble(options)
    store_state.publish(options.metrics_file, state, store_options.room(options) if there else None)
