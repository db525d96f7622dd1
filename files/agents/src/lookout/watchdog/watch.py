"""What the watchdog remembers: who is watched since when, and was validated when."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lookout.watchdog.decide import Watched
from lookout.watchdog.details import Identity
from lookout.watchdog.options import Rule
from lookout.watchdog.processes import TICKS_PER_SECOND, Key, Process, ancestors
from lookout.watchdog.tree import Tree
from lookout.watchdog.validations import Found, superseded

ROOT_USER = 0
# psutil's create time is counted from /proc/stat's btime, which is whole seconds.
CREATED_TOLERANCE_SECONDS = 2.0
MOST_BOOT_TIMES = 16
NEVER = float("-inf")


@dataclass(frozen=True)
class Clocks:
    """The clocks of one scan, in seconds.

    `now` is CLOCK_MONOTONIC, which nothing sets and which stands still while the host sleeps: ages
    are counted on it. `since_boot` is CLOCK_BOOTTIME, which the kernel counts starts on. `day` is
    the time of day, which may jump.
    """

    now: float
    since_boot: float
    day: float


@dataclass
class Outcome:
    """What a scan found."""

    watched: dict[Key, Watched]
    refused: Counter[str] = field(default_factory=Counter)
    # Names of validations of processes that have ended, or by somebody who may not
    stale: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Match:
    """What a process matched. Its command line is not kept: it may be long."""

    process: Process
    rule: Rule | None
    user: int = ROOT_USER


class Watch:
    """Keeps the clocks of all watched processes.

    They begin anew with the first scan, after a scan that came much too late, and when validations
    can be read again: what was not seen is nobody's fault.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        identify: Callable[[Process], Identity | None],
        resident: Callable[[int], int],
        users: Mapping[str, int],
        validators: frozenset[int],
        longest_gap_seconds: float,
    ) -> None:
        self._rules = [(rule, re.compile(rule.command) if rule.command else None) for rule in rules]
        self._identify = identify
        self._resident = resident
        self._users = {rule.name: {users[name] for name in rule.users} for rule, _ in self._rules}
        self._validators = validators | {ROOT_USER}
        self._longest_gap = longest_gap_seconds
        self._last = NEVER
        self._matches: dict[int, Match] = {}
        self._since: dict[Key, float] = {}
        self._members: dict[Key, tuple[Key, ...]] = {}
        self._validated: dict[Key, float] = {}
        self._files: dict[str, tuple[int, float]] = {}
        self._boot_times: list[float] = []

    def update(
        self, tree: Tree, found: Iterable[Found], clocks: Clocks, trusted: bool = True
    ) -> Outcome:
        """Take in a scan; not `trusted` where not all validations can be read."""
        if not trusted or clocks.now - self._last > self._longest_gap:
            self._begin_anew()
        self._note_boot_time(clocks)
        roots = self._roots(tree)
        outcome = Outcome({})
        counting = self._counting(tree, found, outcome)
        if trusted:
            self._take_in(counting, clocks)
        for root, rule in roots.items():
            members = tree.members([root.key, *self._members.get(root.key, ())])
            keys = tuple(sorted(member.key for member in members))
            self._members[root.key] = keys
            since = self._since.setdefault(root.key, clocks.now - self._unseen(root, clocks))
            times = [self._validated[key] for key in keys if key in self._validated]
            outcome.watched[root.key] = Watched(
                rule=rule,
                root=root.key,
                name=root.name,
                since=since,
                resident_bytes=sum(self._resident(member.pid) for member in members),
                validated=max(times, default=None),
                user=self._matches[root.pid].user,
                members=keys,
            )
        for kept in (self._since, self._members):
            for key in kept.keys() - outcome.watched.keys():
                del kept[key]
        for key in [key for key in self._validated if not tree.alive(key)]:
            del self._validated[key]
        if trusted:
            self._last = clocks.now
        return outcome

    def _begin_anew(self) -> None:
        self._last = NEVER
        self._since.clear()
        self._validated.clear()
        self._files.clear()

    def _unseen(self, process: Process, clocks: Clocks) -> float:
        """How long ago the process started, at most as long as the last scan is ago."""
        age = max(0.0, clocks.since_boot - process.start / TICKS_PER_SECOND)
        return min(age, clocks.now - self._last) if self._goes_on else 0.0

    @property
    def _goes_on(self) -> bool:
        """Whether a scan came before this one, since the clocks began."""
        return self._last != NEVER

    def _note_boot_time(self, clocks: Clocks) -> None:
        boot = clocks.day - clocks.since_boot
        if all(abs(boot - known) > CREATED_TOLERANCE_SECONDS / 2 for known in self._boot_times):
            self._boot_times = [*self._boot_times, boot][-MOST_BOOT_TIMES:]

    def confirm(self, process: Process, rule: Rule) -> Identity | None:
        """What a process runs as, if that matches the rule now; None otherwise."""
        identity = self._identify(process)
        if identity is None:
            return None
        match = self._matches[process.pid] = self._matched(process, identity)
        return identity if match.rule is rule else None

    def _match(self, process: Process) -> Match | None:
        """What it matches, asked once until it runs another program; None where it has ended."""
        known = self._matches.get(process.pid)
        if known and process.runs_what(known.process):
            match = Match(process, known.rule, known.user)
        elif process.is_kernel:
            match = Match(process, None)
        elif (identity := self._identify(process)) is None:
            return None
        else:
            match = self._matched(process, identity)
        self._matches[process.pid] = match
        return match

    def _matched(self, process: Process, identity: Identity) -> Match:
        """The first rule that matches."""
        program = identity.program or process.name
        matching = (
            rule
            for rule, pattern in self._rules
            if (not rule.executables or program in rule.executables)
            and (pattern is None or pattern.search(identity.command))
            and (not rule.users or identity.user in self._users[rule.name])
        )
        return Match(process, next(matching, None), identity.user)

    def _roots(self, tree: Tree) -> dict[Process, Rule]:
        """Topmost processes that match: what one of them started belongs to it."""
        matching = {}
        known, processes = self._matches, tree.processes
        for pid, process in processes.items():
            # The very same object: nothing about the process changed since the last scan.
            last = known.get(pid)
            if last is None or last.process is not process:
                last = self._match(process)
            rule = last.rule if last else None
            if rule is not None and not process.has_ended:
                matching[process] = rule
        if len(known) > len(processes):
            self._matches = {pid: one for pid, one in known.items() if pid in processes}
        return {
            process: rule
            for process, rule in matching.items()
            if not any(matching.get(above) is rule for above in ancestors(process, processes))
        }

    def _counting(
        self, tree: Tree, found: Iterable[Found], outcome: Outcome
    ) -> list[tuple[Key, Found]]:
        """Validations of processes that live, by somebody who may; the others are stale."""
        counting = []
        for file in found:
            process = tree.processes.get(file.pid)
            if process is None or not self._is_of(file, process):
                outcome.stale.append(file.name)
            elif (match := self._match(process)) is None:
                continue
            elif file.owner not in self._validators | {match.user}:
                outcome.refused["owner"] += 1
                outcome.stale.append(file.name)
            else:
                counting.append((process.key, file))
        outcome.stale += superseded(counting)
        return counting

    def _take_in(self, counting: Iterable[tuple[Key, Found]], clocks: Clocks) -> None:
        files = {}
        for key, file in counting:
            files[file.name] = (file.inode, file.written)
            if self._files.get(file.name) == files[file.name]:
                continue
            at = clocks.now
            if self._goes_on:
                at -= min(max(0.0, clocks.day - file.written), clocks.now - self._last)
                at -= file.lag_seconds
            self._validated[key] = max(at, self._validated.get(key, at))
        self._files = files

    def _is_of(self, file: Found, process: Process) -> bool:
        if not file.in_seconds:
            return file.created == process.start
        started = process.start / TICKS_PER_SECOND
        return any(
            abs(file.created - boot - started) <= CREATED_TOLERANCE_SECONDS
            for boot in self._boot_times
        )
