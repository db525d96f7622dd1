"""The watchdog at work: scan, decide, end, say so."""

from __future__ import annotations

import logging
import os
import pwd
import time
from collections.abc import Mapping

from lookout.kit.program import Kit
from lookout.watchdog import validations
from lookout.watchdog.decide import Action, Watched, decide, in_turn, near_limit
from lookout.watchdog.details import (
    identify,
    proportional_bytes,
    resident_bytes,
)
from lookout.watchdog.killer import Killer
from lookout.watchdog.metrics import Metrics
from lookout.watchdog.options import WatchdogOptions
from lookout.watchdog.processes import Key, Process, ProcessTable
from lookout.watchdog.tree import Tree
from lookout.watchdog.validations import Found
from lookout.watchdog.watch import Clocks, Outcome, Watch

log = logging.getLogger("lookout.watchdog")

# Between two looks at trees that are being ended
ENDING_SECONDS = 0.1
UNDYING_LOOK_SECONDS = 2.0
# Exact memory is read again after so long, and when a tree may have grown past its limit since.
MEMORY_SECONDS = 30.0
# A scan that comes later was kept from its work, and so may have been those that it watches.
LONGEST_GAP_SECONDS = 30.0
MOST_SAID = 1000


class Agent:
    """One watchdog. `step` is called by the kit's loop."""

    def __init__(self, options: WatchdogOptions, kit: Kit, users: Mapping[str, int]) -> None:
        self._options = options
        self._kit = kit
        self.table = ProcessTable()
        self.metrics = Metrics(kit.registry, options.rules)
        self.metrics.interval.set(options.scan_interval_seconds)
        self.metrics.directory.set(1)
        self.killer = Killer(
            self._look, self._count_refused, options.kills_per_minute, options.protected
        )
        self.watch = Watch(
            options.rules,
            identify=identify,
            resident=resident_bytes,
            users=users,
            validators=frozenset(users[name] for name in options.validation.validators),
            longest_gap_seconds=max(LONGEST_GAP_SECONDS, 5 * options.scan_interval_seconds),
        )
        self._validated_rules = any(rule.validation_required for rule in options.rules)
        # Trees that broke a condition, and since when they are known to
        self._breaches: dict[Key, float] = {}
        self._exact: dict[Key, tuple[float, int, int]] = {}
        self._said: set[tuple[object, ...]] = set()
        self._next_scan = 0.0

    def step(self) -> float:
        """Do what is due; returns in how many seconds there is more."""
        now = time.monotonic()
        for ending in self.killer.advance(now):
            watched = ending.action.watched
            log.info(
                "ended %s %d and %d more of rule %s in %.1f s",
                *(watched.name, watched.root[0], len(ending.members) - 1, watched.rule.name),
                time.monotonic() - ending.began,
            )
        self._tell_undying()
        if now >= self._next_scan:
            self.scan()
            self._next_scan = max(self._next_scan + self._options.scan_interval_seconds, now)
        wait = max(0.0, self._next_scan - time.monotonic())
        for ending in self.killer.endings.values():
            wait = min(wait, UNDYING_LOOK_SECONDS if ending.undying else ENDING_SECONDS)
        return wait + (time.monotonic() - now)

    def scan(self) -> None:
        """Look at all processes once, and begin to end those that broke a condition."""
        began, cpu = time.perf_counter(), time.thread_time()
        # Before the processes: what is validated here and not found there has ended.
        found, trusted = self._validations()
        tree = self._look()
        clocks = Clocks(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
        outcome = self.watch.update(tree, found, clocks, trusted)
        for reason, count in outcome.refused.items():
            self.metrics.validations_refused.labels(reason).inc(count)
        self._remove(outcome.stale)
        exact = self._exact_memory(outcome, clocks.now)
        actions = list(decide(outcome.watched, exact, clocks.now, trusted))
        roots = [action.watched.root for action in actions]
        self._breaches = {root: self._breaches.get(root, clocks.now) for root in roots}
        for action in in_turn(actions, self._breaches, self.killer.begun(clocks.now)):
            self._act(action, tree, clocks.now)
        self._forget(tree)
        self.metrics.show(outcome.watched.values(), clocks.now)
        self.metrics.processes.set(len(tree.processes))
        self.metrics.scans.inc()
        self.metrics.duration.set(time.perf_counter() - began)
        self.metrics.cpu.inc(time.thread_time() - cpu)
        self.metrics.last.set(time.time())

    def _look(self) -> Tree:
        return Tree(self.table.scan())

    def _forget(self, tree: Tree) -> None:
        for key in [one for one in self._exact if not tree.alive(one)]:
            del self._exact[key]
        if len(self._said) > MOST_SAID:
            self._said.clear()

    def _act(self, action: Action, tree: Tree, now: float) -> None:
        watched = action.watched
        rule, pid = watched.rule, watched.root[0]
        words = f"{watched.name} {pid} of rule {rule.name}: {action.words}"
        if rule.dry_run:
            if self._once("dry", watched.root, action.reason):
                self.metrics.dry.labels(rule.name, action.reason).inc()
                log.warning("would end %s", words)
            return
        root = tree.alive(watched.root)
        if root is None or not self.killer.has_room(root, now):
            return
        # It may run another program since the rule matched.
        identity = self.watch.confirm(root, rule)
        if identity is None or not self.killer.begin(action, tree, identity, now):
            return
        self.metrics.kills.labels(rule.name, action.reason).inc()
        log.warning("ends %s", words)
        self._kit.reports.message(
            f"{self._options.instance}: ended {words}",
            level="warning",
            fingerprint=("watchdog", rule.name, action.reason),
            tags={"rule": rule.name, "reason": action.reason},
        )

    def _count_refused(self, reason: str, process: Process) -> None:
        self.metrics.refused.labels(reason).inc()
        if self._once("refused", process.key, reason):
            log.warning("lets %s %d live: %s", process.name, process.pid, reason)

    def _tell_undying(self) -> None:
        undying = [ending for ending in self.killer.endings.values() if ending.undying]
        self.metrics.undying.set(len(undying))
        for ending in undying:
            watched = ending.action.watched
            if self._once("undying", watched.root):
                log.error("%s %d does not end by SIGKILL", watched.name, watched.root[0])

    def _once(self, *what: object) -> bool:
        if what in self._said:
            return False
        self._said.add(what)
        return True

    def _exact_memory(self, outcome: Outcome, now: float) -> dict[Key, int]:
        """Exact memory of the trees near their limit."""
        exact = {}
        for key, watched in outcome.watched.items():
            if key in self.killer.endings or not near_limit(watched):
                continue
            at, resident, proportional = self._exact.get(key, (float("-inf"), 0, 0))
            grown = watched.resident_bytes - resident
            if now - at > MEMORY_SECONDS or proportional + grown > watched.limit_bytes:
                proportional = self._proportional(watched)
                self._exact[key] = (now, watched.resident_bytes, proportional)
            exact[key] = proportional
        return exact

    def _proportional(self, watched: Watched) -> int:
        total = 0
        for pid, _ in watched.members:
            try:
                total += proportional_bytes(pid)
            except PermissionError as error:
                self.metrics.unreadable.inc()
                if self._once("unreadable"):
                    log.error("exact memory cannot be read, so no memory limit holds: %s", error)
        return total

    def _owners(self) -> frozenset[int]:
        return frozenset({0, os.geteuid()})

    def _validations(self) -> tuple[list[Found], bool]:
        """What is in the directory, and whether that is all and can be trusted."""
        if not self._validated_rules:
            return [], True
        try:
            with validations.open_directory(
                self._options.validation.directory, self._owners()
            ) as descriptor:
                listing = validations.list_directory(descriptor, time.time())
                validations.remove(descriptor, listing.junk, self._cannot_remove)
        except (validations.UnsafeDirectoryError, OSError) as error:
            self._distrust(str(error))
            return [], False
        if listing.too_many:
            self._distrust(f"more than {validations.MOST_ENTRIES} files")
        else:
            self.metrics.directory.set(1)
            self._said = {what for what in self._said if what[0] != "directory"}
        for reason, count in listing.refused.items():
            self.metrics.validations_refused.labels(reason).inc(count)
            if self._once("validation", reason):
                log.warning("refused %d validations: %s", count, reason)
        return listing.found, not listing.too_many

    def _distrust(self, why: str) -> None:
        self.metrics.directory.set(0)
        if self._once("directory", why):
            log.error("validations cannot be trusted, so none is asked for: %s", why)

    def _remove(self, names: list[str]) -> None:
        if not names:
            return
        try:
            with validations.open_directory(
                self._options.validation.directory, self._owners()
            ) as descriptor:
                validations.remove(descriptor, names, self._cannot_remove)
        except (validations.UnsafeDirectoryError, OSError) as error:
            log.warning("stale validations stay: %s", error)

    def _cannot_remove(self, name: str, error: OSError) -> None:
        if self._once("remove", error.errno):
            log.warning("%s stays in the validation directory: %s", name, error.strerror)


def known_users(options: WatchdogOptions) -> dict[str, int]:
    """Numbers of all users that the configuration names; they are there, as it was checked."""
    named = {
        *options.validation.validators,
        *(user for rule in options.rules for user in rule.users),
    }
    return {name: pwd.getpwnam(name).pw_uid for name in sorted(named)}
