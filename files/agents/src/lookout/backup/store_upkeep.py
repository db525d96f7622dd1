"""One night's work at the store: check, forget, prune and copy each repository, and tell of it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable

from lookout.backup import store_options, store_state
from lookout.backup.records import named
from lookout.backup.restic import ResticError
from lookout.backup.retention import forgettable
from lookout.backup.store_found import arrivals, folder_bytes, is_unfinished, parts_of
from lookout.backup.store_options import StoreOptions
from lookout.backup.store_repository import (
    FULL,
    LOCKED,
    Clock,
    Kept,
    Locks,
    at_store,
    elsewhere,
    patiently,
)
from lookout.backup.store_state import Notes, State

log = logging.getLogger("lookout.backup.store")

# (key, text): what Sentry is told; reports of one key are one issue there.
Tell = Callable[[str, str], None]

COPY_CHECK_SECONDS = 6.5 * 86400
# Of the hourly look at all of them: each takes a second or two.
LOOK_SECONDS = 1200.0
# One to which its host added more than can be listed must not take the time of the others.
LOOK_EACH_SECONDS = 120.0
# With so little of the disk free, what prune takes away is worth more than an upload that goes on.
SCARCE_SHARE = 0.05


class Upkeep:
    """The work on one repository. What goes wrong is in `problems`."""

    def __init__(self, options: StoreOptions, host: str, notes: Notes, clock: Clock) -> None:
        self._options = options
        self._host = host
        self._notes = notes
        self._clock = clock
        self._kept = at_store(options, host, clock)
        self._folder = options.path / host
        self._locks = Locks(self._folder, options.lock_dead_seconds)
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
        clock = Clock(min(LOOK_EACH_SECONDS, self._clock.left()))
        try:
            self._tell(at_store(self._options, self._host, clock))
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
            if error.status != -1 and not any(one in str(error) for one in (LOCKED, FULL)):
                notes.check_success, notes.check_time = False, time.time()
            raise
        notes.check_success, notes.check_time = True, time.time()
        notes.next_share = share % nights + 1

    def _forget(self) -> None:
        there = self._kept.snapshots()
        came = arrivals(self._folder, there)
        going = forgettable(there, came, self._options.keep_days, time.time())
        if going:
            log.info("%s: forgets %d snapshots", self._host, len(going))
            self._patiently(lambda: self._kept.forget([one.id for one in going]))
            # restic 0.18 ends with 0 also where it could not delete them.
            left = {one.id for one in self._kept.snapshots()}.intersection(one.id for one in going)
            if left:
                raise ResticError(
                    f"{len(left)} snapshots that were to be forgotten are still there", 1
                )
        if is_unfinished(there, came, time.time()) and self._may_wait():
            log.info("%s: is not pruned: an upload goes on the next night", self._host)
            self._notes.unpruned += 1
            # restic lists what it has brought every ten minutes, and brings again what no list has.
            self._patiently(lambda: self._run("rebuild-index"))
            return
        self._patiently(lambda: self._run("prune"))
        self._notes.prune_time, self._notes.unpruned = time.time(), 0

    def _may_wait(self) -> bool:
        """Whether prune may be left out: not for ever, and not where all are in need of room."""
        room = store_options.room(self._options)
        return (
            self._notes.unpruned < self._options.keep_days and room.free >= room.size * SCARCE_SHARE
        )

    def _look(self) -> None:
        self._tell(self._kept)

    def _tell(self, kept: Kept) -> None:
        self._notes.bytes = folder_bytes(self._folder)
        there = kept.snapshots()
        self._notes.parts = parts_of(there, arrivals(self._folder, there), time.time())

    def _copy(self) -> None:
        to, notes = self._options.copy, self._notes
        if to is None:
            return
        if to.mount and not os.path.ismount(to.mount):
            raise ResticError(f"the second copy: {to.mount} is not mounted", 1)
        copy = elsewhere(to, self._host, self._clock)
        source = ("--from-repo", self._kept.where)
        if notes.copy_to and notes.copy_to != copy.where:
            log.info("%s: the second copy goes to %s from now on", self._host, copy.where)
            notes.copy_id, notes.copy_check_time = "", None
        notes.copy_to = copy.where
        if not notes.copy_id:
            self._begin_copy(copy, source)
        elif copy.identity() != notes.copy_id:
            raise ResticError(f"the second copy {copy.where} is another repository than before", 1)
        # Nobody but this program writes there: a lock of its own that is left has no owner.
        copy.run("unlock")
        copy.run("copy", *source)
        there, now = copy.snapshots(), time.time()
        # What the store has forgotten or lost meanwhile is as old as it was, or else as new as now.
        known = notes.copy_arrivals | arrivals(self._folder, self._kept.snapshots())
        notes.copy_arrivals = {named(one): known.get(named(one), now) for one in there}
        going = forgettable(there, notes.copy_arrivals, self._options.keep_days, now)
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
            # Not asked for before: to read from a bucket that is not there, restic tries for long.
            copy.run("init", "--copy-chunker-params", *source)
        except ResticError as error:
            # One that an earlier run made, of which there is no note any more
            if "already" not in str(error):
                raise
        self._notes.copy_id = copy.identity()

    def _run(self, *arguments: str) -> None:
        self._kept.run(*arguments)


def once(options: StoreOptions, hosts: Iterable[str], tell: Tell, now: float) -> int:
    """Look after all of them, first those that have waited longest. The exit status."""
    state = store_state.read(options.state_file)
    state.hosts = {host: state.hosts.get(host, Notes()) for host in hosts}
    state.begin(now)
    wrong = store_options.trouble(options)
    if wrong:
        log.error("%s", wrong)
        tell("destination", f"The backups have no destination. {wrong}")
    failed = bool(wrong) or _work(options, state, tell)
    if not failed:
        state.last_success = now
    _keep(options, state)
    return 1 if failed else 0


def look(options: StoreOptions, hosts: Iterable[str]) -> int:
    """Say whether the destination is there, what room it has, and what backups are in it.

    The metrics are the answer: what is missing has an alert, and needs no failed unit as well. The
    state is the upkeep's alone, which may be at work.
    """
    state = store_state.read(options.state_file)
    state.hosts = {host: state.hosts.get(host, Notes()) for host in hosts}
    wrong = store_options.trouble(options)
    if wrong:
        log.error("%s", wrong)
    else:
        clock = Clock(LOOK_SECONDS)
        for host, notes in state.hosts.items():
            Upkeep(options, host, notes, clock).look()
    _publish(options, state)
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
